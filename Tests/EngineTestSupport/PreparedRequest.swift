// Runs requests on a lane the way a worker does, with memory that tells when more is written than was asked for.

import CryptoTypes
import EngineIPsecMB
import EngineOpenSSL
import Testing

/// A session and an operation in it, as values.
struct Request {
  var session = SessionParameters()
  var cipherKey: [UInt8] = []
  var authKey: [UInt8] = []
  var iv: [UInt8] = []
  var aad: [UInt8] = []
  var source: [UInt8] = []
  var tag: [UInt8] = []
  var resultByteCount = 0
  var cipherRange = 0..<0
  var hashRange = 0..<0

  static func cipher(
    _ cipher: CipherAlgorithm, _ direction: CryptoDirection, key: [UInt8], iv: [UInt8],
    source: [UInt8]
  ) -> Request {
    var request = Request()
    request.session.service = .cipher
    request.session.cipher = cipher
    request.session.direction = direction
    request.cipherKey = key
    request.iv = iv
    request.source = source
    return request
  }

  static func hash(_ hash: HashAlgorithm, source: [UInt8], resultByteCount: Int) -> Request {
    var request = Request()
    request.session.service = .hash
    request.session.hash = hash
    request.source = source
    request.resultByteCount = resultByteCount
    return request
  }

  static func mac(
    _ mac: MACAlgorithm, key: [UInt8], iv: [UInt8] = [], source: [UInt8], resultByteCount: Int
  ) -> Request {
    var request = Request()
    request.session.service = .mac
    request.session.mac = mac
    request.authKey = key
    request.iv = iv
    request.source = source
    request.resultByteCount = resultByteCount
    return request
  }

  static func seal(
    _ aead: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8],
    tagByteCount: Int
  ) -> Request {
    var request = Request()
    request.session.service = .aead
    request.session.aead = aead
    request.session.direction = .encrypt
    request.cipherKey = key
    request.iv = iv
    request.aad = aad
    request.source = source
    request.resultByteCount = tagByteCount
    return request
  }

  static func open(
    _ aead: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8], tag: [UInt8]
  ) -> Request {
    var request = seal(aead, key: key, iv: iv, aad: aad, source: source, tagByteCount: 0)
    request.session.direction = .decrypt
    request.tag = tag
    return request
  }
}

/// What a request gave.
struct Response: Equatable {
  var outcome: CryptoOutcome
  var destination: [UInt8]
  var result: [UInt8]
}

/// A lane, for one test.
final class LaneHarness {
  static let sessionCapacity = 64
  var lane: IPsecMBLane
  private var generation: UInt32 = 0
  /// Operations that came back `submitted`, and have not been given back.
  private(set) var waiting: Set<UnsafeMutablePointer<CryptoOperation>> = []

  init() throws {
    lane = try IPsecMBEngine().makeLane(sessionCapacity: Self.sessionCapacity)
  }

  /// A generation that no session of this harness has had.
  func nextGeneration() -> UInt32 {
    generation += 1
    return generation
  }

  /// Runs one request, as session 0 of a new generation unless said otherwise.
  func run(
    _ request: Request, sessionIndex: UInt32 = 0, generation: UInt32? = nil, inPlace: Bool = false
  ) -> Response {
    let prepared = PreparedRequest(request, inPlace: inPlace)
    defer { prepared.release() }
    prepared.operation.pointee.sessionIndex = sessionIndex
    prepared.operation.pointee.sessionGeneration = generation ?? nextGeneration()
    submit([prepared])
    finish()
    return prepared.response(of: request)
  }

  /// Runs one request in a session and stateless, in place and out of place, and expects one response.
  func runAllWays(_ request: Request) -> Response {
    let response = run(request)
    #expect(run(request, inPlace: true) == response)
    #expect(run(request, sessionIndex: CryptoOperation.transientSession) == response)
    #expect(
      run(request, sessionIndex: CryptoOperation.transientSession, inPlace: true) == response)
    return response
  }

  func submit(_ prepared: [PreparedRequest]) {
    var batch = prepared.map(\.operation)
    batch.withUnsafeMutableBufferPointer { lane.submit($0) }
    for operation in batch where operation.pointee.disposition == .submitted {
      #expect(waiting.insert(operation).inserted)
    }
    #expect(lane.inFlightCount == waiting.count)
  }

  /// Collects what is completed; nothing may come that does not wait.
  func collect() {
    while let operation = lane.nextCompletion() {
      #expect(waiting.remove(operation) != nil)
    }
    #expect(lane.inFlightCount == waiting.count)
  }

  func finish() {
    lane.flush()
    collect()
    #expect(waiting.isEmpty)
  }

  func validate(_ request: Request) -> CryptoOutcome {
    let prepared = PreparedRequest(request, inPlace: false)
    defer { prepared.release() }
    return lane.validate(prepared.session)
  }
}

/// The openssl engine's lane, to compare with.
final class ReferenceLane {
  private var lane: OpenSSLLane

  init() throws { lane = try OpenSSLEngine().makeLane(sessionCapacity: 0) }

  func run(_ request: Request) -> Response {
    let prepared = PreparedRequest(request, inPlace: false)
    defer { prepared.release() }
    var batch = prepared.operation
    withUnsafeMutablePointer(to: &batch) {
      lane.submit(UnsafeMutableBufferPointer(start: $0, count: 1))
    }
    return prepared.response(of: request)
  }
}

/// A request in memory, ready to be submitted any number of times.
struct PreparedRequest {
  static let canary: UInt8 = 0xa5
  static let canaryByteCount = 32

  let operation: UnsafeMutablePointer<CryptoOperation>
  let session: UnsafeMutablePointer<SessionParameters>
  private var blocks: [(UnsafeMutablePointer<UInt8>, Int)] = []

  init(_ request: Request, inPlace: Bool) {
    func block(_ bytes: [UInt8]) -> (UnsafeMutablePointer<UInt8>, Int) {
      let count = bytes.count + 2 * Self.canaryByteCount
      let start = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
      start.initialize(repeating: Self.canary, count: count)
      bytes.withUnsafeBufferPointer {
        if let base = $0.baseAddress {
          (start + Self.canaryByteCount).update(from: base, count: bytes.count)
        }
      }
      return (start, bytes.count)
    }
    func body(_ block: (UnsafeMutablePointer<UInt8>, Int)) -> UnsafeMutablePointer<UInt8> {
      block.0 + Self.canaryByteCount
    }
    let source = block(request.source)
    let destination =
      inPlace ? source : block([UInt8](repeating: Self.canary, count: request.source.count))
    let result = block([UInt8](repeating: Self.canary, count: request.resultByteCount))
    let aad = block(request.aad)
    let cipherKey = block(request.cipherKey)
    let authKey = block(request.authKey)
    blocks = [source, result, aad, cipherKey, authKey]
    if !inPlace { blocks.append(destination) }

    session = .allocate(capacity: 1)
    session.initialize(to: request.session)
    session.pointee.cipherKey = UnsafePointer(body(cipherKey))
    session.pointee.cipherKeyByteCount = UInt32(request.cipherKey.count)
    session.pointee.authKey = UnsafePointer(body(authKey))
    session.pointee.authKeyByteCount = UInt32(request.authKey.count)

    operation = .allocate(capacity: 1)
    operation.initialize(to: CryptoOperation(session: session, placeholder: body(result)))
    operation.pointee.source = UnsafePointer(body(source))
    operation.pointee.sourceByteCount = UInt32(request.source.count)
    operation.pointee.destination = body(destination)
    operation.pointee.aad = UnsafePointer(body(aad))
    operation.pointee.aadByteCount = UInt32(request.aad.count)
    operation.pointee.resultByteCount = UInt32(request.resultByteCount)
    operation.pointee.iv = Self.words(request.iv)
    operation.pointee.ivByteCount = UInt8(truncatingIfNeeded: request.iv.count)
    operation.pointee.tag = Self.words(request.tag)
    operation.pointee.tagByteCount = UInt8(truncatingIfNeeded: request.tag.count)
    operation.pointee.cipherOffset = UInt32(request.cipherRange.lowerBound)
    operation.pointee.cipherByteCount = UInt32(request.cipherRange.count)
    operation.pointee.hashOffset = UInt32(request.hashRange.lowerBound)
    operation.pointee.hashByteCount = UInt32(request.hashRange.count)
    operation.pointee.disposition = .submitted
  }

  /// What is in memory now.
  ///
  /// Bytes around the buffers must be as they were.
  func response(of request: Request) -> Response {
    for (start, count) in blocks {
      var isIntact = true
      for index in 0..<Self.canaryByteCount {
        isIntact = isIntact && start[index] == Self.canary
        isIntact = isIntact && start[Self.canaryByteCount + count + index] == Self.canary
      }
      if !isIntact { Issue.record("bytes around a buffer were written") }
    }
    let destination = UnsafeBufferPointer(
      start: operation.pointee.destination, count: request.source.count)
    let result = UnsafeBufferPointer(
      start: operation.pointee.result, count: request.resultByteCount)
    let writes = request.session.service != .hash && request.session.service != .mac
    return Response(
      outcome: operation.pointee.outcome, destination: writes ? Array(destination) : [],
      result: Array(result))
  }

  /// Also wipes the keys, so that searching memory for them finds only what the lane kept.
  func release() {
    for (start, count) in blocks {
      (start + Self.canaryByteCount).update(repeating: 0, count: count)
      start.deallocate()
    }
    session.deallocate()
    operation.deallocate()
  }

  private static func words(_ bytes: [UInt8]) -> (UInt64, UInt64) {
    var words: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes.prefix(16)) }
    return words
  }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count + 8) { buffer, initialized in
      for start in stride(from: 0, to: count, by: 8) {
        UnsafeMutableRawPointer(buffer.baseAddress)?
          .storeBytes(of: next(), toByteOffset: start, as: UInt64.self)
      }
      initialized = count
    }
  }
}
