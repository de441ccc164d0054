internal import COpenSSL

/// A key of libcrypto's, for what takes more than arithmetic: curves, and keys in other wrappings than the device's.
@safe
final class LibraryKey: @unchecked Sendable {
  // SAFETY, for this whole file: a key is made in an initialiser, not changed afterwards and freed with its object;
  // contexts live for one function, and arrays are passed for the length of a call with the room that libcrypto asked
  // for.
  fileprivate let pointer: OpaquePointer

  fileprivate init?(taking pointer: OpaquePointer?) {
    guard let pointer = unsafe pointer else { return nil }
    unsafe self.pointer = pointer
  }

  deinit { unsafe EVP_PKEY_free(pointer) }

  /// Runs one of libcrypto's readers, which must take all of the bytes.
  fileprivate convenience init?(
    _ bytes: [UInt8],
    _ read: (UnsafeMutablePointer<UnsafePointer<UInt8>?>, Int) -> OpaquePointer?
  ) {
    var isWhole = false
    let key = unsafe bytes.withUnsafeBufferPointer { buffer -> OpaquePointer? in
      var position = buffer.baseAddress
      let key = unsafe read(&position, buffer.count)
      unsafe isWhole = position == buffer.baseAddress.map { unsafe $0 + buffer.count }
      return unsafe key
    }
    unsafe self.init(taking: key)
    guard isWhole else { return nil }
  }

  /// What one of libcrypto's writers gives.
  fileprivate func bytes(
    _ write: (OpaquePointer, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32
  ) -> [UInt8]? {
    let count = unsafe write(pointer, nil)
    guard count > 0 else { return nil }
    var result = [UInt8](repeating: 0, count: Int(count))
    unsafe result.withUnsafeMutableBufferPointer { buffer in
      var position = buffer.baseAddress
      _ = unsafe write(pointer, &position)
    }
    return result
  }
}

extension AKCipherKey {
  /// The public key of a `SubjectPublicKeyInfo` as the device wants it; nil when libcrypto cannot read it.
  public init?(subjectPublicKeyInfo bytes: [UInt8]) {
    guard
      let key = unsafe LibraryKey(bytes, { unsafe d2i_PUBKEY(nil, $0, $1) }),
      let encoded = unsafe key.bytes({ unsafe i2d_PublicKey($0, $1) })
    else { return nil }
    self = .publicKey(encoded)
  }

  /// The private key of a PKCS#8 `PrivateKeyInfo` as the device wants it; nil when libcrypto cannot read it.
  public init?(privateKeyInfo bytes: [UInt8]) {
    guard
      let key = unsafe LibraryKey(bytes, { unsafe d2i_AutoPrivateKey(nil, $0, $1) }),
      let encoded = unsafe key.bytes({ unsafe i2d_PrivateKey($0, $1) })
    else { return nil }
    self = .privateKey(encoded)
  }

  /// The bytes of the encoding.
  public var bytes: [UInt8] {
    switch self {
    case .publicKey(let bytes), .privateKey(let bytes): bytes
    }
  }

  /// Whether libcrypto reads these bytes as a private key of RSA; for tests of encodings.
  public static func isRSAPrivateKey(_ bytes: [UInt8]) -> Bool {
    unsafe LibraryKey(bytes) { unsafe d2i_PrivateKey(EVP_PKEY_RSA, nil, $0, $1) } != nil
  }

  /// The same for elliptic curves.
  public static func isECPrivateKey(_ bytes: [UInt8]) -> Bool {
    unsafe LibraryKey(bytes) { unsafe d2i_PrivateKey(EVP_PKEY_EC, nil, $0, $1) } != nil
  }
}

extension AKCipherCurve {
  var libraryName: String {
    switch self {
    case .p192: "prime192v1"
    case .p224: "secp224r1"
    case .p256: "prime256v1"
    case .p384: "secp384r1"
    case .p521: "secp521r1"
    }
  }

  /// The encoded arcs of the curve's object identifier.
  public var identifier: [UInt8] {
    switch self {
    case .p192: [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x01]
    case .p224: [0x2B, 0x81, 0x04, 0x00, 0x21]
    case .p256: [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
    case .p384: [0x2B, 0x81, 0x04, 0x00, 0x22]
    case .p521: [0x2B, 0x81, 0x04, 0x00, 0x23]
    }
  }
}

/// A key pair on one of the curves.
public struct ECKeyPair: Sendable {
  public let curve: AKCipherCurve
  /// The private number.
  public let scalar: BigNumber
  /// The public point, uncompressed: 4, x, y.
  public let point: [UInt8]
  /// How many points the curve's generator makes.
  public let order: BigNumber
  private let key: LibraryKey

  /// A fresh key; nil when libcrypto does not have the curve.
  public init?(generatedOn curve: AKCipherCurve) {
    let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "EC", nil)
    defer { unsafe EVP_PKEY_CTX_free(context) }
    var made: OpaquePointer?
    guard
      unsafe EVP_PKEY_keygen_init(context) == 1,
      unsafe EVP_PKEY_CTX_set_group_name(context, curve.libraryName) == 1,
      unsafe EVP_PKEY_generate(context, &made) == 1,
      let key = unsafe LibraryKey(taking: made),
      let scalar = Self.number("priv", of: key), let order = Self.number("order", of: key),
      let point = unsafe key.bytes({ unsafe i2d_PublicKey($0, $1) })
    else { return nil }
    self.curve = curve
    (self.key, self.scalar, self.order, self.point) = (key, scalar, order, point)
  }

  private static func number(_ name: String, of key: LibraryKey) -> BigNumber? {
    var number: OpaquePointer?
    guard unsafe EVP_PKEY_get_bn_param(key.pointer, name, &number) == 1 else { return nil }
    defer { unsafe BN_free(number) }
    var bytes = [UInt8](repeating: 0, count: unsafe (Int(BN_num_bits(number)) + 7) / 8)
    unsafe BN_bn2bin(number, &bytes)
    return BigNumber(bytes: bytes)
  }

  // MARK: Encodings

  /// Which of its optional parts an `ECPrivateKey` has.
  public enum Parts: CaseIterable, Sendable {
    case none, parameters, publicKey, both
  }

  /// `ECPrivateKey`, of this key or of one with other numbers.
  ///
  /// Spec: RFC 5915 §3.
  public func privateBytes(
    _ parts: Parts = .both, scalar: [UInt8]? = nil, curve named: AKCipherCurve? = nil,
    point: [UInt8]? = nil
  ) -> [UInt8] {
    let scalar = scalar ?? self.scalar.bytes(count: curve.byteCount) ?? []
    let parameters = DER.tagged(0, DER.identifier((named ?? curve).identifier))
    let publicKey = DER.tagged(1, DER.bitString(point ?? self.point))
    return DER.sequence(
      DER.integer(1), DER.octetString(scalar),
      parts == .parameters || parts == .both ? parameters : [],
      parts == .publicKey || parts == .both ? publicKey : [])
  }

  public var publicKey: AKCipherKey { .publicKey(point) }
  public var privateKey: AKCipherKey { .privateKey(privateBytes()) }

  /// The point with x and one bit of y, as the device does not have to take it.
  public var compressedPoint: [UInt8] {
    [2 | (point.last ?? 0) & 1] + point.dropFirst().prefix(curve.byteCount)
  }

  /// `Ecdsa-Sig-Value` of any two numbers.
  public static func signature(_ r: BigNumber, _ s: BigNumber) -> [UInt8] {
    DER.sequence(DER.integer(r), DER.integer(s))
  }

  // MARK: Signatures

  /// A signature of a digest.
  public func sign(_ digest: [UInt8]) -> [UInt8]? {
    guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key.pointer, nil) else { return nil }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    var count = curve.maximumSignatureByteCount
    var signature = [UInt8](repeating: 0, count: count)
    guard
      unsafe EVP_PKEY_sign_init(context) == 1,
      unsafe EVP_PKEY_sign(context, &signature, &count, digest, digest.count) == 1
    else { return nil }
    return Array(signature.prefix(count))
  }

  public func verify(_ signature: [UInt8], of digest: [UInt8]) -> Bool {
    guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key.pointer, nil) else {
      return false
    }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    return unsafe EVP_PKEY_verify_init(context) == 1
      && EVP_PKEY_verify(context, signature, signature.count, digest, digest.count) == 1
  }
}
