// RSA keys that are generated, in either representation.
#include "ComponentWork.h"
#include "RSANumbers.h"
#include <openssl/rsa.h>

// As many primes as libcrypto takes: with more, factors would be short enough to be found.
static uint32_t most_primes(int bits) {
  return bits < 1024 ? 2 : bits < 4096 ? 3 : bits < 8192 ? 4 : 5;
}

static bool emit_exponents(copenssl_work *work, const EVP_PKEY *pkey) {
  return copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_N, 0)
      && copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_D, 1)
      && copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_N, 2)
      && copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_E, 3);
}

static bool emit_primes(copenssl_work *work, const EVP_PKEY *pkey) {
  static const char *first[] = {
      OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1,
      OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
  static const char *further[][MOST_FURTHER] = {
      {OSSL_PKEY_PARAM_RSA_FACTOR3, OSSL_PKEY_PARAM_RSA_FACTOR4, OSSL_PKEY_PARAM_RSA_FACTOR5},
      {OSSL_PKEY_PARAM_RSA_EXPONENT3, OSSL_PKEY_PARAM_RSA_EXPONENT4,
       OSSL_PKEY_PARAM_RSA_EXPONENT5},
      {OSSL_PKEY_PARAM_RSA_COEFFICIENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT3,
       OSSL_PKEY_PARAM_RSA_COEFFICIENT4}};
  for (int i = 0; i < 5; i++) {
    if (!copenssl_emit_param(work, pkey, first[i], i)) return false;
  }
  for (int kind = 0; kind < 3; kind++) {
    for (uint32_t i = 0; i + 2 < work->header.prime_count; i++) {
      if (!copenssl_emit_param(work, pkey, further[kind][i], 5 + kind)) return false;
    }
  }
  return copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_N, 8)
      && copenssl_emit_param(work, pkey, OSSL_PKEY_PARAM_RSA_E, 9);
}

// What generating takes, and whether it is worth beginning.
static copenssl_result check(copenssl_work *work, int bits, const BIGNUM *e) {
  uint32_t primes = work->header.prime_count;
  if (primes < 2 || !BN_is_odd(e) || BN_is_one(e)) return COPENSSL_FAILED;
  if (primes > most_primes(bits) || work->header.representation > 1) return COPENSSL_UNSUPPORTED;
  // Longer ones libcrypto does not use with moduli above 3072 bits.
  if (BN_num_bits(e) > OPENSSL_RSA_MAX_PUBEXP_BITS) return COPENSSL_UNSUPPORTED;
  return primes * copenssl_prime_units(bits / (int)primes) > work->request->most_units
      ? COPENSSL_UNSUPPORTED
      : COPENSSL_DONE;
}

copenssl_result copenssl_rsa_generate(copenssl_work *work) {
  uint32_t bytes = work->header.modulus_byte_count;
  if (bytes < LEAST_MODULUS_BITS / 8 || bytes > OPENSSL_RSA_MAX_MODULUS_BITS / 8) {
    return COPENSSL_UNSUPPORTED;
  }
  int bits = (int)bytes * 8;
  BIGNUM *e = copenssl_part(work, RSA_E);
  if (e == NULL) return COPENSSL_FAILED;
  copenssl_result result = check(work, bits, e);
  if (result != COPENSSL_DONE) return result;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(work->library, "RSA", work->properties);
  EVP_PKEY *made = NULL;
  result = context == NULL ? copenssl_missing(work->library, work->properties, "RSA") : COPENSSL_FAILED;
  if (context != NULL && EVP_PKEY_keygen_init(context) == 1
      && EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1
      && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, e) == 1
      && EVP_PKEY_CTX_set_rsa_keygen_primes(context, (int)work->header.prime_count) == 1) {
    made = copenssl_generate(work, context, false);
  }
  if (made != NULL
      && (work->header.representation == 0 ? emit_exponents(work, made)
                                           : emit_primes(work, made))) {
    result = COPENSSL_DONE;
  }
  EVP_PKEY_free(made);
  EVP_PKEY_CTX_free(context);
  return result;
}
