internal import COpenSSL

// One-shot calls of libcrypto: fetch, run, free.
extension ReferenceCrypto {
  /// A library context of our own with the default and the legacy provider; kept for the life of
  /// the process.
  private static let library: Library = Library()

  @safe
  private final class Library: @unchecked Sendable {
    let context: OpaquePointer?

    init() {
      // SAFETY: the context and its providers are never freed; null contexts mean the process's
      // default.
      unsafe context = OSSL_LIB_CTX_new()
      _ = unsafe OSSL_PROVIDER_load(context, "default")
      _ = unsafe OSSL_PROVIDER_load(context, "legacy")
    }
  }

  // SAFETY, for this whole file: every object is made, used and freed inside of one function;
  // arrays are passed for the length of a call, with room for what the call writes (a block more
  // than the source for ciphers).

  /// A cipher without padding over the whole source.
  static func evp(
    _ name: String, key: [UInt8], iv: [UInt8], _ source: [UInt8], encrypts: Bool
  ) -> [UInt8]? {
    guard let cipher = unsafe EVP_CIPHER_fetch(library.context, name, nil) else { return nil }
    defer { unsafe EVP_CIPHER_free(cipher) }
    guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    guard
      unsafe EVP_CipherInit_ex2(context, cipher, nil, nil, encrypts ? 1 : 0, nil) == 1,
      unsafe EVP_CIPHER_CTX_get_iv_length(context) == Int32(iv.count),
      unsafe EVP_CIPHER_CTX_get_key_length(context) == Int32(key.count)
        || EVP_CIPHER_CTX_set_key_length(context, Int32(key.count)) == 1,
      unsafe EVP_CipherInit_ex2(context, nil, key, iv, encrypts ? 1 : 0, nil) == 1,
      unsafe EVP_CIPHER_CTX_set_padding(context, 0) == 1
    else { return nil }
    guard !source.isEmpty else { return [] }
    var output = [UInt8](repeating: 0, count: source.count + 32)
    var first: Int32 = 0
    var last: Int32 = 0
    guard
      unsafe EVP_CipherUpdate(context, &output, &first, source, Int32(source.count)) == 1
    else { return nil }
    var tail = [UInt8](repeating: 0, count: 32)
    guard unsafe EVP_CipherFinal_ex(context, &tail, &last) == 1 else { return nil }
    return Array(output.prefix(Int(first))) + tail.prefix(Int(last))
  }

  static func digest(
    _ name: String, _ message: [UInt8], isExtendable: Bool, byteCount: Int
  ) -> [UInt8]? {
    guard let digest = unsafe EVP_MD_fetch(library.context, name, nil) else { return nil }
    defer { unsafe EVP_MD_free(digest) }
    guard let context = unsafe EVP_MD_CTX_new() else { return nil }
    defer { unsafe EVP_MD_CTX_free(context) }
    guard
      unsafe EVP_DigestInit_ex2(context, digest, nil) == 1,
      unsafe EVP_DigestUpdate(context, message, message.count) == 1
    else { return nil }
    if isExtendable {
      var result = [UInt8](repeating: 0, count: byteCount)
      return unsafe EVP_DigestFinalXOF(context, &result, byteCount) == 1 ? result : nil
    }
    var result = [UInt8](repeating: 0, count: 64)
    guard unsafe EVP_DigestFinal_ex(context, &result, nil) == 1 else { return nil }
    return Array(result.prefix(byteCount))
  }

  /// `parameter` is "digest" or "cipher"; `algorithm` its value.
  static func mac(
    _ name: String, _ parameter: String, _ algorithm: String, key: [UInt8], _ message: [UInt8]
  ) -> [UInt8]? {
    guard let mac = unsafe EVP_MAC_fetch(library.context, name, nil) else { return nil }
    defer { unsafe EVP_MAC_free(mac) }
    guard let context = unsafe EVP_MAC_CTX_new(mac) else { return nil }
    defer { unsafe EVP_MAC_CTX_free(context) }
    var value = Array(algorithm.utf8CString)
    // A null key means "keep the old one": an empty key is passed by an address that is not null.
    let keyBytes = key.isEmpty ? [0] : key
    let isReady = unsafe parameter.withCString { parameter in
      unsafe value.withUnsafeMutableBufferPointer { value in
        let parameters = unsafe [
          OSSL_PARAM_construct_utf8_string(parameter, value.baseAddress, 0),
          OSSL_PARAM_construct_end(),
        ]
        return unsafe EVP_MAC_init(context, keyBytes, key.count, parameters) == 1
      }
    }
    var result = [UInt8](repeating: 0, count: 64)
    var written = 0
    guard
      isReady, unsafe EVP_MAC_update(context, message, message.count) == 1,
      unsafe EVP_MAC_final(context, &result, &written, result.count) == 1
    else { return nil }
    return Array(result.prefix(written))
  }

  /// Ciphertext and tag.
  static func evpSeal(
    _ name: String, isCCM: Bool, key: [UInt8], iv: [UInt8], aad: [UInt8], _ source: [UInt8],
    tagByteCount: Int
  ) -> [UInt8]? {
    var tag = [UInt8](repeating: 0, count: tagByteCount)
    guard
      let text = evpAEAD(
        name, isCCM: isCCM, key: key, iv: iv, aad: aad, source, tag: &tag, encrypts: true)
    else { return nil }
    return text + tag
  }

  /// Plaintext; nil when the tag is wrong.
  static func evpOpen(
    _ name: String, isCCM: Bool, key: [UInt8], iv: [UInt8], aad: [UInt8], _ source: [UInt8],
    tag: [UInt8]
  ) -> [UInt8]? {
    var tag = tag
    return evpAEAD(
      name, isCCM: isCCM, key: key, iv: iv, aad: aad, source, tag: &tag, encrypts: false)
  }

  private static func evpAEAD(
    _ name: String, isCCM: Bool, key: [UInt8], iv: [UInt8], aad: [UInt8], _ source: [UInt8],
    tag: inout [UInt8], encrypts: Bool
  ) -> [UInt8]? {
    guard let cipher = unsafe EVP_CIPHER_fetch(library.context, name, nil) else { return nil }
    defer { unsafe EVP_CIPHER_free(cipher) }
    guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    let mode: Int32 = encrypts ? 1 : 0
    let tagByteCount = Int32(tag.count)
    var written: Int32 = 0
    guard
      unsafe EVP_CipherInit_ex2(context, cipher, nil, nil, mode, nil) == 1,
      unsafe EVP_CIPHER_CTX_get_key_length(context) == Int32(key.count),
      unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil) == 1
    else { return nil }
    if isCCM || !encrypts {
      let isSet = unsafe tag.withUnsafeMutableBytes { tag in
        unsafe EVP_CIPHER_CTX_ctrl(
          context, EVP_CTRL_AEAD_SET_TAG, tagByteCount, encrypts ? nil : tag.baseAddress)
      }
      guard isSet == 1 else { return nil }
    }
    guard unsafe EVP_CipherInit_ex2(context, nil, key, iv, mode, nil) == 1 else { return nil }
    if isCCM {
      let count = Int32(source.count)
      guard unsafe EVP_CipherUpdate(context, nil, &written, nil, count) == 1 else { return nil }
    }
    if !aad.isEmpty {
      guard
        unsafe EVP_CipherUpdate(context, nil, &written, aad, Int32(aad.count)) == 1
      else { return nil }
    }
    var output = [UInt8](repeating: 0, count: source.count + 16)
    // An empty text is passed by an address that is not null: CCM computes its tag in this call.
    let text = source.isEmpty ? [0] : source
    if isCCM || !source.isEmpty {
      guard
        unsafe EVP_CipherUpdate(context, &output, &written, text, Int32(source.count)) == 1
      else { return nil }
    }
    var tail = [UInt8](repeating: 0, count: 16)
    if !isCCM {
      guard unsafe EVP_CipherFinal_ex(context, &tail, &written) == 1 else { return nil }
    }
    if encrypts {
      let isGiven = unsafe tag.withUnsafeMutableBytes { tag in
        unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tagByteCount, tag.baseAddress)
      }
      guard isGiven == 1 else { return nil }
    }
    return Array(output.prefix(source.count))
  }
}
