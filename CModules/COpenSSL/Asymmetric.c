// Operations with keys, and what keys have in common; how they are read is in RSAKeys.c and ECKeys.c.
#include "AsymmetricKeys.h"
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <time.h>
#include <stdatomic.h>

// ---- Keys -----------------------------------------------------------------------------------------------------------

// What libcrypto has given before. Entries come one by one and are read when they are whole.
typedef struct {
  _Atomic int state;
  OSSL_LIB_CTX *library;
  const char *properties;
  const char *name;
} given_entry;

enum { FREE, BEING_WRITTEN, WHOLE };

static given_entry given[256];
enum { GIVEN_COUNT = sizeof(given) / sizeof(given[0]) };

static bool was_given(OSSL_LIB_CTX *library, const char *properties, const char *name) {
  for (size_t i = 0; i < GIVEN_COUNT; i++) {
    if (atomic_load_explicit(&given[i].state, memory_order_acquire) == WHOLE
        && given[i].library == library && given[i].properties == properties
        && strcmp(given[i].name, name) == 0) {
      return true;
    }
  }
  return false;
}

void copenssl_note_given(OSSL_LIB_CTX *library, const char *properties, const char *name) {
  if (was_given(library, properties, name)) return;
  for (size_t i = 0; i < GIVEN_COUNT; i++) {
    int state = FREE;
    if (!atomic_compare_exchange_strong(&given[i].state, &state, BEING_WRITTEN)) continue;
    given[i].library = library;
    given[i].properties = properties;
    given[i].name = name;
    atomic_store_explicit(&given[i].state, WHOLE, memory_order_release);
    return;
  }
}

void copenssl_forget_given(OSSL_LIB_CTX *library) {
  for (size_t i = 0; i < GIVEN_COUNT; i++) {
    if (atomic_load(&given[i].state) == WHOLE && given[i].library == library) {
      atomic_store(&given[i].state, FREE);
    }
  }
}

copenssl_result copenssl_missing(
    OSSL_LIB_CTX *library, const char *properties, const char *name) {
  if (was_given(library, properties, name)) return COPENSSL_FAILED;
  // The first one is the cause of those behind it.
  return ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE ? COPENSSL_FAILED : COPENSSL_UNSUPPORTED;
}

copenssl_key *copenssl_key_make(
    OSSL_LIB_CTX *library, const char *properties, const char *type, bool is_private,
    OSSL_PARAM *params, copenssl_result *result) {
  copenssl_key *key = OPENSSL_zalloc(sizeof(*key));
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(library, type, properties);
  if (key != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1
      && EVP_PKEY_fromdata(
             context, &key->pkey, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params)
             == 1) {
    key->library = library;
    key->properties = properties;
    key->is_private = is_private;
    copenssl_note_given(library, properties, type);
    *result = COPENSSL_DONE;
  } else {
    *result = context == NULL ? copenssl_missing(library, properties, type) : COPENSSL_FAILED;
    OPENSSL_free(key);
    key = NULL;
  }
  EVP_PKEY_CTX_free(context);
  return key;
}

void copenssl_key_free(copenssl_key *key) {
  if (key == NULL) return;
  for (int i = 0; i < COPENSSL_OPERATIONS; i++) EVP_PKEY_CTX_free(key->contexts[i]);
  EVP_PKEY_free(key->pkey);
  OPENSSL_clear_free(key, sizeof(*key));
}

bool copenssl_params_bn(copenssl_params *params, const char *name, const BIGNUM *number) {
  size_t count = (size_t)BN_num_bytes(number);
  if (count == 0) count = 1;
  if (params->count + 1 >= COPENSSL_PARAMS || count > sizeof(params->bytes) - params->used) return false;
  unsigned char *bytes = params->bytes + params->used;
  if (BN_bn2nativepad(number, bytes, (int)count) < 0) return false;
  params->used += count;
  params->list[params->count++] = OSSL_PARAM_construct_BN(name, bytes, count);
  params->list[params->count] = OSSL_PARAM_construct_end();
  return true;
}

// ---- What operations cost -------------------------------------------------------------------------------------------

double copenssl_units(const BIGNUM *modulus, const BIGNUM *exponent) {
  double words = (BN_num_bits(modulus) + 63) / 64;
  // Below this a multiplication's fixed cost counts more than its words.
  if (words < 8) words = 8;
  return words * words * BN_num_bits(exponent);
}

double copenssl_nanoseconds_per_unit(void) {
  // A size for which libcrypto has no code of its own, as for all the long ones that matter.
  enum { BITS = 1536, EXPONENT_BITS = 256 };
  double best = 0;
  BN_CTX *context = BN_CTX_new();
  BIGNUM *modulus = BN_new(), *base = BN_new(), *exponent = BN_new(), *result = BN_new();
  BN_MONT_CTX *montgomery = BN_MONT_CTX_new();
  if (context != NULL && modulus != NULL && base != NULL && exponent != NULL && result != NULL
      && montgomery != NULL && BN_set_bit(modulus, BITS - 1) && BN_set_bit(modulus, 0)
      && BN_set_bit(base, BITS / 2) && BN_set_bit(exponent, EXPONENT_BITS - 1)
      && BN_set_bit(exponent, 0) && BN_MONT_CTX_set(montgomery, modulus, context)) {
    double units = copenssl_units(modulus, exponent);
    for (int i = 0; i < 5; i++) {
      struct timespec start, end;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
      if (!BN_mod_exp_mont_consttime(result, base, exponent, modulus, context, montgomery)) break;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
      double nanoseconds =
          (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
      if (best == 0 || nanoseconds / units < best) best = nanoseconds / units;
    }
  }
  BN_MONT_CTX_free(montgomery);
  BN_free(modulus);
  BN_free(base);
  BN_free(exponent);
  BN_free(result);
  BN_CTX_free(context);
  return best;
}

// ---- Operations -----------------------------------------------------------------------------------------------------

int copenssl_rsa_padding(copenssl_padding padding) {
  switch (padding) {
    case COPENSSL_RAW: return RSA_NO_PADDING;
    case COPENSSL_PKCS1: return RSA_PKCS1_PADDING;
    case COPENSSL_OAEP: return RSA_PKCS1_OAEP_PADDING;
    case COPENSSL_X931: return RSA_X931_PADDING;
    default: return RSA_PKCS1_PSS_PADDING;
  }
}

static int prepare(copenssl_key *key, copenssl_operation operation, EVP_PKEY_CTX *context) {
  int (*begin)(EVP_PKEY_CTX *) = operation == COPENSSL_ENCRYPT ? EVP_PKEY_encrypt_init
      : operation == COPENSSL_DECRYPT                          ? EVP_PKEY_decrypt_init
      : operation == COPENSSL_SIGN                             ? EVP_PKEY_sign_init
      : key->size != 0                                         ? EVP_PKEY_verify_recover_init
                                                               : EVP_PKEY_verify_init;
  if (begin(context) != 1) return 0;
  if (key->size == 0) return 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, copenssl_rsa_padding(key->padding)) == 1;
}

static EVP_PKEY_CTX *context_for(copenssl_key *key, copenssl_operation operation) {
  EVP_PKEY_CTX **place = &key->contexts[operation];
  if (*place != NULL) return *place;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(key->library, key->pkey, key->properties);
  if (context == NULL) return NULL;
  if (!prepare(key, operation, context)) {
    EVP_PKEY_CTX_free(context);
    return NULL;
  }
  *place = context;
  return context;
}

// `DigestInfo` of what is signed: the prefix, and the digest. Its length; 0 if it does not fit.
static size_t digest_info(
    const copenssl_key *key, const uint8_t *digest, size_t count, uint8_t *info, size_t room) {
  if (key->digest_count != 0 && count != key->digest_count) return 0;
  if (count > room || key->prefix_count > room - count) return 0;
  memcpy(info, key->prefix, key->prefix_count);
  if (count > 0) memcpy(info + key->prefix_count, digest, count);
  return key->prefix_count + count;
}

// The longest modulus.
enum { BLOCK = OPENSSL_RSA_MAX_MODULUS_BITS / 8 };

// Whether what libcrypto says it has done with a private RSA key is so. Every 32nd time it renews the two factors that
// blind the key; where it runs out of memory between the one and the other it goes on as if nothing were, and the result is
// wrong (3.0: BN_BLINDING_create_param gives back what it was given). Only the error that it has queued tells. Before: the
// queue is empty.
static bool private_result_holds(void) { return ERR_peek_error() == 0; }

static copenssl_result rsa_crypt(
    copenssl_key *key, copenssl_operation operation, const uint8_t *input, size_t count,
    uint8_t *output, size_t room, size_t *written) {
  uint8_t block[BLOCK];
  size_t size = key->size;
  if (key->padding == COPENSSL_RAW) {
    if (count == 0 || count > size) return COPENSSL_FAILED;
    memset(block, 0, size - count);
    memcpy(block + size - count, input, count);
    input = block;
    count = size;
  } else if (operation == COPENSSL_DECRYPT && count != size) {
    return COPENSSL_FAILED;
  }
  EVP_PKEY_CTX *context = context_for(key, operation);
  uint8_t result[BLOCK];
  size_t result_count = sizeof(result);
  int status = context == NULL ? 0
      : operation == COPENSSL_ENCRYPT
      ? EVP_PKEY_encrypt(context, result, &result_count, input, count)
      : EVP_PKEY_decrypt(context, result, &result_count, input, count);
  bool is_done = status == 1 && result_count <= room
      && (operation == COPENSSL_ENCRYPT || private_result_holds());
  if (is_done) {
    memcpy(output, result, result_count);
    *written = result_count;
  }
  OPENSSL_cleanse(block, size);
  OPENSSL_cleanse(result, size);
  return is_done ? COPENSSL_DONE : COPENSSL_FAILED;
}

static copenssl_result rsa_sign(
    copenssl_key *key, const uint8_t *input, size_t count, uint8_t *output, size_t room,
    size_t *written) {
  uint8_t info[BLOCK], result[BLOCK];
  size_t info_count = digest_info(key, input, count, info, key->size);
  size_t result_count = sizeof(result);
  if (info_count == 0 || key->size > room) return COPENSSL_FAILED;
  EVP_PKEY_CTX *context = context_for(key, COPENSSL_SIGN);
  if (context == NULL || EVP_PKEY_sign(context, result, &result_count, info, info_count) != 1
      || !private_result_holds()) {
    return COPENSSL_FAILED;
  }
  memcpy(output, result, result_count);
  *written = result_count;
  return COPENSSL_DONE;
}

static copenssl_result rsa_verify(
    copenssl_key *key, const uint8_t *signature, size_t count, const uint8_t *digest,
    size_t digest_count) {
  uint8_t info[BLOCK], recovered[BLOCK];
  size_t info_count = digest_info(key, digest, digest_count, info, key->size);
  size_t recovered_count = sizeof(recovered);
  if (info_count == 0) return COPENSSL_FAILED;
  if (count != key->size) return COPENSSL_MISMATCH;
  EVP_PKEY_CTX *context = context_for(key, COPENSSL_VERIFY);
  if (context == NULL) return COPENSSL_FAILED;
  bool is_right =
      EVP_PKEY_verify_recover(context, recovered, &recovered_count, signature, count) == 1
      && recovered_count == info_count && memcmp(recovered, info, info_count) == 0;
  return is_right ? COPENSSL_DONE : COPENSSL_MISMATCH;
}

static copenssl_result ecdsa_run(
    copenssl_key *key, copenssl_operation operation, const uint8_t *input, size_t count,
    const uint8_t *digest, size_t digest_count, uint8_t *output, size_t room, size_t *written) {
  EVP_PKEY_CTX *context = context_for(key, operation);
  if (context == NULL) return COPENSSL_FAILED;
  if (operation == COPENSSL_VERIFY) {
    if (digest_count == 0) return COPENSSL_FAILED;
    return EVP_PKEY_verify(context, input, count, digest, digest_count) == 1 ? COPENSSL_DONE
                                                                             : COPENSSL_MISMATCH;
  }
  // The longest: two numbers of 521 bits, and their headers.
  uint8_t result[160];
  size_t result_count = sizeof(result);
  if (count == 0 || EVP_PKEY_sign(context, result, &result_count, input, count) != 1
      || result_count > room) {
    return COPENSSL_FAILED;
  }
  memcpy(output, result, result_count);
  *written = result_count;
  return COPENSSL_DONE;
}

copenssl_result copenssl_key_run(
    copenssl_key *key, copenssl_operation operation, const uint8_t *input, size_t count,
    const uint8_t *extra, size_t extra_count, uint8_t *output, size_t room, size_t *written) {
  *written = 0;
  if (operation > COPENSSL_VERIFY) return COPENSSL_UNSUPPORTED;
  bool needs_private = operation == COPENSSL_DECRYPT || operation == COPENSSL_SIGN;
  if (needs_private && !key->is_private) return COPENSSL_UNSUPPORTED;
  bool is_signature = operation == COPENSSL_SIGN || operation == COPENSSL_VERIFY;
  // What others have left there says nothing about this one.
  if (needs_private) ERR_clear_error();
  if (key->size == 0) {
    if (!is_signature) return COPENSSL_UNSUPPORTED;
    return ecdsa_run(
        key, operation, input, count, extra, extra_count, output, room, written);
  }
  if (!is_signature) return rsa_crypt(key, operation, input, count, output, room, written);
  if (key->padding == COPENSSL_RAW) return COPENSSL_UNSUPPORTED;
  return operation == COPENSSL_SIGN
      ? rsa_sign(key, input, count, output, room, written)
      : rsa_verify(key, input, count, extra, extra_count);
}

// The DER of X509_SIG up to the digest itself, which comes last.
bool copenssl_digest_prefix(copenssl_key *key, int digest_nid, size_t digest_count) {
  static const uint8_t zeros[64];
  uint8_t *der = NULL;
  X509_SIG *info = X509_SIG_new();
  bool is_done = false;
  if (info != NULL && digest_count <= sizeof(zeros)) {
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *digest;
    X509_SIG_getm(info, &algorithm, &digest);
    if (X509_ALGOR_set0(algorithm, OBJ_nid2obj(digest_nid), V_ASN1_NULL, NULL)
        && ASN1_OCTET_STRING_set(digest, zeros, (int)digest_count)) {
      int count = i2d_X509_SIG(info, &der);
      if (count > (int)digest_count && (size_t)count - digest_count <= sizeof(key->prefix)) {
        key->prefix_count = (size_t)count - digest_count;
        key->digest_count = digest_count;
        memcpy(key->prefix, der, key->prefix_count);
        is_done = true;
      }
    }
  }
  OPENSSL_free(der);
  X509_SIG_free(info);
  return is_done;
}
