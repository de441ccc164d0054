public import CryptoTypes
public import VirtioSpec

/// Builds requests of the ASYM service, as the asymmetric RFC lists their fields.
///
/// Numbers are big-endian bytes, sent as they are given: wrong ones, too. Spec: the asymmetric RFC, version 3; what it
/// leaves open, docs/wire.md.
public enum ASYMRequest {
  /// `status`, and `verify_result` or `reserved`.
  public static let headerByteCount = 8

  /// A request of any shape: words, then bytes, then room for `resultByteCount` bytes behind the header of the result.
  public static func make(
    _ opcode: UInt32, _ algorithm: UInt32, words: [Int], bytes: [[UInt8]], resultByteCount: Int
  ) -> DataRequest {
    var request = WireBytes()
    request.append32(opcode)
    request.append32(algorithm)
    request.append64(0)
    request.append32(VirtioCryptoWire.flagNoSessionMode)
    request.append32(0)
    for word in words { request.append32(UInt32(truncatingIfNeeded: word)) }
    return DataRequest(
      fixed: request, fields: [DataRequest.Field(.source, bytes.flatMap { $0 })],
      destinationByteCount: headerByteCount + resultByteCount, resultByteCount: 0)
  }

  /// `VIRTIO_CRYPTO_HASH_*` of a message.
  static func number(_ hash: HashAlgorithm?) -> Int {
    switch hash {
    case nil: 0
    case .md5: 1
    case .sha1: 2
    case .sha224: 3
    case .sha256: 4
    case .sha384: 5
    case .sha512: 6
    case .sha3_224: 7
    case .sha3_256: 8
    case .sha3_384: 9
    case .sha3_512: 10
    case .shake128: 11
    case .shake256: 12
    }
  }

  // MARK: - DSA

  /// p, q and g.
  public struct DSAGroup: Hashable, Sendable {
    public var p: [UInt8]
    public var q: [UInt8]
    public var g: [UInt8]

    public init(p: [UInt8], q: [UInt8], g: [UInt8]) {
      self.p = p
      self.q = q
      self.g = g
    }

    var words: [Int] { [p.count, q.count, g.count, 0] }
  }

  public static func dsaSign(
    _ group: DSAGroup, x: [UInt8], _ message: [UInt8], _ hash: HashAlgorithm?, k: [UInt8] = [],
    widths: (Int, Int)
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.sign, VirtioCryptoASYM.Algorithm.dsa,
      words: [number(hash), 0] + group.words
        + [k.count, x.count, message.count, widths.0, widths.1, 0],
      bytes: [group.p, group.q, group.g, k, x, message], resultByteCount: widths.0 + widths.1)
  }

  public static func dsaVerify(
    _ group: DSAGroup, y: [UInt8], r: [UInt8], s: [UInt8], _ message: [UInt8],
    _ hash: HashAlgorithm?
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.verify, VirtioCryptoASYM.Algorithm.dsa,
      words: [number(hash), 0] + group.words + [y.count, r.count, s.count, message.count],
      bytes: [group.p, group.q, group.g, y, r, s, message], resultByteCount: 0)
  }

  public static func dsaKey(modulusByteCount: Int) -> DataRequest {
    make(
      VirtioCryptoASYM.generateKey, VirtioCryptoASYM.Algorithm.dsa, words: [modulusByteCount, 0],
      bytes: [],
      resultByteCount: 24 + 3 * modulusByteCount + 2 * (modulusByteCount <= 128 ? 20 : 32))
  }

  // MARK: - ECDSA and EC keys

  public static func ecdsaSign(
    _ group: ECParameters, d: [UInt8], _ message: [UInt8], _ hash: HashAlgorithm?,
    k: [UInt8] = [], widths: (Int, Int)
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.sign, VirtioCryptoASYM.Algorithm.ecdsa,
      words: [number(hash), group.fieldType] + group.words
        + [k.count, d.count, message.count, widths.0, widths.1, 0],
      bytes: group.parts + [k, d, message], resultByteCount: widths.0 + widths.1)
  }

  public static func ecdsaVerify(
    _ group: ECParameters, x: [UInt8], y: [UInt8], r: [UInt8], s: [UInt8], _ message: [UInt8],
    _ hash: HashAlgorithm?
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.verify, VirtioCryptoASYM.Algorithm.ecdsa,
      words: [number(hash), group.fieldType] + group.words
        + [x.count, y.count, r.count, s.count, message.count, 0],
      bytes: group.parts + [x, y, r, s, message], resultByteCount: 0)
  }

  /// `algorithm`: ECDSA or ECDH.
  public static func ecKey(
    _ group: ECParameters, widths: (Int, Int, Int),
    algorithm: UInt32 = VirtioCryptoASYM.Algorithm.ecdsa
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.generateKey, algorithm,
      words: [group.fieldType, 0] + group.words + [widths.0, widths.1, widths.2],
      bytes: group.parts, resultByteCount: widths.0 + widths.1 + widths.2)
  }

  // MARK: - Key exchange

  public static func ecdhKey(
    _ group: ECParameters, widths: (Int, Int, Int)
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.exchangeKey, VirtioCryptoASYM.Algorithm.ecdh,
      words: [0, 0, group.fieldType, 0] + group.words + [widths.0, widths.1, widths.2],
      bytes: group.parts, resultByteCount: widths.0 + widths.1 + widths.2)
  }

  public static func ecdhSecret(
    _ group: ECParameters, d: [UInt8], x: [UInt8], y: [UInt8], secretByteCount: Int
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.exchangeKey, VirtioCryptoASYM.Algorithm.ecdh,
      words: [1, 0, d.count, x.count, y.count, secretByteCount, group.fieldType, 0]
        + group.words + [0, 0, 0],
      bytes: group.parts + [d, x, y], resultByteCount: secretByteCount)
  }

  public static func dhParameters(modulusByteCount: Int) -> DataRequest {
    make(
      VirtioCryptoASYM.exchangeKey, VirtioCryptoASYM.Algorithm.dh,
      words: [2, 0, modulusByteCount, 0, 0, 0], bytes: [],
      resultByteCount: 16 + modulusByteCount + 1)
  }

  public static func dhKey(p: [UInt8], g: [UInt8]) -> DataRequest {
    make(
      VirtioCryptoASYM.exchangeKey, VirtioCryptoASYM.Algorithm.dh,
      words: [0, 0, p.count, 0, p.count, g.count], bytes: [p, g],
      resultByteCount: 8 + 2 * p.count)
  }

  public static func dhSecret(
    p: [UInt8], g: [UInt8], x: [UInt8], y: [UInt8], secretByteCount: Int
  ) -> DataRequest {
    var lengths = WireBytes()
    for word in [x.count, y.count, secretByteCount, 0] {
      lengths.append32(UInt32(truncatingIfNeeded: word))
    }
    return make(
      VirtioCryptoASYM.exchangeKey, VirtioCryptoASYM.Algorithm.dh,
      words: [1, 0, p.count, 0, p.count, g.count], bytes: [p, g, lengths.bytes, x, y],
      resultByteCount: secretByteCount)
  }
}

/// What a driver reads of an ASYM request's answer.
public struct ASYMAnswer: Hashable, Sendable {
  /// `status`.
  public var status: UInt32
  /// `verify_result`, or `reserved`.
  public var second: UInt32
  /// What was written behind them.
  public var result: [UInt8]
  /// The last byte, where the request had one for it.
  public var lastByte: VirtioCryptoStatus?

  /// `hasLastByte`: whether the request left a byte behind its result.
  public init(_ answer: OperationAnswer, hasLastByte: Bool = true) {
    let output = WireBytes(answer.output)
    status = output.get32(at: 0)
    second = output.get32(at: 4)
    let written = answer.usedByteCount - (hasLastByte ? 1 : 0)
    result = Array(answer.output.prefix(max(0, written)).dropFirst(ASYMRequest.headerByteCount))
    lastByte = hasLastByte ? answer.status : nil
  }

  /// Cuts the result into parts of these lengths; nil if it has another length.
  public func parts(_ lengths: [Int]) -> [[UInt8]]? {
    guard lengths.allSatisfy({ $0 >= 0 }), lengths.reduce(0, +) == result.count else { return nil }
    var rest = result[...]
    return lengths.map { length in
      defer { rest = rest.dropFirst(length) }
      return Array(rest.prefix(length))
    }
  }

  /// A le32 of the result.
  public func word(_ index: Int) -> Int { Int(WireBytes(result).get32(at: 4 * index)) }
}
