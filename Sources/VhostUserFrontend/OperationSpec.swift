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

  /// `hash_result_len` or `tag_len` as it goes out.
  public var wireResultByteCount: Int { resultByteCount ?? session.resultByteCount }

  /// `dst_data_len` as it goes out; 0 for hash and MAC, which have none.
  ///
  /// AEAD decryption leaves out the tag, unless the source is shorter than one.
  public var wireDestinationByteCount: Int {
    if let destinationByteCount { return destinationByteCount }
    switch session {
    case .hash, .mac: return 0
    case .cipher, .chain: return source.count
    case .aead(_, .encrypt, _, _, _): return source.count + wireResultByteCount
    case .aead(_, .decrypt, _, _, _): return max(0, source.count - wireResultByteCount)
    }
  }

  /// Bytes of a separate result behind the destination: hash, MAC and chain have one; an AEAD's tag
  /// is in the destination.
  public var trailingResultByteCount: Int {
    switch session {
    case .hash, .mac, .chain: wireResultByteCount
    case .cipher, .aead: 0
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
    }
  }
}
