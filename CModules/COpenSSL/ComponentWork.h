// What the files that work with keys in parts share.
#pragma once
#include "AsymmetricKeys.h"

// One request while it is carried out. Its numbers are the context's, which wipes them when it is freed.
typedef struct {
  OSSL_LIB_CTX *library;
  const char *properties;
  const copenssl_component_request *request;
  // Copied, so that it is aligned.
  copenssl_components header;
  const uint8_t *parts[COPENSSL_PARTS];
  BN_CTX *context;
  // The hash, if there is one, and what is signed: its value of the message, or the message itself.
  EVP_MD *digest;
  uint8_t hash[EVP_MAX_MD_SIZE];
  const uint8_t *text;
  size_t text_count;
  uint8_t *output;
  size_t room;
  size_t written;
  // When what generates numbers has to give up, of the thread's processor time in nanoseconds.
  uint64_t deadline;
} copenssl_work;

enum {
  RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QINV, RSA_PRIMES, RSA_EXPONENTS,
  RSA_COEFFICIENTS,
  DSA_P = 0, DSA_Q, DSA_G, DSA_X, DSA_Y,
  DH_P = 0, DH_G, DH_X, DH_Y,
  EC_GX = 0, EC_GY, EC_ORDER, EC_FIELD, EC_A, EC_B, EC_COFACTOR, EC_SCALAR, EC_X, EC_Y,
};

// The number of a part; null if it is longer than any that can be used. The context's.
BIGNUM *copenssl_part(copenssl_work *work, int part);
// The same for a number that must not be told by time.
BIGNUM *copenssl_secret_part(copenssl_work *work, int part);

// Adds a number to the result, as wide as the header says for the result's part number `index`; false if it does not fit.
bool copenssl_emit(copenssl_work *work, const BIGNUM *number, int index);
// The same for bytes.
bool copenssl_emit_bytes(copenssl_work *work, const uint8_t *bytes, size_t count, int index);
// The same for a number that a key holds under a name.
bool copenssl_emit_param(copenssl_work *work, const EVP_PKEY *pkey, const char *name, int index);

// What generating a prime of so many bits takes.
double copenssl_prime_units(int bits);
// Generates a key, or parameters, with a context that was prepared for it, until the deadline.
EVP_PKEY *copenssl_generate(copenssl_work *work, EVP_PKEY_CTX *context, bool parameters);

// A secret of two keys, as the result's only part.
copenssl_result copenssl_derive(copenssl_work *work, EVP_PKEY *own, EVP_PKEY *peer);

// A signature of two numbers: made, or checked against those in the request's input. The DER between them is libcrypto's.
copenssl_result copenssl_sign_pair(copenssl_work *work, copenssl_key *key);
copenssl_result copenssl_verify_pair(copenssl_work *work, copenssl_key *key);

copenssl_result copenssl_rsa_work(copenssl_work *work);
copenssl_result copenssl_rsa_generate(copenssl_work *work);
copenssl_result copenssl_dsa_work(copenssl_work *work);
copenssl_result copenssl_dh_work(copenssl_work *work);
copenssl_result copenssl_ec_work(copenssl_work *work);
