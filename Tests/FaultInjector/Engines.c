// Failures of libcrypto, of its memory, and of the multi-buffer library.

#include "Faults.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

// libcrypto says in its queue why something has failed. It counts on that itself: the exponentiations below are called by RSA
// too, which goes on with a wrong result where they fail, and only the queue tells.
static bool fails_in_libcrypto(void) {
  if (!fails(LIBCRYPTO)) return false;
  ERR_raise(ERR_LIB_BN, ERR_R_MALLOC_FAILURE);
  return true;
}

// A function of libcrypto that says 1 when it has done its work.
#define COMPUTES(name, parameters, arguments) \
  int name parameters {                       \
    if (fails_in_libcrypto()) return 0;       \
    return REAL(name) arguments;              \
  }

COMPUTES(EVP_CipherInit_ex2,
         (EVP_CIPHER_CTX * context, const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv,
          int encrypts, const OSSL_PARAM *parameters),
         (context, cipher, key, iv, encrypts, parameters))
COMPUTES(EVP_CipherUpdate,
         (EVP_CIPHER_CTX * context, unsigned char *out, int *out_count, const unsigned char *in, int in_count),
         (context, out, out_count, in, in_count))
COMPUTES(EVP_CipherFinal_ex, (EVP_CIPHER_CTX * context, unsigned char *out, int *count), (context, out, count))
COMPUTES(EVP_CIPHER_CTX_set_params, (EVP_CIPHER_CTX * context, const OSSL_PARAM parameters[]), (context, parameters))
COMPUTES(EVP_CIPHER_CTX_get_params, (EVP_CIPHER_CTX * context, OSSL_PARAM parameters[]), (context, parameters))
COMPUTES(EVP_DigestInit_ex2, (EVP_MD_CTX * context, const EVP_MD *digest, const OSSL_PARAM parameters[]),
         (context, digest, parameters))
COMPUTES(EVP_DigestUpdate, (EVP_MD_CTX * context, const void *text, size_t count), (context, text, count))
COMPUTES(EVP_DigestFinal_ex, (EVP_MD_CTX * context, unsigned char *digest, unsigned *count), (context, digest, count))
COMPUTES(EVP_DigestFinalXOF, (EVP_MD_CTX * context, unsigned char *digest, size_t count), (context, digest, count))
COMPUTES(EVP_MD_CTX_copy_ex, (EVP_MD_CTX * to, const EVP_MD_CTX *from), (to, from))
COMPUTES(EVP_MAC_init, (EVP_MAC_CTX * context, const unsigned char *key, size_t count, const OSSL_PARAM parameters[]),
         (context, key, count, parameters))
COMPUTES(EVP_MAC_update, (EVP_MAC_CTX * context, const unsigned char *text, size_t count), (context, text, count))
COMPUTES(EVP_MAC_final, (EVP_MAC_CTX * context, unsigned char *tag, size_t *count, size_t room),
         (context, tag, count, room))
COMPUTES(EVP_PKEY_fromdata, (EVP_PKEY_CTX * context, EVP_PKEY **key, int selection, OSSL_PARAM parameters[]),
         (context, key, selection, parameters))
COMPUTES(EVP_PKEY_sign,
         (EVP_PKEY_CTX * context, unsigned char *out, size_t *out_count, const unsigned char *in, size_t in_count),
         (context, out, out_count, in, in_count))
COMPUTES(EVP_PKEY_encrypt,
         (EVP_PKEY_CTX * context, unsigned char *out, size_t *out_count, const unsigned char *in, size_t in_count),
         (context, out, out_count, in, in_count))
COMPUTES(EVP_PKEY_decrypt,
         (EVP_PKEY_CTX * context, unsigned char *out, size_t *out_count, const unsigned char *in, size_t in_count),
         (context, out, out_count, in, in_count))
COMPUTES(BN_mod_exp_mont,
         (BIGNUM * result, const BIGNUM *base, const BIGNUM *power, const BIGNUM *modulus, BN_CTX *context,
          BN_MONT_CTX *montgomery),
         (result, base, power, modulus, context, montgomery))
COMPUTES(BN_mod_exp_mont_consttime,
         (BIGNUM * result, const BIGNUM *base, const BIGNUM *power, const BIGNUM *modulus, BN_CTX *context,
          BN_MONT_CTX *montgomery),
         (result, base, power, modulus, context, montgomery))

// 0 would be a signature that does not fit; a failure is less.
int EVP_PKEY_verify(EVP_PKEY_CTX *context, const unsigned char *signature, size_t signature_count,
                    const unsigned char *digest, size_t digest_count) {
  if (fails_in_libcrypto()) return -1;
  return REAL(EVP_PKEY_verify)(context, signature, signature_count, digest, digest_count);
}

// ---- Memory of libcrypto ---------------------------------------------------------------------------------------------

// The daemon's own.
static CRYPTO_malloc_fn daemons_malloc;
static CRYPTO_realloc_fn daemons_realloc;

static void *failing_malloc(size_t count, const char *file, int line) {
  return fails(ALLOCATION) ? NULL : daemons_malloc(count, file, line);
}

static void *failing_realloc(void *memory, size_t count, const char *file, int line) {
  return fails(ALLOCATION) ? NULL : daemons_realloc(memory, count, file, line);
}

int CRYPTO_set_mem_functions(CRYPTO_malloc_fn allocate, CRYPTO_realloc_fn reallocate, CRYPTO_free_fn release) {
  daemons_malloc = allocate;
  daemons_realloc = reallocate;
  return REAL(CRYPTO_set_mem_functions)(failing_malloc, failing_realloc, release);
}

// ---- The multi-buffer library ----------------------------------------------------------------------------------------

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#include <intel-ipsec-mb.h>

IMB_MGR *alloc_mb_mgr(uint64_t flags) {
  return fails(MANAGER) ? NULL : REAL(alloc_mb_mgr)(flags);
}

// Managers are filled with pointers to the functions for this processor; all have the same, which each thread writes again.
static _Atomic(submit_job_t) submit;
static _Atomic(get_completed_job_t) completed;
static _Atomic(flush_job_t) flush;
static _Atomic(submit_cipher_burst_t) cipher_burst;
static _Atomic(submit_hash_burst_t) hash_burst;

// The work is done or not; the job says that it failed.
static IMB_JOB *spoil(IMB_JOB *job) {
  if (job != NULL && job->status == IMB_STATUS_COMPLETED && fails(IPSEC_MB)) job->status = IMB_STATUS_INTERNAL_ERROR;
  return job;
}

static IMB_JOB *failing_submit(IMB_MGR *manager) { return spoil(submit(manager)); }
static IMB_JOB *failing_completed(IMB_MGR *manager) { return spoil(completed(manager)); }
static IMB_JOB *failing_flush(IMB_MGR *manager) { return spoil(flush(manager)); }

static uint32_t failing_cipher_burst(IMB_MGR *manager, IMB_JOB *jobs, const uint32_t count, const IMB_CIPHER_MODE mode,
                                     const IMB_CIPHER_DIRECTION direction, const IMB_KEY_SIZE_BYTES key_count) {
  uint32_t done = cipher_burst(manager, jobs, count, mode, direction, key_count);
  return done > 0 && fails(IPSEC_MB) ? done - 1 : done;
}

static uint32_t failing_hash_burst(IMB_MGR *manager, IMB_JOB *jobs, const uint32_t count, const IMB_HASH_ALG hash) {
  uint32_t done = hash_burst(manager, jobs, count, hash);
  return done > 0 && fails(IPSEC_MB) ? done - 1 : done;
}

void init_mb_mgr_auto(IMB_MGR *manager, IMB_ARCH *architecture) {
  REAL(init_mb_mgr_auto)(manager, architecture);
  submit = manager->submit_job;
  completed = manager->get_completed_job;
  flush = manager->flush_job;
  cipher_burst = manager->submit_cipher_burst_nocheck;
  hash_burst = manager->submit_hash_burst_nocheck;
  manager->submit_job = failing_submit;
  manager->get_completed_job = failing_completed;
  manager->flush_job = failing_flush;
  manager->submit_cipher_burst_nocheck = failing_cipher_burst;
  manager->submit_hash_burst_nocheck = failing_hash_burst;
}
#endif
