// libcrypto as EngineOpenSSL uses it: whole requests on keyed contexts, set-up of contexts, and a recycler for the
// small blocks that libcrypto 3.0 allocates per request.
//
// The functions marked COPENSSL_HOT promise Swift that they neither allocate nor lock. They keep the promise in steady
// state, through the recycler below: what libcrypto asks for comes from a list of the calling thread. Those that make
// or key a context carry the same mark, because the hot path calls them for the first request of a session; that once
// they may allocate. Lengths were checked by the caller to be at most 1 GiB; pointers are non-null unless said.
#pragma once
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COPENSSL_UNALLOCATING \
  __attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks")))
#define COPENSSL_HOT static inline COPENSSL_UNALLOCATING

#include "Asymmetric.h"
#include "Components.h"

// ---- Memory ---------------------------------------------------------------------------------------------------------

// Whether the recycler is under libcrypto, where it was put when the program was loaded. False if libcrypto had
// allocated before, which leaves the C library's allocator in place.
bool copenssl_install_recycler(void);

// How often the calling thread took memory for libcrypto from the C library because its own lists had none.
uint64_t copenssl_malloc_count(void);

// Zeroed memory that takes up room only where it is touched, kept out of core dumps; null if there is none.
void *copenssl_map(size_t count);
void copenssl_unmap(void *memory, size_t count);
// Whole pages of such memory go back to the system: they read as zero afterwards.
COPENSSL_UNALLOCATING void copenssl_give_back(void *memory, size_t count);

COPENSSL_HOT void copenssl_copy(uint8_t *to, const uint8_t *from, size_t count) {
  memmove(to, from, count);
}

// A fill that the optimiser may not drop although nobody reads the memory again.
COPENSSL_HOT void copenssl_wipe(void *memory, size_t count) {
  memset(memory, 0, count);
  __asm__ volatile("" : : "r"(memory) : "memory");
}

// Wipes the caller's unused stack, where the frames of the library's functions lay that it has called.
COPENSSL_UNALLOCATING void copenssl_wipe_stack(void);

// Whether two runs of bytes are equal, in time that depends on the count alone.
COPENSSL_HOT bool copenssl_equal(const uint8_t *a, const uint8_t *b, size_t count) {
  return CRYPTO_memcmp(a, b, count) == 0;
}

COPENSSL_HOT void copenssl_clear_errors(void) { ERR_clear_error(); }

// Before a library context goes: forgets what it has given, for the next one may be at the same address.
void copenssl_forget_given(OSSL_LIB_CTX *library);

// ---- Contexts (first request of a session, stateless requests, control side) ---------------------------------------

// A context that is keyed and wants an IV per request, padding off; null if libcrypto refuses.
EVP_CIPHER_CTX *copenssl_cipher_new(const EVP_CIPHER *cipher, const uint8_t *key, bool encrypt)
    COPENSSL_UNALLOCATING;
bool copenssl_cipher_rekey(EVP_CIPHER_CTX *context, const uint8_t *key) COPENSSL_UNALLOCATING;
// A context of a cipher whose keys have any length, for keys of this one; it has none yet. Null if libcrypto refuses.
EVP_CIPHER_CTX *copenssl_cipher_new_unkeyed(
    const EVP_CIPHER *cipher, size_t key_count, bool encrypt) COPENSSL_UNALLOCATING;
// The length of the next key.
bool copenssl_cipher_set_key_count(EVP_CIPHER_CTX *context, size_t key_count) COPENSSL_UNALLOCATING;
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

// The SHA-256 of bytes in one go, by libcrypto's default provider; false on failure.
bool copenssl_sha256(const void *bytes, size_t count, uint8_t result[32]) COPENSSL_UNALLOCATING;

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

COPENSSL_HOT copenssl_block copenssl_load_block(const uint8_t *from) {
  copenssl_block block;
  memcpy(block.words, from, 16);
  return block;
}

COPENSSL_HOT void copenssl_xor_block(uint8_t *to, const uint8_t *with) {
  for (int i = 0; i < 16; i++) to[i] ^= with[i];
}

// `to` may be `a`. Eight bytes at a time, each read once: `a` may be the guest's.
COPENSSL_HOT void copenssl_xor(uint8_t *to, const uint8_t *a, const uint8_t *b, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t x, y;
    memcpy(&x, a + i, 8);
    memcpy(&y, b + i, 8);
    x ^= y;
    memcpy(to + i, &x, 8);
  }
  for (; i < count; i++) to[i] = a[i] ^ b[i];
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

// ---- Modes that libcrypto has not -----------------------------------------------------------------------------------

// Counter mode on a cipher with blocks of 8 bytes, of which the counter is the whole: `ecb` enciphers, and `stream` is
// room for a piece of the key stream, of a multiple of 8 bytes, wiped afterwards.
COPENSSL_HOT bool copenssl_count64_run(
    EVP_CIPHER_CTX *ecb, uint64_t counter, const uint8_t *source, uint32_t count,
    uint8_t *destination, uint8_t *stream, uint32_t stream_count) {
  uint32_t used = count < stream_count ? (count + 7) & ~7u : stream_count;
  bool is_done = true;
  while (is_done && count > 0) {
    uint32_t piece = count < stream_count ? count : stream_count;
    uint32_t whole = (piece + 7) & ~7u;
    for (uint32_t i = 0; i < whole; i += 8) {
      uint64_t block = __builtin_bswap64(counter++);
      memcpy(stream + i, &block, 8);
    }
    is_done = copenssl_cipher_run_plain(ecb, stream, whole, stream);
    if (is_done) copenssl_xor(destination, source, stream, piece);
    source += piece;
    destination += piece;
    count -= piece;
  }
  copenssl_wipe(stream, used);
  return is_done;
}

// The f8 mode of RFC 3711 §4.1.2 on AES: `masked` enciphers blocks under key ⊕ mask. Its key stream
// S(j) = E(IV' ⊕ j ⊕ S(j−1)) is what CBC from a zero IV makes of the blocks IV' ⊕ j, at libcrypto's full speed: `cbc`
// enciphers under the key. `stream` is room for a piece of a multiple of 16 bytes, wiped afterwards.
COPENSSL_HOT bool copenssl_f8_run(
    EVP_CIPHER_CTX *masked, EVP_CIPHER_CTX *cbc, copenssl_block iv, const uint8_t *source,
    uint32_t count, uint8_t *destination, uint8_t *stream, uint32_t stream_count) {
  const copenssl_block zero = {{0, 0}};
  uint8_t secret[16];
  uint32_t used = count < stream_count ? (count + 15) & ~15u : stream_count;
  uint32_t number = 0;
  bool is_done = copenssl_cipher_run_plain(masked, (const uint8_t *)iv.words, 16, secret)
      && EVP_CipherInit_ex2(cbc, NULL, NULL, (const unsigned char *)zero.words, -1, NULL);
  while (is_done && count > 0) {
    uint32_t piece = count < stream_count ? count : stream_count;
    uint32_t whole = (piece + 15) & ~15u;
    for (uint32_t i = 0; i < whole; i += 16) {
      uint32_t j = __builtin_bswap32(number++);
      memcpy(stream + i, secret, 16);
      copenssl_xor(stream + i + 12, stream + i + 12, (const uint8_t *)&j, 4);
    }
    is_done = copenssl_cipher_run_plain(cbc, stream, whole, stream);
    if (is_done) copenssl_xor(destination, source, stream, piece);
    source += piece;
    destination += piece;
    count -= piece;
  }
  copenssl_wipe(secret, sizeof(secret));
  copenssl_wipe(stream, used);
  return is_done;
}

// Takes CBC further, keeping the last whole block of its output; `room` takes the output of a piece.
COPENSSL_HOT bool copenssl_cbcmac_absorb(
    EVP_CIPHER_CTX *cbc, const uint8_t *source, uint32_t count, uint8_t *room, uint32_t room_count,
    uint8_t *mac) {
  while (count > 0) {
    // With up to 15 bytes that libcrypto has kept back.
    uint32_t piece = count < room_count - 16 ? count : room_count - 16;
    int written = 0;
    if (!EVP_CipherUpdate(cbc, room, &written, source, (int)piece)) return false;
    if (written >= 16) memcpy(mac, room + written - 16, 16);
    source += piece;
    count -= piece;
  }
  return true;
}

// The CBC-MAC of prefix ‖ source, a multiple of 16 bytes in all; zeros for none. `room` is wiped afterwards.
COPENSSL_HOT bool copenssl_cbcmac_run(
    EVP_CIPHER_CTX *cbc, const uint8_t *prefix, uint32_t prefix_count, const uint8_t *source,
    uint32_t count, uint8_t *room, uint32_t room_count, uint8_t *mac) {
  const copenssl_block zero = {{0, 0}};
  copenssl_store_block(mac, zero);
  bool is_done = EVP_CipherInit_ex2(cbc, NULL, NULL, (const unsigned char *)zero.words, -1, NULL)
      && copenssl_cbcmac_absorb(cbc, prefix, prefix_count, room, room_count, mac)
      && copenssl_cbcmac_absorb(cbc, source, count, room, room_count, mac);
  uint64_t total = (uint64_t)prefix_count + count + 16;
  copenssl_wipe(room, total < room_count ? total : room_count);
  return is_done;
}

// AES-XCBC-MAC (RFC 3566 §4) of prefix ‖ source: `cbc` has K1; `k2` goes on a whole last block, `k3` on another.
COPENSSL_HOT bool copenssl_xcbc_run(
    EVP_CIPHER_CTX *cbc, copenssl_block k2, copenssl_block k3, const uint8_t *prefix,
    uint32_t prefix_count, const uint8_t *source, uint32_t count, uint8_t *room,
    uint32_t room_count, uint8_t *mac) {
  const copenssl_block zero = {{0, 0}};
  uint64_t total = (uint64_t)prefix_count + count;
  uint32_t last_count = total == 0 ? 0 : (uint32_t)((total - 1) % 16) + 1;
  uint32_t of_source = last_count < count ? last_count : count;
  uint32_t of_prefix = last_count - of_source;
  uint8_t last[16] = {0};
  memcpy(last, prefix + prefix_count - of_prefix, of_prefix);
  memcpy(last + of_prefix, source + count - of_source, of_source);
  if (last_count < 16) last[last_count] = 0x80;
  copenssl_xor_block(last, (const uint8_t *)(last_count < 16 ? k3.words : k2.words));
  bool is_done = EVP_CipherInit_ex2(cbc, NULL, NULL, (const unsigned char *)zero.words, -1, NULL)
      && copenssl_cbcmac_absorb(cbc, prefix, prefix_count - of_prefix, room, room_count, mac)
      && copenssl_cbcmac_absorb(cbc, source, count - of_source, room, room_count, mac)
      && copenssl_cbcmac_absorb(cbc, last, 16, room, room_count, mac);
  copenssl_wipe(last, sizeof(last));
  copenssl_wipe(room, total + 16 < room_count ? total + 16 : room_count);
  return is_done;
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
