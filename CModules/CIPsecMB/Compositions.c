#include "CIPsecMB.h"

// The most that goes into one job of a block cipher: less than 64 KiB, and whole blocks.
enum { PIECE = 48 * 1024 };

static uint32_t load32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store(uint8_t *bytes, uint64_t value, int count) {
  for (int index = count - 1; index >= 0; index--, value >>= 8) bytes[index] = (uint8_t)value;
}

static void xor16(uint8_t *to, const uint8_t *from) {
  for (int index = 0; index < 16; index++) to[index] ^= from[index];
}

static bool run_cipher(
    IMB_MGR *manager, IMB_CIPHER_MODE mode, bool encrypt, const void *enc, const void *dec,
    uint64_t key_count, const uint8_t *iv, uint64_t iv_count, const uint8_t *source, uint64_t count,
    uint8_t *destination) {
  IMB_JOB *job = cipsecmb_next(manager);
  cipsecmb_set_text(job, source, destination);
  cipsecmb_set_cipher(job, mode, encrypt, enc, dec, key_count, iv, iv_count, 0, count);
  return cipsecmb_run(manager);
}

bool cipsecmb_ctr(
    IMB_MGR *manager, const uint8_t *keys, uint64_t key_count, const uint8_t *block,
    const uint8_t *source, uint64_t count, uint8_t *destination) {
  uint8_t counter[16];
  memcpy(counter, block, 16);
  while (count > 0) {
    uint64_t until_wrap = ((UINT64_C(1) << 32) - load32(counter + 12)) * 16;
    uint64_t piece = count < until_wrap ? count : until_wrap;
    if (!run_cipher(
            manager, IMB_CIPHER_CNTR, true, keys, keys, key_count, counter, 16, source, piece,
            destination))
      return false;
    source += piece;
    destination += piece;
    count -= piece;
    store(counter + 12, 0, 4);
    for (int index = 11; index >= 0 && ++counter[index] == 0; index--) {}
  }
  return true;
}

bool cipsecmb_blocks(
    IMB_MGR *manager, IMB_CIPHER_MODE mode, bool encrypt, const void *enc, const void *dec,
    uint64_t key_count, const uint8_t *iv, uint64_t iv_count, const uint8_t *source, uint64_t count,
    uint8_t *destination) {
  uint8_t chain[16], next[16];
  if (iv_count > 0) memcpy(chain, iv, iv_count);
  while (count > 0) {
    uint64_t piece = count < PIECE ? count : PIECE;
    // Where source and destination are one, the ciphertext is gone after decryption.
    if (!encrypt) memcpy(next, source + piece - iv_count, iv_count);
    if (!run_cipher(
            manager, mode, encrypt, enc, dec, key_count, iv_count > 0 ? chain : NULL, iv_count,
            source, piece, destination))
      return false;
    if (encrypt) memcpy(next, destination + piece - iv_count, iv_count);
    memcpy(chain, next, iv_count);
    source += piece;
    destination += piece;
    count -= piece;
  }
  return true;
}

// ---- CBC-MAC, in pieces ---------------------------------------------------------------------------------------------

typedef struct {
  IMB_MGR *manager;
  const uint8_t *keys;
  uint64_t key_count;
  uint8_t state[16];
  // What has come and is not in the state yet: up to one whole block, since the last one is special to CMAC.
  uint8_t block[16];
  uint64_t held;
} cbc_stream;

static bool absorb(cbc_stream *stream, const uint8_t *blocks, uint64_t count) {
  uint8_t output[4096];
  while (count > 0) {
    uint64_t piece = count < sizeof output ? count : sizeof output;
    if (!run_cipher(
            stream->manager, IMB_CIPHER_CBC, true, stream->keys,
            stream->keys + CIPSECMB_DECRYPTION, stream->key_count, stream->state, 16, blocks, piece,
            output))
      return false;
    memcpy(stream->state, output + piece - 16, 16);
    blocks += piece;
    count -= piece;
  }
  return true;
}

static bool add(cbc_stream *stream, const uint8_t *text, uint64_t count) {
  if (count == 0) return true;
  if (stream->held > 0) {
    uint64_t piece = 16 - stream->held;
    if (piece > count) piece = count;
    memcpy(stream->block + stream->held, text, piece);
    stream->held += piece;
    text += piece;
    count -= piece;
    if (count == 0) return true;
    if (!absorb(stream, stream->block, 16)) return false;
    stream->held = 0;
  }
  uint64_t whole = (count - 1) & ~UINT64_C(15);
  if (!absorb(stream, text, whole)) return false;
  memcpy(stream->block, text + whole, count - whole);
  stream->held = count - whole;
  return true;
}

// Fills a block that was begun with zeros.
static bool pad(cbc_stream *stream) {
  if (stream->held == 0) return true;
  memset(stream->block + stream->held, 0, 16 - stream->held);
  stream->held = 0;
  return absorb(stream, stream->block, 16);
}

bool cipsecmb_cbc_mac(
    IMB_MGR *manager, const uint8_t *room, uint64_t key_count, const uint8_t *prefix,
    uint64_t prefix_count, const uint8_t *text, uint64_t count, uint8_t *tag) {
  cbc_stream stream = {.manager = manager, .keys = room, .key_count = key_count};
  if (!add(&stream, prefix, prefix_count) || !add(&stream, text, count)) return false;
  const uint8_t *subkey = room + CIPSECMB_SUBKEY;
  if (stream.held < 16) {
    stream.block[stream.held] = 0x80;
    memset(stream.block + stream.held + 1, 0, 15 - stream.held);
    subkey += 16;
  }
  xor16(stream.block, subkey);
  bool done = absorb(&stream, stream.block, 16);
  if (done) memcpy(tag, stream.state, 16);
  cipsecmb_wipe(&stream, sizeof stream);
  return done;
}

// SP 800-38C §A.2: B0, the associated data behind its length, the text.
static bool ccm_mac(
    IMB_MGR *manager, const uint8_t *keys, uint64_t key_count, const uint8_t *nonce,
    uint32_t nonce_count, const uint8_t *aad, uint64_t aad_count, const uint8_t *text,
    uint64_t count, uint32_t tag_count, uint8_t *tag) {
  cbc_stream stream = {.manager = manager, .keys = keys, .key_count = key_count};
  uint8_t block[16];
  uint32_t length_count = 15 - nonce_count;
  block[0] = (uint8_t)((aad_count > 0 ? 0x40 : 0) | (tag_count - 2) / 2 << 3 | (length_count - 1));
  memcpy(block + 1, nonce, nonce_count);
  store(block + 1 + nonce_count, count, (int)length_count);
  bool done = add(&stream, block, 16);
  if (done && aad_count > 0) {
    uint8_t length[6] = {0xff, 0xfe};
    bool is_short = aad_count < 0xff00;
    store(is_short ? length : length + 2, aad_count, is_short ? 2 : 4);
    done = add(&stream, length, is_short ? 2 : 6) && add(&stream, aad, aad_count) && pad(&stream);
  }
  done = done && add(&stream, text, count) && pad(&stream);
  if (done) memcpy(tag, stream.state, 16);
  cipsecmb_wipe(&stream, sizeof stream);
  return done;
}

bool cipsecmb_ccm(
    IMB_MGR *manager, bool encrypt, const uint8_t *keys, uint64_t key_count, const uint8_t *nonce,
    uint32_t nonce_count, const uint8_t *aad, uint64_t aad_count, const uint8_t *source,
    uint64_t count, uint8_t *destination, uint8_t *tag, uint32_t tag_count) {
  uint8_t counter[16] = {(uint8_t)(14 - nonce_count)};
  memcpy(counter + 1, nonce, nonce_count);
  uint8_t first[16];
  memcpy(first, counter, 16);
  counter[15] = 1;
  if (encrypt &&
      !ccm_mac(
          manager, keys, key_count, nonce, nonce_count, aad, aad_count, source, count, tag_count,
          tag))
    return false;
  if (!cipsecmb_ctr(manager, keys, key_count, counter, source, count, destination)) return false;
  if (!encrypt &&
      !ccm_mac(
          manager, keys, key_count, nonce, nonce_count, aad, aad_count, destination, count,
          tag_count, tag))
    return false;
  return cipsecmb_ctr(manager, keys, key_count, first, tag, 16, tag);
}

// ---- GCM from a counter block ---------------------------------------------------------------------------------------

// A context begun with a 12-byte IV differs from one begun with J0 in two fields: J0 itself, and the running counter.
bool cipsecmb_gcm_from_counter(
    IMB_MGR *m, bool encrypt, const uint8_t *room, uint64_t key_count, const uint8_t *j0,
    const uint8_t *aad, uint64_t aad_count, const uint8_t *source, uint64_t count,
    uint8_t *destination, uint8_t *tag) {
  const struct gcm_key_data *key = (const struct gcm_key_data *)room;
  struct gcm_context_data context;
  static const uint8_t zeros[12];
  memset(&context, 0, sizeof context);
  if (key_count == 16) IMB_AES128_GCM_INIT(m, key, &context, zeros, aad, aad_count);
  if (key_count == 24) IMB_AES192_GCM_INIT(m, key, &context, zeros, aad, aad_count);
  if (key_count == 32) IMB_AES256_GCM_INIT(m, key, &context, zeros, aad, aad_count);
  // The zero IV has made a counter of 1, which shows the order of bytes that this architecture keeps it in.
  bool reversed = context.current_counter[0] == 1;
  memcpy(context.orig_IV, j0, 16);
  for (int index = 0; index < 16; index++)
    context.current_counter[index] = reversed ? j0[15 - index] : j0[index];
  if (count > 0 && encrypt) {
    if (key_count == 16) IMB_AES128_GCM_ENC_UPDATE(m, key, &context, destination, source, count);
    if (key_count == 24) IMB_AES192_GCM_ENC_UPDATE(m, key, &context, destination, source, count);
    if (key_count == 32) IMB_AES256_GCM_ENC_UPDATE(m, key, &context, destination, source, count);
  }
  if (count > 0 && !encrypt) {
    if (key_count == 16) IMB_AES128_GCM_DEC_UPDATE(m, key, &context, destination, source, count);
    if (key_count == 24) IMB_AES192_GCM_DEC_UPDATE(m, key, &context, destination, source, count);
    if (key_count == 32) IMB_AES256_GCM_DEC_UPDATE(m, key, &context, destination, source, count);
  }
  if (key_count == 16) IMB_AES128_GCM_ENC_FINALIZE(m, key, &context, tag, 16);
  if (key_count == 24) IMB_AES192_GCM_ENC_FINALIZE(m, key, &context, tag, 16);
  if (key_count == 32) IMB_AES256_GCM_ENC_FINALIZE(m, key, &context, tag, 16);
  cipsecmb_wipe(&context, sizeof context);
  return imb_get_errno(m) == 0;
}

// ---- Hashes, in pieces ----------------------------------------------------------------------------------------------

typedef union {
  MD5_CTX md5;
  SHA_CTX sha1;
  SHA256_CTX sha256;
  SHA512_CTX sha512;
} hash_stream;

typedef enum { MD5_KIND, SHA1_KIND, SHA256_KIND, SHA512_KIND, NO_KIND } hash_kind;

static hash_kind begin(hash_stream *stream, IMB_HASH_ALG hash) {
  switch (hash) {
    case IMB_AUTH_MD5: MD5_Init(&stream->md5); return MD5_KIND;
    case IMB_AUTH_SHA_1:
    case IMB_AUTH_HMAC_SHA_1: SHA1_Init(&stream->sha1); return SHA1_KIND;
    case IMB_AUTH_SHA_224:
    case IMB_AUTH_HMAC_SHA_224: SHA224_Init(&stream->sha256); return SHA256_KIND;
    case IMB_AUTH_SHA_256:
    case IMB_AUTH_HMAC_SHA_256: SHA256_Init(&stream->sha256); return SHA256_KIND;
    case IMB_AUTH_SHA_384:
    case IMB_AUTH_HMAC_SHA_384: SHA384_Init(&stream->sha512); return SHA512_KIND;
    case IMB_AUTH_SHA_512:
    case IMB_AUTH_HMAC_SHA_512: SHA512_Init(&stream->sha512); return SHA512_KIND;
    default: return NO_KIND;
  }
}

// Puts the stream where it is behind one block that led to `state`.
static void resume(hash_stream *stream, hash_kind kind, const uint8_t *state) {
  switch (kind) {
    case MD5_KIND:
      memcpy(&stream->md5.A, state, 16);
      stream->md5.Nl = 512;
      break;
    case SHA1_KIND:
      memcpy(&stream->sha1.h0, state, 20);
      stream->sha1.Nl = 512;
      break;
    case SHA256_KIND:
      memcpy(stream->sha256.h, state, 32);
      stream->sha256.Nl = 512;
      break;
    case SHA512_KIND:
      memcpy(stream->sha512.h, state, 64);
      stream->sha512.Nl = 1024;
      break;
    case NO_KIND: break;
  }
}

static void feed(hash_stream *stream, hash_kind kind, const uint8_t *text, uint64_t count) {
  if (count == 0) return;
  switch (kind) {
    case MD5_KIND: MD5_Update(&stream->md5, text, count); break;
    case SHA1_KIND: SHA1_Update(&stream->sha1, text, count); break;
    case SHA256_KIND: SHA256_Update(&stream->sha256, text, count); break;
    case SHA512_KIND: SHA512_Update(&stream->sha512, text, count); break;
    case NO_KIND: break;
  }
}

static uint32_t end(hash_stream *stream, hash_kind kind, uint8_t *digest) {
  uint32_t count = 0;
  switch (kind) {
    case MD5_KIND: count = MD5_Final(digest, &stream->md5) ? 16 : 0; break;
    case SHA1_KIND: count = SHA1_Final(digest, &stream->sha1) ? 20 : 0; break;
    case SHA256_KIND:
      count = stream->sha256.md_len;
      if (!SHA256_Final(digest, &stream->sha256)) count = 0;
      break;
    case SHA512_KIND:
      count = stream->sha512.md_len;
      if (!SHA512_Final(digest, &stream->sha512)) count = 0;
      break;
    case NO_KIND: break;
  }
  cipsecmb_wipe(stream, sizeof *stream);
  return count;
}

uint32_t cipsecmb_digest(
    IMB_HASH_ALG hash, const uint8_t *prefix, uint64_t prefix_count, const uint8_t *aad,
    uint64_t aad_count, const uint8_t *text, uint64_t count, uint8_t *digest) {
  hash_stream stream;
  hash_kind kind = begin(&stream, hash);
  feed(&stream, kind, prefix, prefix_count);
  feed(&stream, kind, aad, aad_count);
  feed(&stream, kind, text, count);
  return end(&stream, kind, digest);
}

uint32_t cipsecmb_hmac(
    IMB_HASH_ALG hash, const uint8_t *room, const uint8_t *prefix, uint64_t prefix_count,
    const uint8_t *text, uint64_t count, uint8_t *mac) {
  hash_stream stream;
  uint8_t inner[64];
  hash_kind kind = begin(&stream, hash);
  resume(&stream, kind, room);
  feed(&stream, kind, prefix, prefix_count);
  feed(&stream, kind, text, count);
  uint32_t inner_count = end(&stream, kind, inner);
  kind = begin(&stream, hash);
  resume(&stream, kind, room + CIPSECMB_OUTER);
  feed(&stream, kind, inner, inner_count);
  cipsecmb_wipe(inner, sizeof inner);
  return end(&stream, kind, mac);
}
