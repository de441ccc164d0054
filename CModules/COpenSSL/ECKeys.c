// ECDSA keys: `ECPrivateKey` of RFC 5915 and points of SEC 1, on named curves only.
#include "AsymmetricKeys.h"
#include <openssl/asn1t.h>
#include <openssl/ec.h>
#include <openssl/objects.h>

typedef struct {
  int32_t version;
  ASN1_OCTET_STRING *scalar;
  // A named curve; explicit parameters are no object identifier and do not get past the reader.
  ASN1_OBJECT *curve;
  ASN1_BIT_STRING *point;
} private_encoding;

ASN1_SEQUENCE(private_encoding) = {
    ASN1_EMBED(private_encoding, version, INT32),
    ASN1_SIMPLE(private_encoding, scalar, ASN1_OCTET_STRING),
    ASN1_EXP_OPT(private_encoding, curve, ASN1_OBJECT, 0),
    ASN1_EXP_OPT(private_encoding, point, ASN1_BIT_STRING, 1),
} static_ASN1_SEQUENCE_END(private_encoding)

// The point of an encoding, if it lies on the curve and is not its zero; hybrid forms, which nobody writes, do not count.
static EC_POINT *read_point(
    const EC_GROUP *group, const uint8_t *encoded, size_t count, BN_CTX *context) {
  if (count < 2 || (encoded[0] != 2 && encoded[0] != 3 && encoded[0] != 4)) return NULL;
  EC_POINT *point = EC_POINT_new(group);
  if (point != NULL && EC_POINT_oct2point(group, point, encoded, count, context)
      && !EC_POINT_is_at_infinity(group, point)) {
    return point;
  }
  EC_POINT_free(point);
  return NULL;
}

copenssl_key *copenssl_ec_make(
    OSSL_LIB_CTX *library, const char *properties, const EC_GROUP *group, const EC_POINT *point,
    const BIGNUM *scalar, BN_CTX *context, copenssl_result *result) {
  // 0x04 and two numbers of 571 bits.
  uint8_t encoded[145];
  size_t count = EC_POINT_point2oct(
      group, point, POINT_CONVERSION_UNCOMPRESSED, encoded, sizeof(encoded), context);
  copenssl_params *params = OPENSSL_zalloc(sizeof(*params));
  copenssl_key *made = NULL;
  if (params != NULL && count > 0) {
    params->list[params->count++] = OSSL_PARAM_construct_utf8_string(
        OSSL_PKEY_PARAM_GROUP_NAME, (char *)OBJ_nid2sn(EC_GROUP_get_curve_name(group)), 0);
    params->list[params->count++] =
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, encoded, count);
    params->list[params->count] = OSSL_PARAM_construct_end();
    if (scalar == NULL || copenssl_params_bn(params, OSSL_PKEY_PARAM_PRIV_KEY, scalar)) {
      made = copenssl_key_make(library, properties, "EC", scalar != NULL, params->list, result);
    }
  }
  OPENSSL_clear_free(params, sizeof(*params));
  return made;
}

// The scalar of an encoding, 1 ≤ scalar < order; null for any other.
static BIGNUM *read_scalar(const EC_GROUP *group, const ASN1_OCTET_STRING *encoded) {
  const BIGNUM *order = EC_GROUP_get0_order(group);
  int count = ASN1_STRING_length(encoded);
  if (count < 1 || count > BN_num_bytes(order)) return NULL;
  BIGNUM *scalar = BN_secure_new();
  if (scalar == NULL) return NULL;
  BN_set_flags(scalar, BN_FLG_CONSTTIME);
  if (BN_bin2bn(ASN1_STRING_get0_data(encoded), count, scalar) != NULL && !BN_is_zero(scalar)
      && BN_cmp(scalar, order) < 0) {
    return scalar;
  }
  BN_clear_free(scalar);
  return NULL;
}

static copenssl_key *from_encoding(
    OSSL_LIB_CTX *library, const char *properties, const EC_GROUP *group,
    const private_encoding *encoding, BN_CTX *context, copenssl_result *result) {
  if (encoding->version != 1) return NULL;
  if (encoding->curve != NULL && OBJ_obj2nid(encoding->curve) != EC_GROUP_get_curve_name(group)) {
    return NULL;
  }
  BIGNUM *scalar = read_scalar(group, encoding->scalar);
  EC_POINT *point = EC_POINT_new(group);
  copenssl_key *made = NULL;
  bool fits = scalar != NULL && point != NULL && EC_POINT_mul(group, point, scalar, NULL, NULL, context);
  if (fits && encoding->point != NULL) {
    EC_POINT *claimed = read_point(
        group, ASN1_STRING_get0_data(encoding->point),
        (size_t)ASN1_STRING_length(encoding->point), context);
    fits = claimed != NULL && EC_POINT_cmp(group, point, claimed, context) == 0;
    EC_POINT_free(claimed);
  }
  if (fits) made = copenssl_ec_make(library, properties, group, point, scalar, context, result);
  BN_clear_free(scalar);
  EC_POINT_free(point);
  return made;
}

copenssl_key *copenssl_ecdsa_new(
    OSSL_LIB_CTX *library, const char *properties, int curve_nid, const uint8_t *encoded,
    size_t count, bool is_private, copenssl_result *result) {
  EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(library, properties, curve_nid);
  BN_CTX *context = BN_CTX_secure_new_ex(library);
  copenssl_key *made = NULL;
  *result = group == NULL ? copenssl_missing(library, properties, OBJ_nid2sn(curve_nid)) : COPENSSL_FAILED;
  if (group != NULL) copenssl_note_given(library, properties, OBJ_nid2sn(curve_nid));
  if (group != NULL && context != NULL) {
    if (is_private) {
      const unsigned char *end = encoded;
      private_encoding *encoding = (private_encoding *)ASN1_item_d2i(
          NULL, &end, (long)count, ASN1_ITEM_rptr(private_encoding));
      if (encoding != NULL && end == encoded + count) {
        made = from_encoding(library, properties, group, encoding, context, result);
      }
      if (encoding != NULL && encoding->scalar != NULL) {
        OPENSSL_cleanse(
            (void *)ASN1_STRING_get0_data(encoding->scalar),
            (size_t)ASN1_STRING_length(encoding->scalar));
      }
      ASN1_item_free((ASN1_VALUE *)encoding, ASN1_ITEM_rptr(private_encoding));
    } else {
      EC_POINT *point = read_point(group, encoded, count, context);
      if (point != NULL) made = copenssl_ec_make(library, properties, group, point, NULL, context, result);
      EC_POINT_free(point);
    }
  }
  BN_CTX_free(context);
  EC_GROUP_free(group);
  return made;
}
