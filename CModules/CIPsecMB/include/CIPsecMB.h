// The Intel multi-buffer library (libipsec-mb) as EngineIPsecMB uses it: managers, expanded keys, jobs, and what has to
// be put together from jobs because the library has no interface for it.
//
// The functions marked CIPSECMB_HOT promise Swift that they neither allocate nor lock, which the library does not do
// after a manager is made. Lengths were checked by the caller; pointers are non-null unless said.
//
// Hashes that come in pieces or are longer than a job may be go through libcrypto's streaming functions: the library
// hashes only whole messages of less than 64 KiB.
#pragma once
// Old short names of the library, such as MD5 and SHA1, would take those of libcrypto.
#define NO_COMPAT_IMB_API_053
#define OPENSSL_SUPPRESS_DEPRECATED
#include <intel-ipsec-mb.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CIPSECMB_UNALLOCATING \
  __attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks")))
#define CIPSECMB_HOT static inline CIPSECMB_UNALLOCATING

// ---- Memory ---------------------------------------------------------------------------------------------------------

// Zeroed memory that takes up room only where it is touched, kept out of core dumps; null if there is none.
void *cipsecmb_map(size_t count);
void cipsecmb_unmap(void *memory, size_t count);
// Whole pages of such memory go back to the system: they read as zero afterwards.
CIPSECMB_UNALLOCATING void cipsecmb_give_back(void *memory, size_t count);

CIPSECMB_HOT void cipsecmb_copy(void *to, const void *from, size_t count) {
  memmove(to, from, count);
}

// A fill that the optimiser may not drop although nobody reads the memory again.
CIPSECMB_HOT void cipsecmb_wipe(void *memory, size_t count) {
  memset(memory, 0, count);
  __asm__ volatile("" : : "r"(memory) : "memory");
}

// 16 bytes that an operation carries as two words in memory order.
CIPSECMB_HOT void cipsecmb_store_block(uint8_t *to, uint64_t first, uint64_t second) {
  memcpy(to, &first, 8);
  memcpy(to + 8, &second, 8);
}

// Whether two runs of bytes are equal, in time that depends on the count alone.
CIPSECMB_HOT bool cipsecmb_equal(const uint8_t *a, const uint8_t *b, size_t count) {
  uint8_t difference = 0;
  for (size_t index = 0; index < count; index++) difference |= a[index] ^ b[index];
  __asm__ volatile("" : "+r"(difference));
  return difference == 0;
}

// ---- Managers -------------------------------------------------------------------------------------------------------

// A manager for this processor; null if there is no memory, or the processor has no AES instructions.
IMB_MGR *cipsecmb_make(void);
void cipsecmb_free(IMB_MGR *manager);
// The instruction set that the manager uses, such as "AVX512".
const char *cipsecmb_architecture(const IMB_MGR *manager);
// How many jobs a manager takes before it gives one back.
enum { CIPSECMB_DEPTH = IMB_MAX_JOBS };

// A job to be filled; it is not taken until it is submitted.
CIPSECMB_HOT IMB_JOB *cipsecmb_next(IMB_MGR *manager) {
  IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
  job->cipher_mode = IMB_CIPHER_NULL;
  job->cipher_direction = IMB_DIR_ENCRYPT;
  job->hash_alg = IMB_AUTH_NULL;
  job->chain_order = IMB_ORDER_CIPHER_HASH;
  job->cipher_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = 0;
  job->hash_start_src_offset_in_bytes = 0;
  job->msg_len_to_hash_in_bytes = 0;
  job->iv = NULL;
  job->iv_len_in_bytes = 0;
  job->auth_tag_output = NULL;
  job->auth_tag_output_len_in_bytes = 0;
  return job;
}

// Takes the job that was filled last; gives back the oldest one if it is finished, else null.
CIPSECMB_HOT IMB_JOB *cipsecmb_submit(IMB_MGR *manager) { return IMB_SUBMIT_JOB(manager); }
CIPSECMB_HOT IMB_JOB *cipsecmb_completed(IMB_MGR *manager) {
  return IMB_GET_COMPLETED_JOB(manager);
}
// Finishes the oldest job; null if there is none.
CIPSECMB_HOT IMB_JOB *cipsecmb_flush(IMB_MGR *manager) { return IMB_FLUSH_JOB(manager); }
CIPSECMB_HOT bool cipsecmb_succeeded(const IMB_JOB *job) {
  return job->status == IMB_STATUS_COMPLETED;
}
CIPSECMB_HOT void cipsecmb_set_owner(IMB_JOB *job, void *operation, void *slot) {
  job->user_data = operation;
  job->user_data2 = slot;
}
CIPSECMB_HOT void *cipsecmb_slot(const IMB_JOB *job) { return job->user_data2; }

// Runs the job that was filled last to its end on a manager that has no other.
CIPSECMB_HOT bool cipsecmb_run(IMB_MGR *manager) {
  IMB_JOB *job = IMB_SUBMIT_JOB(manager);
  if (job == NULL) job = IMB_FLUSH_JOB(manager);
  return job != NULL && job->status == IMB_STATUS_COMPLETED;
}

// ---- Expanded keys --------------------------------------------------------------------------------------------------

// Room for one expanded key; memory for it is aligned to 64 bytes.
enum {
  CIPSECMB_KEY_ROOM = 1024,
  // Where the parts of a key lie: AES schedules for decryption; subkeys of CMAC and XCBC; HMAC's outer state; the
  // pointers to the three schedules of 3DES.
  CIPSECMB_DECRYPTION = 256,
  CIPSECMB_SUBKEY = 512,
  CIPSECMB_OUTER = 64,
  CIPSECMB_POINTERS = 384,
};

void cipsecmb_expand_aes(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_gcm(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room)
    CIPSECMB_UNALLOCATING;
// AES for any key length, and the two subkeys of CMAC behind it.
bool cipsecmb_expand_cmac(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_xcbc(IMB_MGR *manager, const uint8_t *key, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_des(IMB_MGR *manager, const uint8_t *key, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_3des(IMB_MGR *manager, const uint8_t *key, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_kasumi(IMB_MGR *manager, const uint8_t *key, bool f9, uint8_t *room)
    CIPSECMB_UNALLOCATING;
void cipsecmb_expand_snow3g(IMB_MGR *manager, const uint8_t *key, uint8_t *room)
    CIPSECMB_UNALLOCATING;
// `hash` is one of the IMB_AUTH_HMAC or IMB_AUTH_MD5; the key has any length.
bool cipsecmb_expand_hmac(
    IMB_MGR *manager, IMB_HASH_ALG hash, const uint8_t *key, uint64_t count, uint8_t *room)
    CIPSECMB_UNALLOCATING;

// ---- What a job is made of -------------------------------------------------------------------------------------------

CIPSECMB_HOT void cipsecmb_set_text(IMB_JOB *job, const uint8_t *source, uint8_t *destination) {
  job->src = source;
  job->dst = destination;
}

// A cipher over `count` units from `offset` on: bytes, but bits for KASUMI and SNOW 3G. The destination is where the
// first enciphered byte goes.
CIPSECMB_HOT void cipsecmb_set_cipher(
    IMB_JOB *job, IMB_CIPHER_MODE mode, bool encrypt, const void *encryption_key,
    const void *decryption_key, uint64_t key_count, const void *iv, uint64_t iv_count,
    uint64_t offset, uint64_t count) {
  job->cipher_mode = mode;
  job->cipher_direction = encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  job->enc_keys = encryption_key;
  job->dec_keys = decryption_key;
  job->key_len_in_bytes = key_count;
  job->iv = (const uint8_t *)iv;
  job->iv_len_in_bytes = iv_count;
  job->cipher_start_src_offset_in_bytes = offset;
  job->msg_len_to_cipher_in_bytes = count;
}

CIPSECMB_HOT void cipsecmb_set_order(IMB_JOB *job, bool hash_first) {
  job->chain_order = hash_first ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
}

// A hash or MAC over `count` units from byte `offset` on: bytes, but bits for KASUMI, SNOW 3G and ZUC.
CIPSECMB_HOT void cipsecmb_set_hash(
    IMB_JOB *job, IMB_HASH_ALG hash, uint64_t offset, uint64_t count, uint8_t *tag,
    uint64_t tag_count) {
  job->hash_alg = hash;
  job->hash_start_src_offset_in_bytes = offset;
  job->msg_len_to_hash_in_bytes = count;
  job->auth_tag_output = tag;
  job->auth_tag_output_len_in_bytes = tag_count;
}

CIPSECMB_HOT void cipsecmb_set_hmac_key(IMB_JOB *job, const uint8_t *room) {
  job->u.HMAC._hashed_auth_key_xor_ipad = room;
  job->u.HMAC._hashed_auth_key_xor_opad = room + CIPSECMB_OUTER;
}
CIPSECMB_HOT void cipsecmb_set_cmac_key(IMB_JOB *job, const uint8_t *room) {
  job->u.CMAC._key_expanded = room;
  job->u.CMAC._skey1 = room + CIPSECMB_SUBKEY;
  job->u.CMAC._skey2 = room + CIPSECMB_SUBKEY + 16;
}
CIPSECMB_HOT void cipsecmb_set_xcbc_key(IMB_JOB *job, const uint8_t *room) {
  job->u.XCBC._k1_expanded = (const uint32_t *)room;
  job->u.XCBC._k2 = room + CIPSECMB_SUBKEY;
  job->u.XCBC._k3 = room + CIPSECMB_SUBKEY + 16;
}
CIPSECMB_HOT void cipsecmb_set_gmac_key(IMB_JOB *job, const uint8_t *room, const void *iv) {
  job->u.GMAC._key = (const struct gcm_key_data *)room;
  job->u.GMAC._iv = iv;
  job->u.GMAC.iv_len_in_bytes = 12;
}
CIPSECMB_HOT void cipsecmb_set_zuc_key(IMB_JOB *job, const uint8_t *room, const void *iv) {
  job->u.ZUC_EIA3._key = room;
  job->u.ZUC_EIA3._iv = (const uint8_t *)iv;
  job->u.ZUC_EIA3._iv23 = NULL;
}
CIPSECMB_HOT void cipsecmb_set_snow3g_key(IMB_JOB *job, const uint8_t *room, const void *iv) {
  job->u.SNOW3G_UIA2._key = room;
  job->u.SNOW3G_UIA2._iv = iv;
}
CIPSECMB_HOT void cipsecmb_set_kasumi_key(IMB_JOB *job, const uint8_t *room) {
  job->u.KASUMI_UIA1._key = room;
}
CIPSECMB_HOT void cipsecmb_set_gcm_aad(IMB_JOB *job, const uint8_t *aad, uint64_t count) {
  job->u.GCM.aad = aad;
  job->u.GCM.aad_len_in_bytes = count;
  job->u.GCM.ctx = NULL;
}
CIPSECMB_HOT void cipsecmb_set_ccm_aad(IMB_JOB *job, const uint8_t *aad, uint64_t count) {
  job->u.CCM.aad = aad;
  job->u.CCM.aad_len_in_bytes = count;
}
CIPSECMB_HOT void cipsecmb_set_chacha_aad(IMB_JOB *job, const uint8_t *aad, uint64_t count) {
  job->u.CHACHA20_POLY1305.aad = aad;
  job->u.CHACHA20_POLY1305.aad_len_in_bytes = count;
  job->u.CHACHA20_POLY1305.ctx = NULL;
}

// ---- Bursts ---------------------------------------------------------------------------------------------------------
//
// The library's synchronous way for many jobs of one kind: AES-CBC, AES-CTR, and the HMACs with SHA. It checks nothing.
// The manager has no job in flight.

// A job of a cipher burst, as cipsecmb_set_cipher has it.
CIPSECMB_HOT void cipsecmb_set_cipher_of_burst(
    IMB_JOB *job, const uint8_t *source, uint8_t *destination, const void *encryption_key,
    const void *decryption_key, uint64_t key_count, const void *iv, uint64_t count) {
  job->src = source;
  job->dst = destination;
  job->enc_keys = encryption_key;
  job->dec_keys = decryption_key;
  job->key_len_in_bytes = key_count;
  job->iv = (const uint8_t *)iv;
  job->iv_len_in_bytes = 16;
  job->cipher_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = count;
  job->status = IMB_STATUS_BEING_PROCESSED;
}

// A job of an HMAC burst.
CIPSECMB_HOT void cipsecmb_set_hmac_of_burst(
    IMB_JOB *job, const uint8_t *text, uint64_t count, const uint8_t *room, uint8_t *tag,
    uint64_t tag_count) {
  job->src = text;
  job->hash_start_src_offset_in_bytes = 0;
  job->msg_len_to_hash_in_bytes = count;
  job->auth_tag_output = tag;
  job->auth_tag_output_len_in_bytes = tag_count;
  job->u.HMAC._hashed_auth_key_xor_ipad = room;
  job->u.HMAC._hashed_auth_key_xor_opad = room + CIPSECMB_OUTER;
  job->status = IMB_STATUS_BEING_PROCESSED;
}

// Runs a burst; whether all of it was done.
CIPSECMB_HOT bool cipsecmb_cipher_burst(
    IMB_MGR *manager, IMB_JOB *jobs, uint32_t count, IMB_CIPHER_MODE mode, bool encrypt,
    uint64_t key_count) {
  return IMB_SUBMIT_CIPHER_BURST_NOCHECK(
             manager, jobs, count, mode, encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT,
             (IMB_KEY_SIZE_BYTES)key_count) == count;
}
CIPSECMB_HOT bool cipsecmb_hmac_burst(
    IMB_MGR *manager, IMB_JOB *jobs, uint32_t count, IMB_HASH_ALG hash) {
  return IMB_SUBMIT_HASH_BURST_NOCHECK(manager, jobs, count, hash) == count;
}

// ---- Compositions (Compositions.c) ----------------------------------------------------------------------------------

// AES-CTR counting in 128 bits, where the library counts in 32. `block` is the first counter block.
bool cipsecmb_ctr(
    IMB_MGR *manager, const uint8_t *keys, uint64_t key_count, const uint8_t *block,
    const uint8_t *source, uint64_t count, uint8_t *destination) CIPSECMB_UNALLOCATING;

// AES, DES or 3DES in CBC of more than a job may be long, or AES-ECB; the count is a multiple of the block.
bool cipsecmb_blocks(
    IMB_MGR *manager, IMB_CIPHER_MODE mode, bool encrypt, const void *encryption_key,
    const void *decryption_key, uint64_t key_count, const uint8_t *iv, uint64_t iv_count,
    const uint8_t *source, uint64_t count, uint8_t *destination) CIPSECMB_UNALLOCATING;

// The CMAC or XCBC (whose expanded keys look alike) of prefix ‖ text.
bool cipsecmb_cbc_mac(
    IMB_MGR *manager, const uint8_t *room, uint64_t key_count, const uint8_t *prefix,
    uint64_t prefix_count, const uint8_t *text, uint64_t count, uint8_t *tag)
    CIPSECMB_UNALLOCATING;

// CCM in any shape: the library does short associated data and two key lengths. Writes 16 bytes of tag, which on
// decryption the caller compares.
bool cipsecmb_ccm(
    IMB_MGR *manager, bool encrypt, const uint8_t *keys, uint64_t key_count, const uint8_t *nonce,
    uint32_t nonce_count, const uint8_t *aad, uint64_t aad_count, const uint8_t *source,
    uint64_t count, uint8_t *destination, uint8_t *tag, uint32_t tag_count) CIPSECMB_UNALLOCATING;

// GCM with 16 bytes of J0 (SP 800-38D §7.1) in place of an IV. Writes 16 bytes of tag.
bool cipsecmb_gcm_from_counter(
    IMB_MGR *manager, bool encrypt, const uint8_t *room, uint64_t key_count, const uint8_t *j0,
    const uint8_t *aad, uint64_t aad_count, const uint8_t *source, uint64_t count,
    uint8_t *destination, uint8_t *tag) CIPSECMB_UNALLOCATING;

// H(prefix ‖ text) for IMB_AUTH_SHA_1…512; writes the whole digest and returns its length, 0 on failure.
uint32_t cipsecmb_digest(
    IMB_HASH_ALG hash, const uint8_t *prefix, uint64_t prefix_count, const uint8_t *aad,
    uint64_t aad_count, const uint8_t *text, uint64_t count, uint8_t *digest)
    CIPSECMB_UNALLOCATING;
// HMAC(prefix ‖ text) from the expanded key; writes the whole MAC and returns its length, 0 on failure.
uint32_t cipsecmb_hmac(
    IMB_HASH_ALG hash, const uint8_t *room, const uint8_t *prefix, uint64_t prefix_count,
    const uint8_t *text, uint64_t count, uint8_t *mac) CIPSECMB_UNALLOCATING;
