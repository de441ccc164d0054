#include "CIPsecMB.h"
#include "CLinuxShims.h"

#include <sys/mman.h>

void *cipsecmb_map(size_t count) {
  void *memory = mmap(
      NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  clinux_hold_secrets(memory, count);
  return memory;
}

void cipsecmb_unmap(void *memory, size_t count) { (void)munmap(memory, count); }

void cipsecmb_give_back(void *memory, size_t count) {
  clinux_give_back(memory, count);
}

IMB_MGR *cipsecmb_make(void) {
  IMB_MGR *manager = alloc_mb_mgr(0);
  if (manager == NULL) return NULL;
  IMB_ARCH architecture = IMB_ARCH_NONE;
  init_mb_mgr_auto(manager, &architecture);
  if (imb_get_errno(manager) != 0 || architecture < IMB_ARCH_SSE) {
    free_mb_mgr(manager);
    return NULL;
  }
  return manager;
}

void cipsecmb_free(IMB_MGR *manager) { free_mb_mgr(manager); }

const char *cipsecmb_architecture(const IMB_MGR *manager) {
  switch (manager->used_arch) {
    case IMB_ARCH_SSE: return "SSE";
    case IMB_ARCH_AVX: return "AVX";
    case IMB_ARCH_AVX2: return "AVX2";
    case IMB_ARCH_AVX512: return "AVX512";
    default: return "unknown";
  }
}

void cipsecmb_expand_aes(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room) {
  uint8_t *decryption = room + CIPSECMB_DECRYPTION;
  if (count == 16) IMB_AES_KEYEXP_128(manager, key, room, decryption);
  if (count == 24) IMB_AES_KEYEXP_192(manager, key, room, decryption);
  if (count == 32) IMB_AES_KEYEXP_256(manager, key, room, decryption);
}

void cipsecmb_expand_gcm(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room) {
  struct gcm_key_data *data = (struct gcm_key_data *)room;
  _Static_assert(sizeof(struct gcm_key_data) <= CIPSECMB_KEY_ROOM, "room for a GCM key");
  if (count == 16) IMB_AES128_GCM_PRE(manager, key, data);
  if (count == 24) IMB_AES192_GCM_PRE(manager, key, data);
  if (count == 32) IMB_AES256_GCM_PRE(manager, key, data);
}

// Doubling in GF(2^128), the most significant bit first (SP 800-38B §6.1).
static void double_block(uint8_t *out, const uint8_t *in) {
  uint8_t carry = in[0] >> 7;
  for (int index = 0; index < 15; index++) out[index] = (uint8_t)(in[index] << 1 | in[index + 1] >> 7);
  out[15] = (uint8_t)(in[15] << 1) ^ (uint8_t)(0x87 & -carry);
}

bool cipsecmb_expand_cmac(IMB_MGR *manager, const uint8_t *key, uint64_t count, uint8_t *room) {
  cipsecmb_expand_aes(manager, key, count, room);
  uint8_t block[16] = {0};
  if (!cipsecmb_blocks(
          manager, IMB_CIPHER_ECB, true, room, room + CIPSECMB_DECRYPTION, count, NULL, 0, block, 16,
          block))
    return false;
  double_block(room + CIPSECMB_SUBKEY, block);
  double_block(room + CIPSECMB_SUBKEY + 16, room + CIPSECMB_SUBKEY);
  cipsecmb_wipe(block, sizeof block);
  return true;
}

void cipsecmb_expand_xcbc(IMB_MGR *manager, const uint8_t *key, uint8_t *room) {
  IMB_AES_XCBC_KEYEXP(
      manager, key, room, room + CIPSECMB_SUBKEY, room + CIPSECMB_SUBKEY + 16);
}

void cipsecmb_expand_des(IMB_MGR *manager, const uint8_t *key, uint8_t *room) {
  (void)IMB_DES_KEYSCHED(manager, (uint64_t *)room, key);
}

void cipsecmb_expand_3des(IMB_MGR *manager, const uint8_t *key, uint8_t *room) {
  const void **schedules = (const void **)(room + CIPSECMB_POINTERS);
  for (int index = 0; index < 3; index++) {
    uint8_t *schedule = room + index * IMB_DES_KEY_SCHED_SIZE;
    (void)IMB_DES_KEYSCHED(manager, (uint64_t *)schedule, key + index * 8);
    schedules[index] = schedule;
  }
}

void cipsecmb_expand_kasumi(IMB_MGR *manager, const uint8_t *key, bool f9, uint8_t *room) {
  kasumi_key_sched_t *schedule = (kasumi_key_sched_t *)room;
  if (f9) {
    (void)IMB_KASUMI_INIT_F9_KEY_SCHED(manager, key, schedule);
  } else {
    (void)IMB_KASUMI_INIT_F8_KEY_SCHED(manager, key, schedule);
  }
}

void cipsecmb_expand_snow3g(IMB_MGR *manager, const uint8_t *key, uint8_t *room) {
  (void)IMB_SNOW3G_INIT_KEY_SCHED(manager, key, (snow3g_key_schedule_t *)room);
}

static void compress_one(IMB_MGR *manager, IMB_HASH_ALG hash, const uint8_t *block, uint8_t *state) {
  switch (hash) {
    case IMB_AUTH_MD5: IMB_MD5_ONE_BLOCK(manager, block, state); break;
    case IMB_AUTH_HMAC_SHA_1: IMB_SHA1_ONE_BLOCK(manager, block, state); break;
    case IMB_AUTH_HMAC_SHA_224: IMB_SHA224_ONE_BLOCK(manager, block, state); break;
    case IMB_AUTH_HMAC_SHA_256: IMB_SHA256_ONE_BLOCK(manager, block, state); break;
    case IMB_AUTH_HMAC_SHA_384: IMB_SHA384_ONE_BLOCK(manager, block, state); break;
    case IMB_AUTH_HMAC_SHA_512: IMB_SHA512_ONE_BLOCK(manager, block, state); break;
    default: break;
  }
}

// What the digest of a long key left on the stack. AddressSanitizer would give it an array elsewhere, and the wipe would miss.
static __attribute__((noinline, no_sanitize("address"))) void wipe_stack(void) {
  char used[8 << 10];
  cipsecmb_wipe(used, sizeof used);
}

bool cipsecmb_expand_hmac(
    IMB_MGR *manager, IMB_HASH_ALG hash, const uint8_t *key, uint64_t count, uint8_t *room) {
  uint8_t padded[128] = {0};
  bool wide = hash == IMB_AUTH_HMAC_SHA_384 || hash == IMB_AUTH_HMAC_SHA_512;
  size_t block = wide ? 128 : 64;
  if (count > block) {
    uint32_t digest_count = cipsecmb_digest(hash, NULL, 0, NULL, 0, key, count, padded);
    wipe_stack();
    if (digest_count == 0) return false;
  } else {
    memcpy(padded, key, count);
  }
  for (size_t index = 0; index < block; index++) padded[index] ^= 0x36;
  compress_one(manager, hash, padded, room);
  for (size_t index = 0; index < block; index++) padded[index] ^= 0x36 ^ 0x5c;
  compress_one(manager, hash, padded, room + CIPSECMB_OUTER);
  cipsecmb_wipe(padded, sizeof padded);
  return true;
}
