// Shared by the files that read keys and the one that uses them.
#pragma once
#include "COpenSSL.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/params.h>
#include <string.h>

enum { COPENSSL_OPERATIONS = 4, COPENSSL_PARAMS = 48 };

struct copenssl_key {
  EVP_PKEY *pkey;
  // One per operation, so that an operation costs no set-up; null until it is first done.
  EVP_PKEY_CTX *contexts[COPENSSL_OPERATIONS];
  OSSL_LIB_CTX *library;
  const char *properties;
  bool is_private;
  // RSA: bytes of the modulus; else 0.
  size_t size;
  copenssl_padding padding;
  // RSA signatures: `DigestInfo` up to the digest, and the digest's length; both 0 without a hash.
  uint8_t prefix[32];
  size_t prefix_count;
  size_t digest_count;
};

// Numbers on their way into a key, in memory that can be wiped.
typedef struct {
  OSSL_PARAM list[COPENSSL_PARAMS];
  size_t count;
  size_t used;
  uint8_t bytes[16384];
} copenssl_params;

bool copenssl_params_bn(copenssl_params *params, const char *name, const BIGNUM *number);

// Why libcrypto has not given an object that was asked for, the errors of before being cleared: no provider has it
// (COPENSSL_UNSUPPORTED), or there was no memory for it (COPENSSL_FAILED). What was given once (the self-tests at the
// start ask for most) is there, so that it must be memory: libcrypto's own errors do not tell the two apart for certain.
// `name` is of static storage; `library` and `properties` are the engine's, the same ones each time.
copenssl_result copenssl_missing(OSSL_LIB_CTX *library, const char *properties, const char *name);
void copenssl_note_given(OSSL_LIB_CTX *library, const char *properties, const char *name);

// Makes a key of numbers that were checked. Null, with the reason in `*result`, if no provider has its type, or libcrypto
// refuses it.
copenssl_key *copenssl_key_make(
    OSSL_LIB_CTX *library, const char *properties, const char *type, bool is_private,
    OSSL_PARAM *params, copenssl_result *result);

bool copenssl_digest_prefix(copenssl_key *key, int digest_nid, size_t digest_count);

// The cost of an exponentiation: words² of the modulus × bits of the exponent.
double copenssl_units(const BIGNUM *modulus, const BIGNUM *exponent);

// libcrypto's number.
int copenssl_rsa_padding(copenssl_padding padding);

// A key on a named curve; `scalar` is null for a public one.
copenssl_key *copenssl_ec_make(
    OSSL_LIB_CTX *library, const char *properties, const EC_GROUP *group, const EC_POINT *point,
    const BIGNUM *scalar, BN_CTX *context, copenssl_result *result);
