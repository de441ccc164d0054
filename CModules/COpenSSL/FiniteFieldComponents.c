// DSA and DH with keys in parts.
#include "ComponentWork.h"
#include <openssl/dh.h>
#include <openssl/dsa.h>

enum { LEAST_BITS = 512 };

// Whether a number is a modulus that libcrypto works with.
static copenssl_result check_modulus(const BIGNUM *p, int most_bits) {
  if (!BN_is_odd(p)) return COPENSSL_FAILED;
  int bits = BN_num_bits(p);
  return bits < LEAST_BITS || bits > most_bits ? COPENSSL_UNSUPPORTED : COPENSSL_DONE;
}

// Whether 1 < number < p - 1.
static bool is_between(copenssl_work *work, const BIGNUM *number, const BIGNUM *p) {
  BIGNUM *most = BN_CTX_get(work->context);
  return most != NULL && BN_sub(most, p, BN_value_one()) && !BN_is_zero(number)
      && !BN_is_one(number) && BN_cmp(number, most) < 0;
}

// y = g^x mod p.
static BIGNUM *public_part(
    copenssl_work *work, const BIGNUM *g, const BIGNUM *x, const BIGNUM *p) {
  BIGNUM *y = BN_CTX_get(work->context);
  return y != NULL && BN_mod_exp_mont_consttime(y, g, x, p, work->context, NULL) ? y : NULL;
}

static copenssl_key *make(
    copenssl_work *work, const char *type, const BIGNUM *p, const BIGNUM *q, const BIGNUM *g,
    const BIGNUM *y, const BIGNUM *x, copenssl_result *result) {
  copenssl_params *params = OPENSSL_zalloc(sizeof(*params));
  copenssl_key *made = NULL;
  *result = COPENSSL_FAILED;
  if (params != NULL && copenssl_params_bn(params, OSSL_PKEY_PARAM_FFC_P, p)
      && (q == NULL || copenssl_params_bn(params, OSSL_PKEY_PARAM_FFC_Q, q))
      && copenssl_params_bn(params, OSSL_PKEY_PARAM_FFC_G, g)
      && (y == NULL || copenssl_params_bn(params, OSSL_PKEY_PARAM_PUB_KEY, y))
      && (x == NULL || copenssl_params_bn(params, OSSL_PKEY_PARAM_PRIV_KEY, x))) {
    made = copenssl_key_make(
        work->library, work->properties, type, x != NULL, params->list, result);
  }
  OPENSSL_clear_free(params, sizeof(*params));
  return made;
}

// ---- DSA ------------------------------------------------------------------------------------------------------------

// Whether p, q and g make sense, but for their being prime: with others, only the guest's own signatures are worthless.
static copenssl_result check_group(
    copenssl_work *work, const BIGNUM *p, const BIGNUM *q, const BIGNUM *g) {
  copenssl_result result = check_modulus(p, OPENSSL_DSA_MAX_MODULUS_BITS);
  if (result != COPENSSL_DONE) return result;
  int bits = BN_num_bits(q);
  if (bits != 160 && bits != 224 && bits != 256) return COPENSSL_UNSUPPORTED;
  BIGNUM *rest = BN_CTX_get(work->context);
  if (!BN_is_odd(q) || !is_between(work, g, p) || rest == NULL
      || !BN_mod(rest, p, q, work->context) || !BN_is_one(rest)) {
    return COPENSSL_FAILED;
  }
  // Signing and making y; verifying takes two exponentiations as well.
  return 2 * copenssl_units(p, q) > work->request->most_units ? COPENSSL_UNSUPPORTED
                                                              : COPENSSL_DONE;
}

static copenssl_result dsa_generate(copenssl_work *work) {
  uint32_t bytes = work->header.modulus_byte_count;
  // FIPS 186-4 begins at 1024 bits.
  if (bytes < 128 || bytes > OPENSSL_DSA_MAX_MODULUS_BITS / 8) {
    return COPENSSL_UNSUPPORTED;
  }
  int bits = (int)bytes * 8;
  // As FIPS 186-4 §4.2 pairs them; the header has q's length.
  uint32_t order_bytes = work->header.result_counts[1];
  if (order_bytes != 20 && order_bytes != 28 && order_bytes != 32) return COPENSSL_UNSUPPORTED;
  int order_bits = (int)order_bytes * 8;
  if (copenssl_prime_units(bits) > work->request->most_units) return COPENSSL_UNSUPPORTED;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(work->library, "DSA", work->properties);
  EVP_PKEY_CTX *keys = NULL;
  EVP_PKEY *group = NULL, *made = NULL;
  copenssl_result result = context == NULL ? copenssl_missing(work->library, work->properties, "DSA") : COPENSSL_FAILED;
  if (context != NULL && EVP_PKEY_paramgen_init(context) == 1
      && EVP_PKEY_CTX_set_dsa_paramgen_bits(context, bits) == 1
      && EVP_PKEY_CTX_set_dsa_paramgen_q_bits(context, order_bits) == 1) {
    group = copenssl_generate(work, context, true);
  }
  if (group != NULL) keys = EVP_PKEY_CTX_new_from_pkey(work->library, group, work->properties);
  if (keys != NULL && EVP_PKEY_keygen_init(keys) == 1) made = copenssl_generate(work, keys, false);
  if (made != NULL && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_FFC_P, 0)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_FFC_Q, 1)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_FFC_G, 2)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_PRIV_KEY, 3)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_PUB_KEY, 4)) {
    result = COPENSSL_DONE;
  }
  EVP_PKEY_free(made);
  EVP_PKEY_free(group);
  EVP_PKEY_CTX_free(keys);
  EVP_PKEY_CTX_free(context);
  return result;
}

copenssl_result copenssl_dsa_work(copenssl_work *work) {
  copenssl_operation operation = work->request->operation;
  if (operation == COPENSSL_GENERATE_KEY) return dsa_generate(work);
  if (operation != COPENSSL_SIGN && operation != COPENSSL_VERIFY) return COPENSSL_UNSUPPORTED;
  BIGNUM *p = copenssl_part(work, DSA_P), *q = copenssl_part(work, DSA_Q);
  BIGNUM *g = copenssl_part(work, DSA_G);
  if (p == NULL || q == NULL || g == NULL) return COPENSSL_FAILED;
  copenssl_result result = check_group(work, p, q, g);
  if (result != COPENSSL_DONE) return result;
  BIGNUM *x = NULL, *y;
  if (operation == COPENSSL_SIGN) {
    x = copenssl_secret_part(work, DSA_X);
    if (x == NULL || BN_is_zero(x) || BN_cmp(x, q) >= 0) return COPENSSL_FAILED;
    y = public_part(work, g, x, p);
  } else {
    y = copenssl_part(work, DSA_Y);
    if (y != NULL && !is_between(work, y, p)) y = NULL;
  }
  if (y == NULL) return COPENSSL_FAILED;
  copenssl_key *key = make(work, "DSA", p, q, g, y, x, &result);
  if (key == NULL) return result;
  result = operation == COPENSSL_SIGN ? copenssl_sign_pair(work, key)
                                      : copenssl_verify_pair(work, key);
  copenssl_key_free(key);
  return result;
}

// ---- DH -------------------------------------------------------------------------------------------------------------

// What searching a safe prime takes: one sieved candidate in (bits / 25)² is one.
static double safe_prime_units(int bits) {
  double words = (bits + 63) / 64, tries = bits / 25.0;
  return words * words * bits * (tries * tries + 16);
}

// The groups of RFC 7919 where they have that length, which are known to be good; else a new safe prime, with 2.
static copenssl_result generate_parameters(copenssl_work *work) {
  uint32_t bytes = work->header.modulus_byte_count;
  if (bytes < LEAST_BITS / 8 || bytes > OPENSSL_DH_MAX_MODULUS_BITS / 8) {
    return COPENSSL_UNSUPPORTED;
  }
  int bits = (int)bytes * 8;
  const char *name = bits == 2048 ? "ffdhe2048"
      : bits == 3072              ? "ffdhe3072"
      : bits == 4096              ? "ffdhe4096"
      : bits == 6144              ? "ffdhe6144"
      : bits == 8192              ? "ffdhe8192"
                                  : NULL;
  if (name == NULL && safe_prime_units(bits) > work->request->most_units) {
    return COPENSSL_UNSUPPORTED;
  }
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(work->library, "DH", work->properties);
  copenssl_result result = context == NULL ? copenssl_missing(work->library, work->properties, "DH") : COPENSSL_FAILED;
  EVP_PKEY *group = NULL;
  if (context != NULL && EVP_PKEY_paramgen_init(context) == 1) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)name, 0),
        OSSL_PARAM_construct_end()};
    bool is_set = name != NULL ? EVP_PKEY_CTX_set_params(context, params) == 1
                               : EVP_PKEY_CTX_set_dh_paramgen_prime_len(context, bits) == 1
            && EVP_PKEY_CTX_set_dh_paramgen_generator(context, 2) == 1;
    if (is_set) group = copenssl_generate(work, context, true);
  }
  if (group != NULL && copenssl_emit_param(work, group, OSSL_PKEY_PARAM_FFC_P, 0)
      && copenssl_emit_param(work, group, OSSL_PKEY_PARAM_FFC_G, 1)) {
    result = COPENSSL_DONE;
  }
  EVP_PKEY_free(group);
  EVP_PKEY_CTX_free(context);
  return result;
}

// A key under given parameters: 1 < x < p - 1 drawn evenly, for nothing is known of the generator's order.
static copenssl_result generate_key(copenssl_work *work, const BIGNUM *p, const BIGNUM *g) {
  BIGNUM *x = BN_CTX_get(work->context), *range = BN_CTX_get(work->context);
  if (range == NULL || !BN_copy(range, p) || !BN_sub_word(range, 3)
      || !BN_priv_rand_range_ex(x, range, 0, work->context) || !BN_add_word(x, 2)) {
    return COPENSSL_FAILED;
  }
  BN_set_flags(x, BN_FLG_CONSTTIME);
  const BIGNUM *y = public_part(work, g, x, p);
  // A generator of a tiny group.
  if (y == NULL || !is_between(work, y, p)) return COPENSSL_FAILED;
  return copenssl_emit(work, x, 0) && copenssl_emit(work, y, 1) ? COPENSSL_DONE : COPENSSL_FAILED;
}

static copenssl_result compute_secret(copenssl_work *work, const BIGNUM *p, const BIGNUM *g) {
  BIGNUM *x = copenssl_secret_part(work, DH_X), *y = copenssl_part(work, DH_Y);
  if (x == NULL || y == NULL || BN_is_zero(x) || BN_cmp(x, p) >= 0 || !is_between(work, y, p)) {
    return COPENSSL_FAILED;
  }
  copenssl_result result = COPENSSL_FAILED;
  copenssl_key *own = make(work, "DH", p, NULL, g, NULL, x, &result);
  copenssl_key *peer = own == NULL ? NULL : make(work, "DH", p, NULL, g, y, NULL, &result);
  if (peer != NULL) result = copenssl_derive(work, own->pkey, peer->pkey);
  copenssl_key_free(own);
  copenssl_key_free(peer);
  return result;
}

copenssl_result copenssl_dh_work(copenssl_work *work) {
  copenssl_operation operation = work->request->operation;
  if (operation == COPENSSL_GENERATE_PARAMETERS) return generate_parameters(work);
  if (operation != COPENSSL_GENERATE_KEY && operation != COPENSSL_COMPUTE_SECRET) {
    return COPENSSL_UNSUPPORTED;
  }
  BIGNUM *p = copenssl_part(work, DH_P), *g = copenssl_part(work, DH_G);
  if (p == NULL || g == NULL) return COPENSSL_FAILED;
  copenssl_result result = check_modulus(p, OPENSSL_DH_MAX_MODULUS_BITS);
  if (result != COPENSSL_DONE) return result;
  if (!is_between(work, g, p)) return COPENSSL_FAILED;
  // A key takes one exponentiation; a secret its own, and the peer's check where libcrypto knows the group.
  double exponentiations = operation == COPENSSL_GENERATE_KEY ? 1 : 2;
  if (exponentiations * copenssl_units(p, p) > work->request->most_units) {
    return COPENSSL_UNSUPPORTED;
  }
  return operation == COPENSSL_GENERATE_KEY ? generate_key(work, p, g)
                                            : compute_secret(work, p, g);
}
