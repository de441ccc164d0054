// libcrypto as EngineOpenSSL uses it: whole requests on keyed contexts, set-up of contexts, and a recycler for the
// small blocks that libcrypto 3.0 allocates per request.
//
// The functions marked COPENSSL_HOT promise Swift that they neither allocate nor lock. They keep the promise in steady
// state, through the recycler below: what libcrypto asks for comes from a list of the calling thread. Those that make
// or key a context carry the same mark, because the hot path calls them for the first request of a session; that once
// they may allocate. Lengths were checked by the caller to be at most 1 GiB; pointers are non-null unless said.
#pragma once
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COPENSSL_UNALLOCATING \
  __attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks")))
#define COPENSSL_HOT static inline COPENSSL_UNALLOCATING

// ---- Memory ---------------------------------------------------------------------------------------------------------

// Whether the recycler is under libcrypto, where it was put when the program was loaded. False if libcrypto had
// allocated before, which leaves the C library's allocator in place.
bool copenssl_install_recycler(void);

// How often the calling thread took memory for libcrypto from the C library because its own lists had none.
uint64_t copenssl_malloc_count(void);

// Zeroed memory that takes up room only where it is touched, kept out of core dumps; null if there is none.
void *copenssl_map(size_t count);
void copenssl_unmap(void *memory, size_t count);

COPENSSL_HOT void copenssl_copy(uint8_t *to, const uint8_t *from, size_t count) {
  memmove(to, from, count);
}

// A fill that the optimiser may not drop although nobody reads the memory again.
COPENSSL_HOT void copenssl_wipe(void *memory, size_t count) {
  memset(memory, 0, count);
  __asm__ volatile("" : : "r"(memory) : "memory");
}

// Whether two runs of bytes are equal, in time that depends on the count alone.
COPENSSL_HOT bool copenssl_equal(const uint8_t *a, const uint8_t *b, size_t count) {
  return CRYPTO_memcmp(a, b, count) == 0;
}

COPENSSL_HOT void copenssl_clear_errors(void) { ERR_clear_error(); }

// ---- Contexts (first request of a session, stateless requests, control side) ---------------------------------------

// A context that is keyed and wants an IV per request, padding off; null if libcrypto refuses.
EVP_CIPHER_CTX *copenssl_cipher_new(const EVP_CIPHER *cipher, const uint8_t *key, bool encrypt)
    COPENSSL_UNALLOCATING;
bool copenssl_cipher_rekey(EVP_CIPHER_CTX *context, const uint8_t *key) COPENSSL_UNALLOCATING;
// CCM builds the lengths of nonce and tag into its key set-up.
bool copenssl_ccm_rekey(
    EVP_CIPHER_CTX *context, const uint8_t *key, size_t nonce_count, size_t tag_count)
    COPENSSL_UNALLOCATING;
// Wipes and frees; null is allowed.
void copenssl_cipher_free(EVP_CIPHER_CTX *context) COPENSSL_UNALLOCATING;

// A keyed CMAC on the cipher of this name; `properties` may be null.
EVP_MAC_CTX *copenssl_mac_new(
    EVP_MAC *mac, const char *cipher, const char *properties,
    const uint8_t *key, size_t key_count) COPENSSL_UNALLOCATING;
bool copenssl_mac_rekey(EVP_MAC_CTX *context, const uint8_t *key, size_t key_count)
    COPENSSL_UNALLOCATING;
void copenssl_mac_free(EVP_MAC_CTX *context) COPENSSL_UNALLOCATING;

EVP_MD_CTX *copenssl_digest_new(void) COPENSSL_UNALLOCATING;
// Leaves nothing of what the context has hashed; null is allowed.
void copenssl_digest_reset(EVP_MD_CTX *context) COPENSSL_UNALLOCATING;
// Wipes and frees; null is allowed.
void copenssl_digest_free(EVP_MD_CTX *context) COPENSSL_UNALLOCATING;
// Takes the two contexts of an HMAC past its padded keys (RFC 2104 §2).
bool copenssl_hmac_key(
    EVP_MD_CTX *inner, EVP_MD_CTX *outer, const EVP_MD *digest, const uint8_t *key,
    size_t key_count) COPENSSL_UNALLOCATING;

// ---- Whole requests -------------------------------------------------------------------------------------------------

// 16 bytes of IV, in memory order.
typedef struct { uint64_t words[2]; } copenssl_block;

COPENSSL_HOT copenssl_block copenssl_make_block(uint64_t first, uint64_t second) {
  return (copenssl_block){{first, second}};
}

COPENSSL_HOT void copenssl_store_block(uint8_t *to, copenssl_block block) {
  memcpy(to, block.words, 16);
}

COPENSSL_HOT void copenssl_xor_block(uint8_t *to, const uint8_t *with) {
  for (int i = 0; i < 16; i++) to[i] ^= with[i];
}

// Whether the leading bytes are equal, in time that depends on their count alone.
COPENSSL_HOT bool copenssl_block_equals(copenssl_block block, const uint8_t *other, size_t count) {
  return CRYPTO_memcmp(block.words, other, count) == 0;
}

// The 12 bytes at `iv`, once read, and zeros.
COPENSSL_HOT copenssl_block copenssl_load_iv12(const uint8_t *iv) {
  copenssl_block block = {{0, 0}};
  memcpy(block.words, iv, 12);
  return block;
}

// Enciphers or deciphers, as the context was made, with the leading bytes of `iv` that the cipher wants.
COPENSSL_HOT bool copenssl_cipher_run(
    EVP_CIPHER_CTX *context, copenssl_block iv, const uint8_t *source, uint32_t count,
    uint8_t *destination) {
  int written = 0;
  if (!EVP_CipherInit_ex2(context, NULL, NULL, (const unsigned char *)iv.words, -1, NULL)) return false;
  return count == 0
      || (EVP_CipherUpdate(context, destination, &written, source, (int)count)
          && written == (int)count);
}

// The same for a mode without an IV; `count` is a multiple of the block, so nothing is left over between requests.
COPENSSL_HOT bool copenssl_cipher_run_plain(
    EVP_CIPHER_CTX *context, const uint8_t *source, uint32_t count, uint8_t *destination) {
  int written = 0;
  return count == 0
      || (EVP_CipherUpdate(context, destination, &written, source, (int)count)
          && written == (int)count);
}

COPENSSL_HOT bool copenssl_digest_begin(EVP_MD_CTX *context, const EVP_MD *digest) {
  return EVP_DigestInit_ex2(context, digest, NULL);
}

COPENSSL_HOT bool copenssl_digest_update(EVP_MD_CTX *context, const uint8_t *source, uint32_t count) {
  return count == 0 || EVP_DigestUpdate(context, source, count);
}

// Writes the whole digest, at most 64 bytes; returns its length, 0 on failure.
COPENSSL_HOT uint32_t copenssl_digest_finish(EVP_MD_CTX *context, uint8_t *result) {
  unsigned written = 0;
  return EVP_DigestFinal_ex(context, result, &written) ? written : 0;
}

COPENSSL_HOT bool copenssl_digest_finish_extendable(
    EVP_MD_CTX *context, uint8_t *result, uint32_t count) {
  return EVP_DigestFinalXOF(context, result, count);
}

// The CMAC of prefix ‖ source, under the key that the context has; `result` has room for 64 bytes.
COPENSSL_HOT bool copenssl_mac_run(
    EVP_MAC_CTX *context, const uint8_t *prefix, uint32_t prefix_count, const uint8_t *source,
    uint32_t count, uint8_t *result) {
  size_t written = 0;
  return EVP_MAC_init(context, NULL, 0, NULL)
      && (prefix_count == 0 || EVP_MAC_update(context, prefix, prefix_count))
      && (count == 0 || EVP_MAC_update(context, source, count))
      && EVP_MAC_final(context, result, &written, 64);
}

// HMAC of prefix ‖ source from two keyed contexts, which stay as they are; `result` has room for 64 bytes. Copying them
// takes three quarters of the time that libcrypto 3.0's EVP_MAC takes to do the same (172 ns against 229 for 64 bytes).
COPENSSL_HOT bool copenssl_hmac_run(
    EVP_MD_CTX *work, const EVP_MD_CTX *inner, const EVP_MD_CTX *outer, const uint8_t *prefix,
    uint32_t prefix_count, const uint8_t *source, uint32_t count, uint8_t *result) {
  unsigned written = 0;
  return EVP_MD_CTX_copy_ex(work, inner)
      && (prefix_count == 0 || EVP_DigestUpdate(work, prefix, prefix_count))
      && (count == 0 || EVP_DigestUpdate(work, source, count))
      && EVP_DigestFinal_ex(work, result, &written)
      && EVP_MD_CTX_copy_ex(work, outer)
      && EVP_DigestUpdate(work, result, written)
      && EVP_DigestFinal_ex(work, result, &written);
}

// ---- AEADs ----------------------------------------------------------------------------------------------------------

COPENSSL_HOT bool copenssl_get_tag(EVP_CIPHER_CTX *context, uint8_t *tag, size_t tag_count) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, tag_count), OSSL_PARAM_END};
  return EVP_CIPHER_CTX_get_params(context, params);
}

COPENSSL_HOT bool copenssl_set_tag(EVP_CIPHER_CTX *context, uint8_t *tag, size_t tag_count) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, tag_count), OSSL_PARAM_END};
  return EVP_CIPHER_CTX_set_params(context, params);
}

// Sets the nonce and feeds the associated data of GCM or ChaCha20-Poly1305.
COPENSSL_HOT bool copenssl_aead_begin(
    EVP_CIPHER_CTX *context, copenssl_block iv, const uint8_t *aad, uint32_t aad_count) {
  int written = 0;
  return EVP_CipherInit_ex2(context, NULL, NULL, (const unsigned char *)iv.words, -1, NULL)
      && (aad_count == 0 || EVP_CipherUpdate(context, NULL, &written, aad, (int)aad_count));
}

COPENSSL_HOT bool copenssl_aead_update(
    EVP_CIPHER_CTX *context, const uint8_t *source, uint32_t count, uint8_t *destination) {
  int written = 0;
  return count == 0 || EVP_CipherUpdate(context, destination, &written, source, (int)count);
}

// Ends an encryption and writes the leading bytes of the tag.
COPENSSL_HOT bool copenssl_aead_finish(EVP_CIPHER_CTX *context, uint8_t *tag, uint32_t tag_count) {
  uint8_t nothing[16];
  int written = 0;
  return EVP_CipherFinal_ex(context, nothing, &written) && copenssl_get_tag(context, tag, tag_count);
}

// Ends a decryption: 1 if the leading bytes of the tag are right, 0 if not, −1 if libcrypto failed before it could tell.
COPENSSL_HOT int copenssl_aead_verify(EVP_CIPHER_CTX *context, copenssl_block tag, uint32_t tag_count) {
  uint8_t nothing[16];
  int written = 0;
  if (!copenssl_set_tag(context, (uint8_t *)tag.words, tag_count)) return -1;
  return EVP_CipherFinal_ex(context, nothing, &written) ? 1 : 0;
}

// Everything that CCM wants to know before the text: nonce, length of the text, associated data.
COPENSSL_HOT bool copenssl_ccm_begin(
    EVP_CIPHER_CTX *context, copenssl_block nonce, uint32_t count, const uint8_t *aad,
    uint32_t aad_count) {
  int written = 0;
  return EVP_CipherInit_ex2(context, NULL, NULL, (const unsigned char *)nonce.words, -1, NULL)
      && EVP_CipherUpdate(context, NULL, &written, NULL, (int)count)
      && (aad_count == 0 || EVP_CipherUpdate(context, NULL, &written, aad, (int)aad_count));
}

COPENSSL_HOT bool copenssl_ccm_seal(
    EVP_CIPHER_CTX *context, const uint8_t *source, uint32_t count, uint8_t *destination,
    uint8_t *tag, uint32_t tag_count) {
  int written = 0;
  return EVP_CipherUpdate(context, destination, &written, source, (int)count)
      && copenssl_get_tag(context, tag, tag_count);
}

COPENSSL_HOT bool copenssl_ccm_expect(EVP_CIPHER_CTX *context, copenssl_block tag, uint32_t tag_count) {
  return copenssl_set_tag(context, (uint8_t *)tag.words, tag_count);
}

// Deciphers the whole text and compares the tag.
COPENSSL_HOT bool copenssl_ccm_open(
    EVP_CIPHER_CTX *context, const uint8_t *source, uint32_t count, uint8_t *destination) {
  int written = 0;
  return EVP_CipherUpdate(context, destination, &written, source, (int)count);
}
