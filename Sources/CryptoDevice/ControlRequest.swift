import CryptoTypes
public import VirtioSpec

/// A control request as the guest wrote it, copied out of its memory.
///
/// Spec: draft v25 §Control Virtqueue. `VIRTIO_CRYPTO_F_REVISION_1` decides how long the fixed part is: exact, or
/// padded to 56 bytes, as it always is in draft v15, whose session requests are the same. Word 4 of the header is `reserved`, and carries a queue number in real drivers: it is ignored.
public enum ControlRequest: Equatable {
  /// Make a session; the keys lie in the request's bytes at these ranges.
  case create(SessionRequest, cipherKey: Range<Int>, authKey: Range<Int>)
  case destroy(identifier: UInt64, services: CryptoServices)

  /// The most bytes that a well-formed request can have: header, fixed part, and the longest key that an algorithm takes.
  ///
  /// Longer ones are cut here, which the key lengths then show.
  public static let maximumByteCount = 16 + 56 + AsymmetricAlgorithm.maximumKeyByteCount

  /// Reads a request.
  ///
  /// - Throws: `NOTSUPP` for an opcode that the dialect does not have, `ERR` if the bytes end early.
  public init(
    _ reader: RawSpan, revision1: Bool, dialect: Dialect = .virtio13
  ) throws(Refusal) {
    let opcode = VirtioCryptoControlOpcode(rawValue: try reader.word(at: 0))
    let fixed = VirtioCryptoWire.controlHeaderByteCount
    func variable(_ exact: Int) -> Int {
      fixed + (revision1 ? exact : VirtioCryptoWire.controlLegacyFixedByteCount)
    }
    switch opcode {
    case .cipherCreateSession:
      let keys = variable(VirtioCryptoWire.symmetricCreateFixedByteCount)
      self = try Self.symmetric(reader, fixed: fixed, keys: keys)
    case .hashCreateSession:
      var request = SessionRequest(service: .hash)
      request.hash = try reader.word(at: fixed)
      request.resultByteCount = try reader.word(at: fixed + 4)
      self = .create(request, cipherKey: 0..<0, authKey: 0..<0)
    case .macCreateSession:
      let request = try Self.macFields(reader, at: fixed, service: .mac)
      let keys = variable(VirtioCryptoWire.macCreateFixedByteCount)
      let key = try reader.range(at: keys, byteCount: request.authKeyByteCount)
      self = .create(request, cipherKey: 0..<0, authKey: key)
    case .aeadCreateSession:
      self = try Self.aead(
        reader, fixed: fixed, keys: variable(VirtioCryptoWire.aeadCreateFixedByteCount))
    case .akcipherCreateSession where dialect.hasAKCipher:
      self = try Self.akcipher(reader, fixed: fixed)
    case .cipherDestroySession: self = try Self.destroy(reader, fixed, [.cipher, .chain])
    case .hashDestroySession: self = try Self.destroy(reader, fixed, [.hash])
    case .macDestroySession: self = try Self.destroy(reader, fixed, [.mac])
    case .aeadDestroySession: self = try Self.destroy(reader, fixed, [.aead])
    case .akcipherDestroySession where dialect.hasAKCipher:
      self = try Self.destroy(reader, fixed, [.akcipher])
    default: throw .unsupported
    }
  }

  /// `struct virtio_crypto_sym_create_session_flf`: 48 bytes by type, `op_type`, padding.
  private static func symmetric(
    _ reader: RawSpan, fixed: Int, keys: Int
  ) throws(Refusal) -> ControlRequest {
    var request = SessionRequest(service: .cipher)
    request.symmetricType = try reader.word(at: fixed + 48)
    let isChain = request.symmetricType == VirtioCryptoWire.symmetricChain
    // A chain has its order and hash mode before the cipher's fields.
    let cipher = fixed + (isChain ? 8 : 0)
    request.cipher = try reader.word(at: cipher)
    request.cipherKeyByteCount = try reader.word(at: cipher + 4)
    request.operation = try reader.word(at: cipher + 8)
    if isChain {
      request.chainOrder = try reader.word(at: fixed)
      request.hashMode = try reader.word(at: fixed + 4)
      // `algo_flf`: the plain hash uses the first two words, MAC and nested hash the third as well.
      let hash = try macFields(reader, at: fixed + 24, service: .cipher)
      request.hash = hash.hash
      request.resultByteCount = hash.resultByteCount
      let isPlain = request.hashMode == VirtioCryptoWire.hashModePlain
      request.authKeyByteCount = isPlain ? 0 : hash.authKeyByteCount
    }
    let cipherKey = try reader.range(at: keys, byteCount: request.cipherKeyByteCount)
    let authKey = try reader.range(at: cipherKey.upperBound, byteCount: request.authKeyByteCount)
    return .create(request, cipherKey: cipherKey, authKey: authKey)
  }

  /// `struct virtio_crypto_mac_create_session_flf`.
  private static func macFields(
    _ reader: RawSpan, at offset: Int, service: VirtioCryptoService
  ) throws(Refusal) -> SessionRequest {
    var request = SessionRequest(service: service)
    request.hash = try reader.word(at: offset)
    request.resultByteCount = try reader.word(at: offset + 4)
    request.authKeyByteCount = try reader.word(at: offset + 8)
    return request
  }

  /// `struct virtio_crypto_aead_create_session_flf`.
  private static func aead(
    _ reader: RawSpan, fixed: Int, keys: Int
  ) throws(Refusal) -> ControlRequest {
    var request = SessionRequest(service: .aead)
    request.cipher = try reader.word(at: fixed)
    request.cipherKeyByteCount = try reader.word(at: fixed + 4)
    request.resultByteCount = try reader.word(at: fixed + 8)
    request.operation = try reader.word(at: fixed + 16)
    let key = try reader.range(at: keys, byteCount: request.cipherKeyByteCount)
    return .create(request, cipherKey: key, authKey: 0..<0)
  }

  /// `struct virtio_crypto_akcipher_create_session_flf`, which has 56 bytes in every layout.
  private static func akcipher(_ reader: RawSpan, fixed: Int) throws(Refusal) -> ControlRequest {
    var request = SessionRequest(service: .akcipher)
    request.cipher = try reader.word(at: fixed)
    request.keyType = try reader.word(at: fixed + 4)
    request.cipherKeyByteCount = try reader.word(at: fixed + 8)
    request.firstParameter = try reader.word(at: fixed + 12)
    request.secondParameter = try reader.word(at: fixed + 16)
    let key = try reader.range(
      at: fixed + VirtioCryptoWire.akcipherCreateFixedByteCount,
      byteCount: request.cipherKeyByteCount, limit: AsymmetricAlgorithm.maximumKeyByteCount)
    return .create(request, cipherKey: key, authKey: 0..<0)
  }

  private static func destroy(
    _ reader: RawSpan, _ fixed: Int, _ services: CryptoServices
  ) throws(Refusal) -> ControlRequest {
    .destroy(identifier: try reader.doubleWord(at: fixed), services: services)
  }
}

/// Bounds-checked little-endian reads from bytes that we own.
extension RawSpan {
  func word(at offset: Int) throws(Refusal) -> UInt32 {
    guard offset >= 0, offset <= byteCount - 4 else { throw .error }
    // SAFETY: the four bytes lie inside the span, checked above.
    return UInt32(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  func doubleWord(at offset: Int) throws(Refusal) -> UInt64 {
    UInt64(try word(at: offset)) | UInt64(try word(at: offset + 4)) << 32
  }

  /// The range of a key; lengths that no algorithm takes are refused as unsupported before they are looked for.
  func range(
    at offset: Int, byteCount wanted: UInt32, limit: Int = 512
  ) throws(Refusal) -> Range<Int> {
    guard wanted <= limit else { throw .unsupported }
    guard offset + Int(wanted) <= byteCount else { throw .error }
    return offset..<offset + Int(wanted)
  }
}
