// RSA keys as PKCS#1 encodes them (RFC 8017 appendix A.1), read by libcrypto's ASN.1 templates.
//
// libcrypto's own reader of private keys refuses those that Linux's self-tests bring: version 1 without further primes,
// and zeros for the factors. What it would check is checked here.
#include "AsymmetricKeys.h"
#include <openssl/asn1t.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

typedef struct {
  BIGNUM *n, *e;
} public_numbers;

ASN1_SEQUENCE(public_numbers) = {
    ASN1_SIMPLE(public_numbers, n, BIGNUM),
    ASN1_SIMPLE(public_numbers, e, BIGNUM),
} static_ASN1_SEQUENCE_END(public_numbers)

typedef struct {
  BIGNUM *prime, *exponent, *coefficient;
} further_prime;

ASN1_SEQUENCE(further_prime) = {
    ASN1_SIMPLE(further_prime, prime, CBIGNUM),
    ASN1_SIMPLE(further_prime, exponent, CBIGNUM),
    ASN1_SIMPLE(further_prime, coefficient, CBIGNUM),
} static_ASN1_SEQUENCE_END(further_prime)

DEFINE_STACK_OF(further_prime)

// libcrypto works with five primes at the most.
enum { MOST_FURTHER = 3 };

// What libcrypto generates at the least; shorter keys have no room for PKCS#1's padding.
enum { LEAST_MODULUS_BITS = 512 };

typedef struct {
  int32_t version;
  BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv;
  STACK_OF(further_prime) * further;
} private_numbers;

ASN1_SEQUENCE(private_numbers) = {
    ASN1_EMBED(private_numbers, version, INT32),
    ASN1_SIMPLE(private_numbers, n, BIGNUM),
    ASN1_SIMPLE(private_numbers, e, BIGNUM),
    ASN1_SIMPLE(private_numbers, d, CBIGNUM),
    ASN1_SIMPLE(private_numbers, p, CBIGNUM),
    ASN1_SIMPLE(private_numbers, q, CBIGNUM),
    ASN1_SIMPLE(private_numbers, dp, CBIGNUM),
    ASN1_SIMPLE(private_numbers, dq, CBIGNUM),
    ASN1_SIMPLE(private_numbers, qinv, CBIGNUM),
    ASN1_SEQUENCE_OF_OPT(private_numbers, further, further_prime),
} static_ASN1_SEQUENCE_END(private_numbers)

// Whether modulus and public exponent make sense, and libcrypto will work with them.
static copenssl_result check_public(const BIGNUM *n, const BIGNUM *e) {
  int bits = BN_num_bits(n);
  if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_cmp(e, n) >= 0) return COPENSSL_FAILED;
  if (bits < LEAST_MODULUS_BITS || bits > OPENSSL_RSA_MAX_MODULUS_BITS) {
    return COPENSSL_UNSUPPORTED;
  }
  if (bits > OPENSSL_RSA_SMALL_MODULUS_BITS && BN_num_bits(e) > OPENSSL_RSA_MAX_PUBEXP_BITS) {
    return COPENSSL_UNSUPPORTED;
  }
  return COPENSSL_DONE;
}

// Whether exponent = d mod (prime − 1), and undoes e.
static bool fits_exponent(
    const BIGNUM *d, const BIGNUM *e, const BIGNUM *prime, const BIGNUM *exponent,
    BN_CTX *context) {
  BN_CTX_start(context);
  BIGNUM *less = BN_CTX_get(context), *rest = BN_CTX_get(context);
  bool fits = rest != NULL && BN_sub(less, prime, BN_value_one()) && !BN_is_zero(less)
      && BN_mod(rest, d, less, context) && BN_cmp(rest, exponent) == 0
      && BN_mod_mul(rest, exponent, e, less, context) && BN_is_one(rest);
  if (less != NULL) BN_clear(less);
  if (rest != NULL) BN_clear(rest);
  BN_CTX_end(context);
  return fits;
}

// Whether coefficient · factor ≡ 1 modulo the prime.
static bool fits_coefficient(
    const BIGNUM *coefficient, const BIGNUM *factor, const BIGNUM *prime, BN_CTX *context) {
  BN_CTX_start(context);
  BIGNUM *product = BN_CTX_get(context);
  bool fits = product != NULL && BN_cmp(coefficient, prime) < 0
      && BN_mod_mul(product, coefficient, factor, prime, context) && BN_is_one(product);
  if (product != NULL) BN_clear(product);
  BN_CTX_end(context);
  return fits;
}

static bool has_factors(const private_numbers *key) {
  return !BN_is_zero(key->p) && !BN_is_zero(key->q) && !BN_is_zero(key->dp)
      && !BN_is_zero(key->dq) && !BN_is_zero(key->qinv);
}

// Whether factors, exponents and coefficients belong to n and d: with others an operation would take unbounded time, or
// give wrong results.
static bool fits_factors(const private_numbers *key, BN_CTX *context) {
  int further = sk_further_prime_num(key->further);
  if (further > MOST_FURTHER) return false;
  BN_CTX_start(context);
  BIGNUM *product = BN_CTX_get(context);
  bool fits = product != NULL && BN_mul(product, key->p, key->q, context)
      && BN_cmp(product, key->n) <= 0 && fits_exponent(key->d, key->e, key->p, key->dp, context)
      && fits_exponent(key->d, key->e, key->q, key->dq, context)
      && fits_coefficient(key->qinv, key->q, key->p, context);
  for (int i = 0; fits && i < further; i++) {
    const further_prime *next = sk_further_prime_value(key->further, i);
    fits = !BN_is_zero(next->prime) && fits_exponent(key->d, key->e, next->prime, next->exponent, context)
        && fits_coefficient(next->coefficient, product, next->prime, context)
        && BN_mul(product, product, next->prime, context) && BN_cmp(product, key->n) <= 0;
  }
  fits = fits && BN_cmp(product, key->n) == 0;
  if (product != NULL) BN_clear(product);
  BN_CTX_end(context);
  return fits;
}

// What a private operation costs at the most. With factors, libcrypto checks its result with e, and where it is wrong, as
// with factors that are no primes, it starts again with d.
static double private_units(const private_numbers *key) {
  double units = copenssl_units(key->n, key->e) + copenssl_units(key->n, key->d);
  if (!has_factors(key)) return units;
  units += copenssl_units(key->p, key->dp) + copenssl_units(key->q, key->dq);
  for (int i = 0; i < sk_further_prime_num(key->further); i++) {
    const further_prime *next = sk_further_prime_value(key->further, i);
    units += copenssl_units(next->prime, next->exponent);
  }
  return units;
}

static bool push_private(copenssl_params *params, const private_numbers *key) {
  if (!copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_D, key->d)) return false;
  if (!has_factors(key)) return true;
  static const char *factors[] = {
      OSSL_PKEY_PARAM_RSA_FACTOR3, OSSL_PKEY_PARAM_RSA_FACTOR4, OSSL_PKEY_PARAM_RSA_FACTOR5};
  static const char *exponents[] = {
      OSSL_PKEY_PARAM_RSA_EXPONENT3, OSSL_PKEY_PARAM_RSA_EXPONENT4, OSSL_PKEY_PARAM_RSA_EXPONENT5};
  static const char *coefficients[] = {
      OSSL_PKEY_PARAM_RSA_COEFFICIENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT3,
      OSSL_PKEY_PARAM_RSA_COEFFICIENT4};
  bool is_done = copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_FACTOR1, key->p)
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_FACTOR2, key->q)
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_EXPONENT1, key->dp)
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_EXPONENT2, key->dq)
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, key->qinv);
  for (int i = 0; is_done && i < sk_further_prime_num(key->further); i++) {
    const further_prime *next = sk_further_prime_value(key->further, i);
    is_done = copenssl_params_bn(params, factors[i], next->prime)
        && copenssl_params_bn(params, exponents[i], next->exponent)
        && copenssl_params_bn(params, coefficients[i], next->coefficient);
  }
  return is_done;
}

static size_t digest_count(int nid) {
  switch (nid) {
    case NID_md2:
    case NID_md4:
    case NID_md5: return 16;
    case NID_sha1: return 20;
    case NID_sha224:
    case NID_sha3_224: return 28;
    case NID_sha256:
    case NID_sha3_256: return 32;
    case NID_sha384:
    case NID_sha3_384: return 48;
    default: return 64;
  }
}

// Makes the key; `key` is null for a public one.
static copenssl_key *make(
    OSSL_LIB_CTX *library, const char *properties, const BIGNUM *n, const BIGNUM *e,
    const private_numbers *key, copenssl_padding padding, int digest_nid,
    copenssl_result *result) {
  copenssl_params *params = OPENSSL_zalloc(sizeof(*params));
  copenssl_key *made = NULL;
  *result = COPENSSL_FAILED;
  if (params == NULL) return NULL;
  if (copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_N, n)
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_RSA_E, e)
      && (key == NULL || push_private(params, key))) {
    made = copenssl_key_make(library, properties, "RSA", key != NULL, params->list, result);
  }
  OPENSSL_clear_free(params, sizeof(*params));
  if (made == NULL) return NULL;
  made->size = (size_t)BN_num_bytes(n);
  made->padding = padding;
  if (digest_nid != NID_undef
      && !copenssl_digest_prefix(made, digest_nid, digest_count(digest_nid))) {
    copenssl_key_free(made);
    *result = COPENSSL_FAILED;
    return NULL;
  }
  return made;
}

static copenssl_key *new_public(
    OSSL_LIB_CTX *library, const char *properties, const uint8_t *der, size_t count,
    copenssl_padding padding, int digest_nid, double most_units, copenssl_result *result) {
  const unsigned char *end = der;
  copenssl_key *made = NULL;
  public_numbers *numbers =
      (public_numbers *)ASN1_item_d2i(NULL, &end, (long)count, ASN1_ITEM_rptr(public_numbers));
  *result = COPENSSL_FAILED;
  if (numbers != NULL && end == der + count) {
    *result = check_public(numbers->n, numbers->e);
    if (*result == COPENSSL_DONE && copenssl_units(numbers->n, numbers->e) > most_units) {
      *result = COPENSSL_UNSUPPORTED;
    }
    if (*result == COPENSSL_DONE) {
      made = make(library, properties, numbers->n, numbers->e, NULL, padding, digest_nid, result);
    }
  }
  ASN1_item_free((ASN1_VALUE *)numbers, ASN1_ITEM_rptr(public_numbers));
  return made;
}

static copenssl_result check_private(const private_numbers *key, double most_units) {
  if (key->version != 0 && key->version != 1) return COPENSSL_FAILED;
  copenssl_result result = check_public(key->n, key->e);
  if (result != COPENSSL_DONE) return result;
  if (BN_is_zero(key->d) || BN_is_one(key->d)) return COPENSSL_FAILED;
  if (has_factors(key)) {
    BN_CTX *context = BN_CTX_new();
    bool fits = context != NULL && fits_factors(key, context);
    BN_CTX_free(context);
    if (!fits) return COPENSSL_FAILED;
  }
  return private_units(key) > most_units ? COPENSSL_UNSUPPORTED : COPENSSL_DONE;
}

static copenssl_key *new_private(
    OSSL_LIB_CTX *library, const char *properties, const uint8_t *der, size_t count,
    copenssl_padding padding, int digest_nid, double most_units, copenssl_result *result) {
  const unsigned char *end = der;
  copenssl_key *made = NULL;
  private_numbers *key =
      (private_numbers *)ASN1_item_d2i(NULL, &end, (long)count, ASN1_ITEM_rptr(private_numbers));
  *result = COPENSSL_FAILED;
  if (key != NULL && end == der + count) {
    BIGNUM *secrets[] = {key->d, key->p, key->q, key->dp, key->dq, key->qinv};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
      BN_set_flags(secrets[i], BN_FLG_CONSTTIME);
    }
    *result = check_private(key, most_units);
    if (*result == COPENSSL_DONE) {
      made = make(library, properties, key->n, key->e, key, padding, digest_nid, result);
    }
  }
  ASN1_item_free((ASN1_VALUE *)key, ASN1_ITEM_rptr(private_numbers));
  return made;
}

copenssl_key *copenssl_rsa_new(
    OSSL_LIB_CTX *library, const char *properties, const uint8_t *der, size_t count,
    bool is_private, copenssl_padding padding, int digest_nid, double most_units,
    copenssl_result *result) {
  return is_private ? new_private(
                          library, properties, der, count, padding, digest_nid, most_units, result)
                    : new_public(
                          library, properties, der, count, padding, digest_nid, most_units, result);
}
