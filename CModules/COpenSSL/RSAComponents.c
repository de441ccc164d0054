// RSA with keys in parts.
#include "ComponentWork.h"
#include "RSANumbers.h"
#include <openssl/rsa.h>

// ---- Private keys of n and d ----------------------------------------------------------------------------------------

// Whether base ≡ power^exponent, for small public exponents.
static bool undoes(
    copenssl_work *work, const BIGNUM *power, BN_ULONG exponent, const BIGNUM *base,
    const BIGNUM *n, BN_MONT_CTX *montgomery, BIGNUM *scratch) {
  BIGNUM *e = BN_CTX_get(work->context);
  return e != NULL && BN_set_word(e, exponent)
      && BN_mod_exp_mont(scratch, power, e, n, work->context, montgomery)
      && BN_cmp(scratch, base) == 0;
}

// Finds the public exponent that belongs to n and d, which libcrypto needs to hide from an observer what it computes:
// one of those that are in use. Unsupported for others.
static copenssl_result find_exponent(copenssl_work *work, private_numbers *key) {
  static const BN_ULONG usual[] = {65537, 3, 17, 5, 7, 11, 13, 19, 23, 29, 31, 35, 37, 41, 257};
  BN_CTX_start(work->context);
  BIGNUM *base = BN_CTX_get(work->context), *power = BN_CTX_get(work->context);
  BIGNUM *scratch = BN_CTX_get(work->context);
  BN_MONT_CTX *montgomery = BN_MONT_CTX_new();
  copenssl_result result = COPENSSL_FAILED;
  if (scratch != NULL && montgomery != NULL && BN_set_word(base, 2)
      && BN_MONT_CTX_set(montgomery, key->n, work->context)
      && BN_mod_exp_mont_consttime(power, base, key->d, key->n, work->context, montgomery)) {
    result = COPENSSL_UNSUPPORTED;
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
      if (undoes(work, power, usual[i], base, key->n, montgomery, scratch)) {
        result = BN_set_word(key->e, usual[i]) ? COPENSSL_DONE : COPENSSL_FAILED;
        break;
      }
    }
  }
  BN_MONT_CTX_free(montgomery);
  BN_CTX_end(work->context);
  return result;
}

static copenssl_result read_exponents(copenssl_work *work, private_numbers *key, double *units) {
  const BIGNUM *n = copenssl_part(work, RSA_N), *d = copenssl_secret_part(work, RSA_D);
  if (n == NULL || d == NULL || !BN_copy(key->n, n) || !BN_copy(key->d, d)) return COPENSSL_FAILED;
  // Judged before anything is computed with them: with the exponent that the shortest test allows.
  copenssl_result result = BN_set_word(key->e, 3) ? copenssl_rsa_check_public(key->n, key->e)
                                                  : COPENSSL_FAILED;
  if (result != COPENSSL_DONE) return result;
  if (BN_cmp(key->d, key->n) >= 0) return COPENSSL_FAILED;
  *units = copenssl_units(key->n, key->d);
  if (2 * *units > work->request->most_units) return COPENSSL_UNSUPPORTED;
  return find_exponent(work, key);
}

// ---- Private keys of primes -----------------------------------------------------------------------------------------

static bool copy_part(copenssl_work *work, int part, BIGNUM *to) {
  const BIGNUM *number = copenssl_part(work, part);
  return number != NULL && BN_copy(to, number) != NULL;
}

// One of the numbers of a part that holds as many as there are further primes.
static bool copy_element(copenssl_work *work, int part, uint32_t index, uint32_t of, BIGNUM *to) {
  uint32_t count = work->header.part_counts[part] / of;
  if (count > OPENSSL_RSA_MAX_MODULUS_BITS / 8) return false;
  return BN_bin2bn(work->parts[part] + (size_t)index * count, (int)count, to) != NULL;
}

static bool multiply_less_one(
    copenssl_work *work, BIGNUM *n, BIGNUM *phi, const BIGNUM *prime) {
  BIGNUM *less = BN_CTX_get(work->context);
  if (less == NULL || BN_is_zero(prime) || BN_is_one(prime)) return false;
  return BN_sub(less, prime, BN_value_one()) && BN_mul(n, n, prime, work->context)
      && BN_mul(phi, phi, less, work->context);
}

// n is the primes' product, e what undoes the first prime's exponent, and d what undoes e; whether the other exponents
// and the coefficients fit these is checked as for any key.
static copenssl_result read_primes(copenssl_work *work, private_numbers *key) {
  static const int parts[] = {RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QINV};
  BIGNUM *numbers[] = {key->p, key->q, key->dp, key->dq, key->qinv};
  uint32_t primes = work->header.prime_count;
  if (primes < 2) return COPENSSL_FAILED;
  if (primes > MOST_FURTHER + 2) return COPENSSL_UNSUPPORTED;
  uint32_t further = primes - 2;
  for (int i = 0; i < 5; i++) {
    if (!copy_part(work, parts[i], numbers[i])) return COPENSSL_FAILED;
  }
  for (uint32_t i = 0; i < further; i++) {
    further_prime *next = copenssl_rsa_add_prime(key);
    if (next == NULL || !copy_element(work, RSA_PRIMES, i, further, next->prime)
        || !copy_element(work, RSA_EXPONENTS, i, further, next->exponent)
        || !copy_element(work, RSA_COEFFICIENTS, i, further, next->coefficient)) {
      return COPENSSL_FAILED;
    }
  }
  int bits = BN_num_bits(key->p) + BN_num_bits(key->q);
  for (uint32_t i = 0; i < further; i++) {
    bits += BN_num_bits(sk_further_prime_value(key->further, (int)i)->prime);
  }
  // Before computing with them; the product may have fewer bits than its factors together.
  if (bits > OPENSSL_RSA_MAX_MODULUS_BITS + (int)primes) return COPENSSL_UNSUPPORTED;
  BIGNUM *phi = BN_CTX_get(work->context), *less = BN_CTX_get(work->context);
  if (less == NULL || !BN_one(key->n) || !BN_one(phi)
      || !multiply_less_one(work, key->n, phi, key->p)
      || !multiply_less_one(work, key->n, phi, key->q)) {
    return COPENSSL_FAILED;
  }
  for (uint32_t i = 0; i < further; i++) {
    const further_prime *next = sk_further_prime_value(key->further, (int)i);
    if (!multiply_less_one(work, key->n, phi, next->prime)) return COPENSSL_FAILED;
  }
  if (!BN_is_odd(key->n) || BN_is_zero(key->dp) || !BN_sub(less, key->p, BN_value_one())
      || !BN_mod_inverse(key->e, key->dp, less, work->context)) {
    return COPENSSL_FAILED;
  }
  // Judged before d is computed, which a long e would only make longer.
  copenssl_result result = copenssl_rsa_check_public(key->n, key->e);
  if (result != COPENSSL_DONE) return result;
  return BN_mod_inverse(key->d, key->e, phi, work->context) ? COPENSSL_DONE : COPENSSL_FAILED;
}

static copenssl_key *private_key(copenssl_work *work, copenssl_result *result) {
  const copenssl_component_request *request = work->request;
  private_numbers *key = copenssl_rsa_numbers_new();
  copenssl_key *made = NULL;
  double units = 0;
  *result = COPENSSL_FAILED;
  if (key != NULL) {
    copenssl_rsa_protect(key);
    *result = work->header.representation == 0 ? read_exponents(work, key, &units)
        : work->header.representation == 1     ? read_primes(work, key)
                                               : COPENSSL_UNSUPPORTED;
    if (*result == COPENSSL_DONE) {
      // Where factors are no primes, libcrypto notices a wrong result, and computes it again without them.
      if (work->header.representation == 1) units = copenssl_units(key->n, key->d);
      *result = copenssl_rsa_check_private(key, request->most_units - units);
    }
    if (*result == COPENSSL_DONE) {
      int digest = request->padding == COPENSSL_PKCS1 ? request->digest_nid : NID_undef;
      made = copenssl_rsa_make(
          work->library, work->properties, key->n, key->e, key, request->padding, digest, result);
    }
  }
  // While they are computed, they are made of the primes.
  if (key != NULL && made == NULL) {
    BN_clear(key->n);
    BN_clear(key->e);
  }
  copenssl_rsa_numbers_free(key);
  return made;
}

static copenssl_key *public_key(copenssl_work *work, copenssl_result *result) {
  const copenssl_component_request *request = work->request;
  const BIGNUM *n = copenssl_part(work, RSA_N), *e = copenssl_part(work, RSA_E);
  *result = COPENSSL_FAILED;
  if (n == NULL || e == NULL) return NULL;
  *result = copenssl_rsa_check_public(n, e);
  if (*result == COPENSSL_DONE && copenssl_units(n, e) > request->most_units) {
    *result = COPENSSL_UNSUPPORTED;
  }
  if (*result != COPENSSL_DONE) return NULL;
  int digest = request->padding == COPENSSL_PKCS1 ? request->digest_nid : NID_undef;
  return copenssl_rsa_make(
      work->library, work->properties, n, e, NULL, request->padding, digest, result);
}

// ---- Operations -----------------------------------------------------------------------------------------------------

// A context for the paddings that libcrypto builds around a hash, or around nothing.
static EVP_PKEY_CTX *signature_context(
    copenssl_work *work, copenssl_key *key, copenssl_result *result) {
  copenssl_padding padding = work->request->padding;
  bool is_sign = work->request->operation == COPENSSL_SIGN;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(work->library, key->pkey, work->properties);
  *result = COPENSSL_FAILED;
  if (context != NULL
      && (is_sign ? EVP_PKEY_sign_init(context) : EVP_PKEY_verify_init(context)) == 1) {
    // Not every hash has a place in X9.31, which libcrypto checks when it hears of the padding.
    *result = COPENSSL_UNSUPPORTED;
    if ((padding == COPENSSL_RAW || EVP_PKEY_CTX_set_signature_md(context, work->digest) == 1)
        && EVP_PKEY_CTX_set_rsa_padding(context, copenssl_rsa_padding(padding)) == 1
        && (padding != COPENSSL_PSS
            || EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1)) {
      return context;
    }
  }
  EVP_PKEY_CTX_free(context);
  return NULL;
}

// Signs or verifies without padding, with X9.31, or with PSS.
static copenssl_result run_signature(copenssl_work *work, copenssl_key *key) {
  const copenssl_component_request *request = work->request;
  uint8_t block[OPENSSL_RSA_MAX_MODULUS_BITS / 8], signature[sizeof(block)];
  if (request->padding != COPENSSL_RAW && work->digest == NULL) return COPENSSL_UNSUPPORTED;
  if (request->padding == COPENSSL_RAW) {
    if (work->text_count == 0 || work->text_count > key->size) return COPENSSL_FAILED;
    memset(block, 0, key->size - work->text_count);
    memcpy(block + key->size - work->text_count, work->text, work->text_count);
    work->text = block;
    work->text_count = key->size;
  }
  bool is_sign = request->operation == COPENSSL_SIGN;
  if (!is_sign && request->input_count != key->size) return COPENSSL_MISMATCH;
  copenssl_result result;
  EVP_PKEY_CTX *context = signature_context(work, key, &result);
  if (context == NULL) return result;
  size_t count = sizeof(signature);
  if (is_sign) {
    bool is_done =
        EVP_PKEY_sign(context, signature, &count, work->text, work->text_count) == 1
        && copenssl_emit_bytes(work, signature, count, 0);
    result = is_done ? COPENSSL_DONE : COPENSSL_FAILED;
  } else {
    bool is_right = EVP_PKEY_verify(
                        context, request->input, request->input_count, work->text,
                        work->text_count)
        == 1;
    result = is_right ? COPENSSL_DONE : COPENSSL_MISMATCH;
  }
  EVP_PKEY_CTX_free(context);
  return result;
}

static copenssl_result run_with(copenssl_work *work, copenssl_key *key) {
  const copenssl_component_request *request = work->request;
  copenssl_operation operation = request->operation;
  if (operation == COPENSSL_ENCRYPT || operation == COPENSSL_DECRYPT) {
    return copenssl_key_run(
        key, operation, request->input, request->input_count, NULL, 0, work->output, work->room,
        &work->written);
  }
  if (request->padding != COPENSSL_PKCS1) return run_signature(work, key);
  if (operation == COPENSSL_VERIFY) {
    size_t written;
    return copenssl_key_run(
        key, operation, request->input, request->input_count, work->text, work->text_count, NULL,
        0, &written);
  }
  uint8_t signature[OPENSSL_RSA_MAX_MODULUS_BITS / 8];
  size_t count = 0;
  copenssl_result result = copenssl_key_run(
      key, operation, work->text, work->text_count, NULL, 0, signature, sizeof(signature), &count);
  if (result != COPENSSL_DONE) return result;
  return copenssl_emit_bytes(work, signature, count, 0) ? COPENSSL_DONE : COPENSSL_FAILED;
}

copenssl_result copenssl_rsa_work(copenssl_work *work) {
  copenssl_operation operation = work->request->operation;
  copenssl_padding padding = work->request->padding;
  bool is_signature = operation == COPENSSL_SIGN || operation == COPENSSL_VERIFY;
  if (operation > COPENSSL_VERIFY) return COPENSSL_UNSUPPORTED;
  // OAEP is for texts, X9.31 and PSS are for signatures.
  if (is_signature ? padding == COPENSSL_OAEP : padding > COPENSSL_OAEP) {
    return COPENSSL_UNSUPPORTED;
  }
  bool is_private = operation == COPENSSL_SIGN || operation == COPENSSL_DECRYPT;
  copenssl_result result;
  copenssl_key *key = is_private ? private_key(work, &result) : public_key(work, &result);
  if (key == NULL) return result;
  result = run_with(work, key);
  copenssl_key_free(key);
  return result;
}
