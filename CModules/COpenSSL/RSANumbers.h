// The numbers of RSA keys, which encodings (RSAKeys.c) and keys in parts (RSAComponents.c) bring.
#pragma once
#include "AsymmetricKeys.h"
#include <openssl/safestack.h>

typedef struct {
  BIGNUM *prime, *exponent, *coefficient;
} further_prime;

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

// Zeros; null if there is no memory. What is private is wiped when they are freed; null is fine then.
private_numbers *copenssl_rsa_numbers_new(void);
void copenssl_rsa_numbers_free(private_numbers *key);

// One more prime, for the caller to fill in.
further_prime *copenssl_rsa_add_prime(private_numbers *key);

// Has libcrypto work with what is private in constant time.
void copenssl_rsa_protect(private_numbers *key);

// Whether modulus and public exponent make sense, and libcrypto will work with them.
copenssl_result copenssl_rsa_check_public(const BIGNUM *n, const BIGNUM *e);

// The same for a private key, and whether one operation with it stays below the limit.
copenssl_result copenssl_rsa_check_private(const private_numbers *key, double most_units);

// Makes a key of numbers that were checked; `key` is null for a public one.
copenssl_key *copenssl_rsa_make(
    OSSL_LIB_CTX *library, const char *properties, const BIGNUM *n, const BIGNUM *e,
    const private_numbers *key, copenssl_padding padding, int digest_nid,
    copenssl_result *result);
