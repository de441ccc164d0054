import CryptoTypes
import VirtioSpec

/// The ranges that a chain works on, in bytes from the start of the source.
public struct ChainRanges: Hashable, Sendable {
  public var cipherOffset: Int
  public var cipherByteCount: Int
  public var hashOffset: Int
  public var hashByteCount: Int

  public init(cipher: Range<Int>, hash: Range<Int>) {
    cipherOffset = cipher.lowerBound
    cipherByteCount = cipher.count
    hashOffset = hash.lowerBound
    hashByteCount = hash.count
  }
}

/// One data request in the driver's words, before it has bytes or addresses.
public struct OperationSpec: Hashable, Sendable {
  /// What is computed, with its keys (which travel only in a stateless request).
  public var session: SessionSpec
  /// The id that the device gave; nil for a stateless request.
  public var sessionID: UInt64?
  public var iv: [UInt8]
  public var source: [UInt8]
  public var aad: [UInt8]
  /// `dst_data_len`; nil: the length that fits the source.
  public var destinationByteCount: Int?
  /// `hash_result_len` or `tag_len`; nil: what the session asks for.
  public var resultByteCount: Int?
  /// For chains; nil: cipher and hash cover the whole source.
  public var ranges: ChainRanges?
  /// For AKCIPHER: what is done.
  public var akcipher: AKCipherOperation = .encrypt
  /// For AKCIPHER's `verify`: what was signed; `source` is the signature.
  public var digest: [UInt8] = []

  public init(
    _ session: SessionSpec, sessionID: UInt64?, iv: [UInt8] = [], source: [UInt8],
    aad: [UInt8] = [], destinationByteCount: Int? = nil, resultByteCount: Int? = nil,
    ranges: ChainRanges? = nil
  ) {
    self.session = session
    self.sessionID = sessionID
    self.iv = iv
    self.source = source
    self.aad = aad
    self.destinationByteCount = destinationByteCount
    self.resultByteCount = resultByteCount
    self.ranges = ranges
  }

  /// A request with an asymmetric key that has a result, which may be shorter than its room.
  public init(
    _ operation: AKCipherOperation, _ spec: AKCipherSpec, sessionID: UInt64?, source: [UInt8],
    room: Int
  ) {
    self.init(
      .akcipher(spec), sessionID: sessionID, source: source, destinationByteCount: room)
    akcipher = operation
  }

  /// A request that verifies a signature.
  public init(
    verify signature: [UInt8], of digest: [UInt8], _ spec: AKCipherSpec, sessionID: UInt64?
  ) {
    self.init(.akcipher(spec), sessionID: sessionID, source: signature)
    akcipher = .verify
    self.digest = digest
  }

  /// `hash_result_len` or `tag_len` as it goes out.
  public var wireResultByteCount: Int { resultByteCount ?? session.resultByteCount }

  /// `dst_data_len` as it goes out; 0 for hash and MAC, which have none, and the digest's length
  /// where a signature is verified.
  ///
  /// AEAD decryption leaves out the tag, unless the source is shorter than one.
  public var wireDestinationByteCount: Int {
    if let destinationByteCount { return destinationByteCount }
    switch session {
    case .hash, .mac: return 0
    case .akcipher: return akcipher == .verify ? digest.count : source.count
    case .cipher, .chain: return source.count
    case .aead(_, .encrypt, _, _, _): return source.count + wireResultByteCount
    case .aead(_, .decrypt, _, _, _): return max(0, source.count - wireResultByteCount)
    }
  }

  /// Bytes of `dst_data` in the device-writable part.
  public var writableDestinationByteCount: Int {
    if case .akcipher = session, akcipher == .verify { return 0 }
    return wireDestinationByteCount
  }

  /// Bytes of a separate result behind the destination: hash, MAC and chain have one; an AEAD's tag
  /// is in the destination.
  public var trailingResultByteCount: Int {
    switch session {
    case .hash, .mac, .chain: wireResultByteCount
    case .cipher, .aead, .akcipher: 0
    }
  }

  var wireRanges: ChainRanges {
    ranges ?? ChainRanges(cipher: 0..<source.count, hash: 0..<source.count)
  }

  var opcode: VirtioCryptoDataOpcode {
    switch session {
    case .cipher, .chain: session.direction == .decrypt ? .cipherDecrypt : .cipherEncrypt
    case .hash: .hash
    case .mac: .mac
    case .aead: session.direction == .decrypt ? .aeadDecrypt : .aeadEncrypt
    case .akcipher: akcipher.opcode
    }
  }
}
