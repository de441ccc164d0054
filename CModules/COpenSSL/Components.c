// Requests with keys in parts: reading them, hashing, and what the algorithms share.
#include "ComponentWork.h"
#include <openssl/objects.h>
#include <time.h>

// ---- Reading --------------------------------------------------------------------------------------------------------

// The longest part: a number of 16384 bits, with some zeros in front.
enum { MOST_PART_BYTES = 4096 };

static bool read_parts(copenssl_work *work) {
  const copenssl_component_request *request = work->request;
  if (request->key_count < sizeof(work->header)) return false;
  memcpy(&work->header, request->key, sizeof(work->header));
  size_t left = request->key_count - sizeof(work->header);
  const uint8_t *next = request->key + sizeof(work->header);
  for (int i = 0; i < COPENSSL_PARTS; i++) {
    size_t count = work->header.part_counts[i];
    if (count > left) return false;
    work->parts[i] = next;
    next += count;
    left -= count;
  }
  return left == 0;
}

BIGNUM *copenssl_part(copenssl_work *work, int part) {
  size_t count = work->header.part_counts[part];
  BIGNUM *number = BN_CTX_get(work->context);
  if (number == NULL || count > MOST_PART_BYTES) return NULL;
  return BN_bin2bn(work->parts[part], (int)count, number);
}

BIGNUM *copenssl_secret_part(copenssl_work *work, int part) {
  BIGNUM *number = copenssl_part(work, part);
  if (number != NULL) BN_set_flags(number, BN_FLG_CONSTTIME);
  return number;
}

// ---- Results --------------------------------------------------------------------------------------------------------

bool copenssl_emit(copenssl_work *work, const BIGNUM *number, int index) {
  size_t width = work->header.result_counts[index];
  if (width > work->room - work->written || width > INT32_MAX) return false;
  if (width == 0) return BN_is_zero(number);
  if (BN_bn2binpad(number, work->output + work->written, (int)width) < 0) return false;
  work->written += width;
  return true;
}

bool copenssl_emit_bytes(copenssl_work *work, const uint8_t *bytes, size_t count, int index) {
  size_t width = work->header.result_counts[index];
  while (count > width && *bytes == 0) {
    bytes++;
    count--;
  }
  if (count > width || width > work->room - work->written) return false;
  memset(work->output + work->written, 0, width - count);
  memcpy(work->output + work->written + width - count, bytes, count);
  work->written += width;
  return true;
}

bool copenssl_emit_param(copenssl_work *work, const EVP_PKEY *pkey, const char *name, int index) {
  BIGNUM *number = NULL;
  bool fits = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && copenssl_emit(work, number, index);
  BN_clear_free(number);
  return fits;
}

// ---- Time -----------------------------------------------------------------------------------------------------------

static uint64_t processor_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// libcrypto calls it between candidates; 0 makes it give up.
static int has_time(EVP_PKEY_CTX *context) {
  const copenssl_work *work = EVP_PKEY_CTX_get_app_data(context);
  return processor_time() < work->deadline;
}

double copenssl_prime_units(int bits) {
  // One candidate in 0.35 × bits is prime, two in three are sieved out, and a prime is tested some more times.
  double words = (bits + 63) / 64;
  return words * words * bits * (0.12 * bits + 8);
}

EVP_PKEY *copenssl_generate(copenssl_work *work, EVP_PKEY_CTX *context, bool parameters) {
  EVP_PKEY *made = NULL;
  EVP_PKEY_CTX_set_app_data(context, work);
  EVP_PKEY_CTX_set_cb(context, has_time);
  int done = parameters ? EVP_PKEY_paramgen(context, &made) : EVP_PKEY_keygen(context, &made);
  if (done == 1) return made;
  EVP_PKEY_free(made);
  return NULL;
}

// ---- What DSA and ECDSA, DH and ECDH have in common -----------------------------------------------------------------

// libcrypto encodes the two alike.
copenssl_result copenssl_sign_pair(copenssl_work *work, copenssl_key *key) {
  // Two numbers of 571 bits.
  uint8_t encoded[160];
  size_t count = 0;
  copenssl_result result = copenssl_key_run(
      key, COPENSSL_SIGN, work->text, work->text_count, NULL, 0, encoded, sizeof(encoded), &count);
  if (result != COPENSSL_DONE) return result;
  const unsigned char *next = encoded;
  ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &next, (long)count);
  bool fits = pair != NULL && copenssl_emit(work, ECDSA_SIG_get0_r(pair), 0)
      && copenssl_emit(work, ECDSA_SIG_get0_s(pair), 1);
  ECDSA_SIG_free(pair);
  return fits ? COPENSSL_DONE : COPENSSL_FAILED;
}

copenssl_result copenssl_verify_pair(copenssl_work *work, copenssl_key *key) {
  const copenssl_component_request *request = work->request;
  size_t counts[] = {work->header.result_counts[0], work->header.result_counts[1]};
  if (counts[0] > request->input_count || counts[1] != request->input_count - counts[0]) {
    return COPENSSL_FAILED;
  }
  // No number of that length can be right, and it need not be read.
  if (counts[0] > MOST_PART_BYTES || counts[1] > MOST_PART_BYTES) return COPENSSL_MISMATCH;
  ECDSA_SIG *pair = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(request->input, (int)counts[0], NULL);
  BIGNUM *s = BN_bin2bn(request->input + counts[0], (int)counts[1], NULL);
  unsigned char *encoded = NULL;
  copenssl_result result = COPENSSL_FAILED;
  if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
    r = s = NULL;
    int count = i2d_ECDSA_SIG(pair, &encoded);
    size_t written;
    if (count > 0) {
      result = copenssl_key_run(
          key, COPENSSL_VERIFY, encoded, (size_t)count, work->text, work->text_count, NULL, 0,
          &written);
    }
  }
  OPENSSL_free(encoded);
  BN_free(r);
  BN_free(s);
  ECDSA_SIG_free(pair);
  return result;
}

copenssl_result copenssl_derive(copenssl_work *work, EVP_PKEY *own, EVP_PKEY *peer) {
  uint8_t secret[OPENSSL_RSA_MAX_MODULUS_BITS / 8];
  size_t count = sizeof(secret);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(work->library, own, work->properties);
  // Setting the peer's key has libcrypto judge it: range, curve and, where it can be told, order.
  bool is_done = context != NULL && EVP_PKEY_derive_init(context) == 1
      && EVP_PKEY_derive_set_peer(context, peer) == 1
      && EVP_PKEY_derive(context, secret, &count) == 1
      && copenssl_emit_bytes(work, secret, count, 0);
  EVP_PKEY_CTX_free(context);
  OPENSSL_cleanse(secret, sizeof(secret));
  return is_done ? COPENSSL_DONE : COPENSSL_FAILED;
}

// ---- Dispatch -------------------------------------------------------------------------------------------------------

// What is signed: the hash of the text, or the text.
static copenssl_result find_text(copenssl_work *work) {
  const copenssl_component_request *request = work->request;
  bool is_verify = request->operation == COPENSSL_VERIFY;
  work->text = is_verify ? request->extra : request->input;
  work->text_count = is_verify ? request->extra_count : request->input_count;
  if (request->digest_nid == NID_undef) return COPENSSL_DONE;
  work->digest =
      EVP_MD_fetch(work->library, OBJ_nid2sn(request->digest_nid), work->properties);
  if (work->digest == NULL) return copenssl_missing(work->library, work->properties, OBJ_nid2sn(request->digest_nid));
  copenssl_note_given(work->library, work->properties, OBJ_nid2sn(request->digest_nid));
  unsigned int count = 0;
  if (EVP_Digest(work->text, work->text_count, work->hash, &count, work->digest, NULL) != 1) {
    return COPENSSL_FAILED;
  }
  work->text = work->hash;
  work->text_count = count;
  return COPENSSL_DONE;
}

static copenssl_result dispatch(copenssl_work *work) {
  copenssl_operation operation = work->request->operation;
  if (operation == COPENSSL_SIGN || operation == COPENSSL_VERIFY) {
    copenssl_result result = find_text(work);
    if (result != COPENSSL_DONE) return result;
  }
  switch (work->request->algorithm) {
    case COPENSSL_RSA:
      return operation == COPENSSL_GENERATE_KEY ? copenssl_rsa_generate(work)
                                                : copenssl_rsa_work(work);
    case COPENSSL_DSA: return copenssl_dsa_work(work);
    case COPENSSL_DH: return copenssl_dh_work(work);
    default: return copenssl_ec_work(work);
  }
}

copenssl_result copenssl_components_run(
    OSSL_LIB_CTX *library, const char *properties, const copenssl_component_request *request,
    uint8_t *output, size_t room, size_t *written) {
  *written = 0;
  copenssl_work work = {
      .library = library, .properties = properties, .request = request, .output = output,
      .room = room};
  if (!read_parts(&work)) return COPENSSL_FAILED;
  work.context = BN_CTX_secure_new_ex(library);
  if (work.context == NULL) return COPENSSL_FAILED;
  BN_CTX_start(work.context);
  work.deadline = processor_time() + (uint64_t)request->most_milliseconds * 1000000u;
  copenssl_result result = dispatch(&work);
  if (result == COPENSSL_DONE) *written = work.written;
  BN_CTX_end(work.context);
  BN_CTX_free(work.context);
  EVP_MD_free(work.digest);
  OPENSSL_cleanse(work.hash, sizeof(work.hash));
  return result;
}
