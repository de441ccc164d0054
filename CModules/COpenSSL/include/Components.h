// Public-key operations with keys in parts, each complete in one call: numbers as they are, big-endian and unsigned,
// checked here; parameters and keys are also generated here.
//
// Parts, in the order in which their bytes follow the header:
//
//   RSA          n e d p q dp dq qinv, then of all further primes: primes, exponents, coefficients
//   DSA          p q g x y
//   DH           p g x y
//   ECDSA, ECDH  the generator's x and y, order, field prime or polynomial, a, b, cofactor, scalar, x, y
#pragma once
#include "Asymmetric.h"

typedef enum {
  COPENSSL_RSA, COPENSSL_DSA, COPENSSL_DH, COPENSSL_ECDSA, COPENSSL_ECDH
} copenssl_algorithm;

enum { COPENSSL_PARTS = 12 };

// What a key in parts starts with, in the host's byte order. CryptoTypes' `AsymmetricComponents` has the same layout.
typedef struct {
  // 0: the curve's field is prime; 1: binary.
  uint32_t field_type;
  // RSA: how many primes; which of the two representations a generated key has (0: n and d; 1: primes).
  uint32_t prime_count;
  uint32_t representation;
  // Of what is to be generated.
  uint32_t modulus_byte_count;
  uint32_t part_counts[COPENSSL_PARTS];
  // The widths of the result's parts, which are padded with zeros in front; of VERIFY: of the signature's.
  uint32_t result_counts[COPENSSL_PARTS];
} copenssl_components;

typedef struct {
  copenssl_algorithm algorithm;
  copenssl_operation operation;
  copenssl_padding padding;
  // What messages are hashed with before they are signed, or NID_undef.
  int digest_nid;
  // An operation that needs more multiplications (words² × bits of exponents) is unsupported, and one whose duration
  // cannot be told fails when it has taken so many milliseconds.
  double most_units;
  uint32_t most_milliseconds;
  // `copenssl_components`, and the parts.
  const uint8_t *key;
  size_t key_count;
  // Text, or (VERIFY) signature; and (VERIFY) text.
  const uint8_t *input;
  size_t input_count;
  const uint8_t *extra;
  size_t extra_count;
} copenssl_component_request;

// Finds out about the curves that libcrypto has. Once, before the first request.
void copenssl_curves_prepare(void);

// Carries out a request. `*written`: at most `room` bytes of `output`.
copenssl_result copenssl_components_run(
    OSSL_LIB_CTX *library, const char *properties, const copenssl_component_request *request,
    uint8_t *output, size_t room, size_t *written) COPENSSL_UNALLOCATING;
