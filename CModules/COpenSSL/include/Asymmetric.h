// Public-key operations: keys as guests encode them, checked and made into libcrypto's, and operations with them.
//
// The mark COPENSSL_UNALLOCATING is there because the data path calls these where a device has no helper threads. They
// do allocate, unlike what the data path does for symmetric requests: libcrypto's big numbers come from its allocator.
#pragma once
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A key with its contexts, made at first use.
typedef struct copenssl_key copenssl_key;

typedef enum {
  COPENSSL_DONE = 0,
  // Lengths do not fit, the input is no number below the modulus, the padding is wrong, or libcrypto failed.
  COPENSSL_FAILED = 1,
  COPENSSL_MISMATCH = 2,
  // The key has no part for this.
  COPENSSL_UNSUPPORTED = 3,
} copenssl_result;

typedef enum { COPENSSL_ENCRYPT, COPENSSL_DECRYPT, COPENSSL_SIGN, COPENSSL_VERIFY } copenssl_operation;
typedef enum { COPENSSL_RAW, COPENSSL_PKCS1 } copenssl_padding;

// How long this host takes for one modular multiplication, as measured now; see `most_units`.
double copenssl_nanoseconds_per_unit(void);

// RSA keys of PKCS#1 in DER: `RSAPrivateKey` or `RSAPublicKey`. Integers are read as unsigned, as Linux does, whose
// drivers send moduli without the zero in front. A private key without its factors (all zero) is used without them.
//
// `digest_nid`: the hash whose digests are signed, or NID_undef. `most_units`: a key that would need more
// multiplications (words² × bits of exponents) in one operation is unsupported. Null, with the reason in `*result`, if
// the key is not usable.
copenssl_key *copenssl_rsa_new(
    OSSL_LIB_CTX *library, const char *properties, const uint8_t *der, size_t count,
    bool is_private, copenssl_padding padding, int digest_nid, double most_units,
    copenssl_result *result) COPENSSL_UNALLOCATING;

// ECDSA keys on a named curve: `ECPrivateKey` of RFC 5915 in DER, or a point of SEC 1.
copenssl_key *copenssl_ecdsa_new(
    OSSL_LIB_CTX *library, const char *properties, int curve_nid, const uint8_t *encoded,
    size_t count, bool is_private, copenssl_result *result) COPENSSL_UNALLOCATING;

// Null is fine. What is private is wiped.
void copenssl_key_free(copenssl_key *key) COPENSSL_UNALLOCATING;

// Runs an operation. `extra`: for COPENSSL_VERIFY what was signed (`input` is the signature). `*written`: at most
// `room` bytes of `output`.
copenssl_result copenssl_key_run(
    copenssl_key *key, copenssl_operation operation, const uint8_t *input, size_t count,
    const uint8_t *extra, size_t extra_count, uint8_t *output, size_t room, size_t *written)
    COPENSSL_UNALLOCATING;
