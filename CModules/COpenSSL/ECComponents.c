// ECDSA and ECDH with keys in parts: on the curves that libcrypto knows by name, found by their parameters.
//
// A curve that only a guest knows is refused: what is computed on it would be worth no more than its parameters are.
#include "ComponentWork.h"
#include <openssl/objects.h>
#include <pthread.h>

// ---- Curves ---------------------------------------------------------------------------------------------------------

enum { CURVE_NUMBERS = 6 };

typedef struct {
  int nid;
  bool is_binary;
  // The generator's coordinates, order, field, a, b: in the order of the parts.
  BIGNUM *numbers[CURVE_NUMBERS];
  BIGNUM *cofactor;
} curve;

static curve *curves;
static size_t curve_count;

static bool fill(curve *entry, int nid, BN_CTX *context) {
  EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
  bool is_done = group != NULL;
  for (int i = 0; i < CURVE_NUMBERS; i++) {
    entry->numbers[i] = BN_new();
    is_done = is_done && entry->numbers[i] != NULL;
  }
  BIGNUM **numbers = entry->numbers;
  entry->cofactor = BN_new();
  entry->nid = nid;
  is_done = is_done && entry->cofactor != NULL
      && EC_GROUP_get_curve(
          group, numbers[EC_FIELD], numbers[EC_A], numbers[EC_B], context)
      && EC_POINT_get_affine_coordinates(
          group, EC_GROUP_get0_generator(group), numbers[EC_GX], numbers[EC_GY], context)
      && EC_GROUP_get_order(group, numbers[EC_ORDER], context)
      && EC_GROUP_get_cofactor(group, entry->cofactor, context);
  if (is_done) entry->is_binary = EC_GROUP_get_field_type(group) == NID_X9_62_characteristic_two_field;
  EC_GROUP_free(group);
  if (is_done) return true;
  for (int i = 0; i < CURVE_NUMBERS; i++) BN_free(numbers[i]);
  BN_free(entry->cofactor);
  return false;
}

// SM2's curve is for SM2's own signatures; Oakley's have no prime order, without which nothing here works.
static bool is_left_out(int nid) {
  return nid == NID_sm2 || nid == NID_ipsec3 || nid == NID_ipsec4;
}

static void prepare(void) {
  size_t most = EC_get_builtin_curves(NULL, 0);
  EC_builtin_curve *names = OPENSSL_zalloc(most * sizeof(*names));
  BN_CTX *context = BN_CTX_new();
  curves = OPENSSL_zalloc(most * sizeof(*curves));
  if (names != NULL && context != NULL && curves != NULL) {
    most = EC_get_builtin_curves(names, most);
    for (size_t i = 0; i < most; i++) {
      if (is_left_out(names[i].nid)) continue;
      if (fill(&curves[curve_count], names[i].nid, context)) curve_count++;
    }
  }
  OPENSSL_free(names);
  BN_CTX_free(context);
}

void copenssl_curves_prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
}

static bool is_curve(
    const curve *entry, BIGNUM *const *numbers, const BIGNUM *cofactor, bool is_binary) {
  if (entry->is_binary != is_binary) return false;
  for (int i = 0; i < CURVE_NUMBERS; i++) {
    if (BN_cmp(entry->numbers[i], numbers[i]) != 0) return false;
  }
  // Guests may leave it out.
  return BN_is_zero(cofactor) || BN_cmp(entry->cofactor, cofactor) == 0;
}

// The number of the named curve with the parameters of the request, or NID_undef.
static int curve_nid(copenssl_work *work) {
  BIGNUM *numbers[CURVE_NUMBERS];
  for (int i = 0; i < CURVE_NUMBERS; i++) {
    numbers[i] = copenssl_part(work, i);
    if (numbers[i] == NULL) return NID_undef;
  }
  const BIGNUM *cofactor = copenssl_part(work, EC_COFACTOR);
  if (cofactor == NULL || work->header.field_type > 1) return NID_undef;
  for (size_t i = 0; i < curve_count; i++) {
    if (is_curve(&curves[i], numbers, cofactor, work->header.field_type == 1)) {
      return curves[i].nid;
    }
  }
  return NID_undef;
}

// ---- Keys -----------------------------------------------------------------------------------------------------------

// The key of a scalar, 1 ≤ scalar < order; null for any other.
static copenssl_key *own_key(
    copenssl_work *work, const EC_GROUP *group, const BIGNUM *scalar, copenssl_result *result) {
  *result = COPENSSL_FAILED;
  if (scalar == NULL || BN_is_zero(scalar)
      || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0) {
    return NULL;
  }
  EC_POINT *point = EC_POINT_new(group);
  copenssl_key *made = NULL;
  if (point != NULL && EC_POINT_mul(group, point, scalar, NULL, NULL, work->context)) {
    made = copenssl_ec_make(
        work->library, work->properties, group, point, scalar, work->context, result);
  }
  EC_POINT_free(point);
  return made;
}

// Whether a number is an element of the group's field.
static bool is_element(copenssl_work *work, const EC_GROUP *group, const BIGNUM *number) {
  if (number == NULL) return false;
  if (EC_GROUP_get_field_type(group) == NID_X9_62_characteristic_two_field) {
    return BN_num_bits(number) <= EC_GROUP_get_degree(group);
  }
  BIGNUM *prime = BN_CTX_get(work->context);
  return prime != NULL && EC_GROUP_get_curve(group, prime, NULL, NULL, work->context)
      && BN_cmp(number, prime) < 0;
}

// The key of a point on the curve, in its subgroup; the point at infinity has no coordinates.
static copenssl_key *peer_key(
    copenssl_work *work, const EC_GROUP *group, copenssl_result *result) {
  const BIGNUM *x = copenssl_part(work, EC_X), *y = copenssl_part(work, EC_Y);
  *result = COPENSSL_FAILED;
  if (work->header.part_counts[EC_X] == 0 || work->header.part_counts[EC_Y] == 0
      || !is_element(work, group, x) || !is_element(work, group, y)) {
    return NULL;
  }
  EC_POINT *point = EC_POINT_new(group), *multiple = EC_POINT_new(group);
  copenssl_key *made = NULL;
  if (point != NULL && multiple != NULL
      && EC_POINT_set_affine_coordinates(group, point, x, y, work->context)
      && (BN_is_one(EC_GROUP_get0_cofactor(group))
          || (EC_POINT_mul(
                  group, multiple, NULL, point, EC_GROUP_get0_order(group), work->context)
              && EC_POINT_is_at_infinity(group, multiple)))) {
    made = copenssl_ec_make(
        work->library, work->properties, group, point, NULL, work->context, result);
  }
  EC_POINT_free(point);
  EC_POINT_free(multiple);
  return made;
}

// ---- Operations -----------------------------------------------------------------------------------------------------

static copenssl_result generate_key(copenssl_work *work, const EC_GROUP *group) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(work->library, "EC", work->properties);
  EVP_PKEY *made = NULL;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(
          OSSL_PKEY_PARAM_GROUP_NAME, (char *)OBJ_nid2sn(EC_GROUP_get_curve_name(group)), 0),
      OSSL_PARAM_construct_end()};
  copenssl_result result = context == NULL ? copenssl_missing(work->library, work->properties, "EC") : COPENSSL_FAILED;
  if (context != NULL && EVP_PKEY_keygen_init(context) == 1
      && EVP_PKEY_CTX_set_params(context, params) == 1) {
    made = copenssl_generate(work, context, false);
  }
  if (made != NULL && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_PRIV_KEY, 0)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_EC_PUB_X, 1)
      && copenssl_emit_param(work, made, OSSL_PKEY_PARAM_EC_PUB_Y, 2)) {
    result = COPENSSL_DONE;
  }
  EVP_PKEY_free(made);
  EVP_PKEY_CTX_free(context);
  return result;
}

static copenssl_result run_on(copenssl_work *work, const EC_GROUP *group) {
  copenssl_operation operation = work->request->operation;
  if (operation == COPENSSL_GENERATE_KEY) return generate_key(work, group);
  copenssl_key *own = NULL, *peer = NULL;
  copenssl_result result;
  if (operation != COPENSSL_VERIFY) {
    own = own_key(work, group, copenssl_secret_part(work, EC_SCALAR), &result);
    if (own == NULL) return result;
  }
  if (operation != COPENSSL_SIGN) peer = peer_key(work, group, &result);
  if (operation == COPENSSL_SIGN) result = copenssl_sign_pair(work, own);
  else if (peer != NULL && operation == COPENSSL_VERIFY) result = copenssl_verify_pair(work, peer);
  else if (peer != NULL) result = copenssl_derive(work, own->pkey, peer->pkey);
  copenssl_key_free(own);
  copenssl_key_free(peer);
  return result;
}

copenssl_result copenssl_ec_work(copenssl_work *work) {
  copenssl_operation operation = work->request->operation;
  bool is_signature = operation == COPENSSL_SIGN || operation == COPENSSL_VERIFY;
  bool fits = operation == COPENSSL_GENERATE_KEY
      || (work->request->algorithm == COPENSSL_ECDSA ? is_signature
                                                     : operation == COPENSSL_COMPUTE_SECRET);
  if (!fits) return COPENSSL_UNSUPPORTED;
  int nid = curve_nid(work);
  if (nid == NID_undef) return COPENSSL_UNSUPPORTED;
  EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(work->library, work->properties, nid);
  if (group == NULL) return copenssl_missing(work->library, work->properties, OBJ_nid2sn(nid));
  copenssl_note_given(work->library, work->properties, OBJ_nid2sn(nid));
  copenssl_result result = run_on(work, group);
  EC_GROUP_free(group);
  return result;
}
