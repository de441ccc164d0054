/// Offsets of the symmetric fields from the start of the payload.
private struct SymmetricOffsets {
  /// Of `cipher_alg`; five more words follow it.
  var words: Int
  /// Of `op_type`; direction, hash mode and chain order follow it.
  var operationType: Int
  static let cipherKey = 56
  static let authKey = 120

  init(_ layout: SessionLayout) {
    // The operation code in front moves the words by four bytes; the pointers behind start at 40 all the same.
    words = layout == .opcodeFirst ? 12 : 8
    operationType = words + 24
  }
}

/// Offsets of the asymmetric fields in the 1072-byte layout.
private enum AsymmetricOffset {
  static let algorithm = 8
  static let keyType = 12
  static let keyByteCount = 16
  static let parameters = 32
  static let key = 40
}

extension SessionRequest {
  /// Reads a `CREATE_CRYPTO_SESSION` payload of any layout, copying the keys out of it.
  ///
  /// Throws `byteCount` for a size of no layout, `keyByteCount` for a key longer than its field, and an error of its own
  /// for an unknown operation code, operation type or direction.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard SessionLayout.accepts(payloadByteCount: bytes.count) else {
      throw .byteCount(expected: SessionLayout.current.byteCount, actual: bytes.count)
    }
    let layout = Self.layout(of: bytes)
    let opcode: UInt64 =
      switch layout {
      case .current: bytes.word64(at: 0)
      case .opcodeFirst: UInt64(bytes.word32(at: 8))
      case .withoutOpcode: SessionOpcode.cipher
      }
    switch opcode {
    case SessionOpcode.cipher, SessionOpcode.hash, SessionOpcode.mac, SessionOpcode.aead:
      try self.init(symmetric: bytes, layout: layout, opcode: opcode)
    case SessionOpcode.akcipher where layout == .current:
      try self.init(asymmetric: bytes)
    default:
      throw .sessionOperation(opcode)
    }
  }

  /// Tells the layouts apart: by size, and the two of 632 bytes by where a valid type and direction are.
  private static func layout(of bytes: Span<UInt8>) -> SessionLayout {
    guard bytes.count != SessionLayout.current.byteCount else { return .current }
    func hasValidOperation(_ layout: SessionLayout) -> Bool {
      let offset = SymmetricOffsets(layout).operationType
      return (1...2).contains(bytes[offset]) && (1...2).contains(bytes[offset + 1])
    }
    guard hasValidOperation(.withoutOpcode) else { return .opcodeFirst }
    guard hasValidOperation(.opcodeFirst) else { return .withoutOpcode }
    // Both: the four bytes at 36 may be uninitialized padding, those at 32 may be an odd `add_len`. The first word is
    // an operation code (then an algorithm number from 1 to 14 follows) or an algorithm (then a key length follows).
    // The one code that is also an algorithm, 2, is AES-ECB, whose keys are longer than 14 bytes.
    let first = UInt64(bytes.word32(at: 8))
    let isOpcode =
      first == SessionOpcode.cipher || first == SessionOpcode.hash || first == SessionOpcode.mac
      || first == SessionOpcode.aead
    return isOpcode && bytes.word32(at: 12) <= 14 ? .opcodeFirst : .withoutOpcode
  }

  private init(
    symmetric bytes: Span<UInt8>, layout: SessionLayout, opcode: UInt64
  ) throws(PayloadError) {
    let offsets = SymmetricOffsets(layout)
    let cipherKeyByteCount = try Self.keyByteCount(
      bytes.word32(at: offsets.words + 4), limit: Self.maximumCipherKeyByteCount)
    let authKeyByteCount = try Self.keyByteCount(
      bytes.word32(at: offsets.words + 16), limit: Self.maximumAuthKeyByteCount)
    let operationType = bytes[offsets.operationType]
    let direction = bytes[offsets.operationType + 1]
    let kind: Kind
    switch (opcode, operationType) {
    case (SessionOpcode.cipher, SymmetricOperationType.cipher): kind = .cipher
    case (SessionOpcode.cipher, SymmetricOperationType.chain): kind = .chain
    case (SessionOpcode.cipher, _): throw .symmetricOperationType(operationType)
    case (SessionOpcode.hash, _): kind = .hash
    case (SessionOpcode.mac, _): kind = .mac
    default: kind = .aead
    }
    if kind != .hash && kind != .mac {
      guard (1...2).contains(direction) else { throw .direction(direction) }
    }
    self.init(
      kind: kind, layout: layout,
      cipherKey: SecretBytes(
        bytes, offset: SymmetricOffsets.cipherKey, byteCount: cipherKeyByteCount),
      authKey: SecretBytes(bytes, offset: SymmetricOffsets.authKey, byteCount: authKeyByteCount))
    self.direction = direction
    cipherAlgorithm = bytes.word32(at: offsets.words)
    hashAlgorithm = bytes.word32(at: offsets.words + 8)
    hashResultByteCount = bytes.word32(at: offsets.words + 12)
    additionalByteCount = bytes.word32(at: offsets.words + 20)
    hashMode = bytes[offsets.operationType + 2]
    chainOrder = bytes[offsets.operationType + 3]
  }

  private init(asymmetric bytes: Span<UInt8>) throws(PayloadError) {
    let byteCount = try Self.keyByteCount(
      bytes.word32(at: AsymmetricOffset.keyByteCount), limit: Self.maximumAsymmetricKeyByteCount)
    self.init(
      kind: .asymmetric,
      cipherKey: SecretBytes(bytes, offset: AsymmetricOffset.key, byteCount: byteCount))
    asymmetricAlgorithm = bytes.word32(at: AsymmetricOffset.algorithm)
    asymmetricKeyType = bytes.word32(at: AsymmetricOffset.keyType)
    asymmetricParameters = (
      bytes.word32(at: AsymmetricOffset.parameters),
      bytes.word32(at: AsymmetricOffset.parameters + 4)
    )
  }

  private static func keyByteCount(_ value: UInt32, limit: Int) throws(PayloadError) -> Int {
    guard value <= UInt32(limit) else { throw .keyByteCount(value, limit: limit) }
    return Int(value)
  }

  /// The payload in the request's layout, or nil when the layout has no place for this kind or a key is too long.
  ///
  /// The array holds the keys: it is the sender's to wipe.
  public var encoded: [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: layout.byteCount)
    switch layout {
    case .current: bytes.storeWord(opcode, at: 0)
    case .opcodeFirst: bytes.storeWord(UInt32(truncatingIfNeeded: opcode), at: 8)
    case .withoutOpcode: guard kind == .cipher || kind == .chain else { return nil }
    }
    guard kind != .asymmetric else {
      return layout == .current && storeAsymmetric(in: &bytes) ? bytes : nil
    }
    return storeSymmetric(in: &bytes) ? bytes : nil
  }

  private var opcode: UInt64 {
    switch kind {
    case .cipher, .chain: SessionOpcode.cipher
    case .hash: SessionOpcode.hash
    case .mac: SessionOpcode.mac
    case .aead: SessionOpcode.aead
    case .asymmetric: SessionOpcode.akcipher
    }
  }

  private func storeSymmetric(in bytes: inout [UInt8]) -> Bool {
    guard
      cipherKey.count <= Self.maximumCipherKeyByteCount,
      authKey.count <= Self.maximumAuthKeyByteCount
    else { return false }
    let offsets = SymmetricOffsets(layout)
    let words = [
      cipherAlgorithm, UInt32(cipherKey.count), hashAlgorithm, hashResultByteCount,
      UInt32(authKey.count), additionalByteCount,
    ]
    for (index, word) in words.enumerated() {
      bytes.storeWord(word, at: offsets.words + 4 * index)
    }
    bytes[offsets.operationType] =
      kind == .chain ? SymmetricOperationType.chain : SymmetricOperationType.cipher
    bytes[offsets.operationType + 1] = direction
    bytes[offsets.operationType + 2] = hashMode
    bytes[offsets.operationType + 3] = chainOrder
    cipherKey.store(into: &bytes, at: SymmetricOffsets.cipherKey)
    authKey.store(into: &bytes, at: SymmetricOffsets.authKey)
    return true
  }

  private func storeAsymmetric(in bytes: inout [UInt8]) -> Bool {
    guard cipherKey.count <= Self.maximumAsymmetricKeyByteCount else { return false }
    bytes.storeWord(asymmetricAlgorithm, at: AsymmetricOffset.algorithm)
    bytes.storeWord(asymmetricKeyType, at: AsymmetricOffset.keyType)
    bytes.storeWord(UInt32(cipherKey.count), at: AsymmetricOffset.keyByteCount)
    bytes.storeWord(asymmetricParameters.0, at: AsymmetricOffset.parameters)
    bytes.storeWord(asymmetricParameters.1, at: AsymmetricOffset.parameters + 4)
    cipherKey.store(into: &bytes, at: AsymmetricOffset.key)
    return true
  }
}
