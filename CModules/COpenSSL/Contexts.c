// Keyed contexts: made once per session, or re-keyed per stateless request.
#include "COpenSSL.h"
#include <openssl/core_names.h>
#include <openssl/params.h>

// AddressSanitizer would give it an array elsewhere than on the stack, and the wipe would miss.
__attribute__((noinline, no_sanitize("address"))) void copenssl_wipe_stack(void) {
  // Deeper than libcrypto goes for a cipher.
  char used[8 << 10];
  copenssl_wipe(used, sizeof used);
}

EVP_CIPHER_CTX *copenssl_cipher_new(const EVP_CIPHER *cipher, const uint8_t *key, bool encrypt) {
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  if (context == NULL) return NULL;
  // As a parameter the provider remembers it; EVP_CIPHER_CTX_set_padding would repeat it with every IV.
  unsigned padding = 0;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding), OSSL_PARAM_construct_end()};
  if (!EVP_CipherInit_ex2(context, cipher, key, NULL, encrypt, params)) {
    EVP_CIPHER_CTX_free(context);
    return NULL;
  }
  return context;
}

EVP_CIPHER_CTX *copenssl_cipher_new_unkeyed(
    const EVP_CIPHER *cipher, size_t key_count, bool encrypt) {
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  if (context == NULL) return NULL;
  if (!EVP_CipherInit_ex2(context, cipher, NULL, NULL, encrypt, NULL)
      || !copenssl_cipher_set_key_count(context, key_count)) {
    EVP_CIPHER_CTX_free(context);
    return NULL;
  }
  return context;
}

bool copenssl_cipher_set_key_count(EVP_CIPHER_CTX *context, size_t key_count) {
  return EVP_CIPHER_CTX_set_key_length(context, (int)key_count) == 1;
}

bool copenssl_cipher_rekey(EVP_CIPHER_CTX *context, const uint8_t *key) {
  return EVP_CipherInit_ex2(context, NULL, key, NULL, -1, NULL);
}

bool copenssl_ccm_rekey(
    EVP_CIPHER_CTX *context, const uint8_t *key, size_t nonce_count, size_t tag_count) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &nonce_count),
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, tag_count),
      OSSL_PARAM_construct_end()};
  return EVP_CIPHER_CTX_set_params(context, params) && copenssl_cipher_rekey(context, key);
}

void copenssl_cipher_free(EVP_CIPHER_CTX *context) { EVP_CIPHER_CTX_free(context); }

EVP_MAC_CTX *copenssl_mac_new(
    EVP_MAC *mac, const char *cipher, const char *properties,
    const uint8_t *key, size_t key_count) {
  EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
  if (context == NULL) return NULL;
  OSSL_PARAM params[3];
  OSSL_PARAM *next = params;
  *next++ = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char *)cipher, 0);
  if (properties != NULL) {
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES, (char *)properties, 0);
  }
  *next = OSSL_PARAM_construct_end();
  if (!EVP_MAC_init(context, key, key_count, params)) {
    EVP_MAC_CTX_free(context);
    return NULL;
  }
  return context;
}

bool copenssl_mac_rekey(EVP_MAC_CTX *context, const uint8_t *key, size_t key_count) {
  return EVP_MAC_init(context, key, key_count, NULL);
}

void copenssl_mac_free(EVP_MAC_CTX *context) { EVP_MAC_CTX_free(context); }

EVP_MD_CTX *copenssl_digest_new(void) { return EVP_MD_CTX_new(); }

void copenssl_digest_reset(EVP_MD_CTX *context) {
  if (context != NULL) EVP_MD_CTX_reset(context);
}

void copenssl_digest_free(EVP_MD_CTX *context) { EVP_MD_CTX_free(context); }

bool copenssl_hmac_key(
    EVP_MD_CTX *inner, EVP_MD_CTX *outer, const EVP_MD *digest, const uint8_t *key,
    size_t key_count) {
  uint8_t pad[128] = {0};  // the longest block, that of SHA-512
  int block = EVP_MD_get_block_size(digest);
  if (block <= 0 || block > (int)sizeof(pad)) return false;
  bool is_done = true;
  if (key_count > (size_t)block) {
    is_done = EVP_DigestInit_ex2(inner, digest, NULL) && EVP_DigestUpdate(inner, key, key_count)
        && EVP_DigestFinal_ex(inner, pad, NULL);
  } else {
    memcpy(pad, key, key_count);
  }
  for (int i = 0; i < block; i++) pad[i] ^= 0x36;
  is_done = is_done && EVP_DigestInit_ex2(inner, digest, NULL)
      && EVP_DigestUpdate(inner, pad, (size_t)block);
  for (int i = 0; i < block; i++) pad[i] ^= 0x36 ^ 0x5c;
  is_done = is_done && EVP_DigestInit_ex2(outer, digest, NULL)
      && EVP_DigestUpdate(outer, pad, (size_t)block);
  OPENSSL_cleanse(pad, sizeof(pad));
  return is_done;
}

bool copenssl_sha256(const void *bytes, size_t count, uint8_t result[32]) {
  unsigned length = 0;
  return EVP_Digest(bytes, count, result, &length, EVP_sha256(), NULL) && length == 32;
}
