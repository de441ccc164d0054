import CryptoTypes
import VhostUserFrontend

/// The requests of a measurement as an engine sees them: a batch of operations over memory of its own, laid out as in
/// a guest's.
@safe
final class BenchBatch {
  private let memory: UnsafeMutablePointer<UInt8>
  private let session: UnsafeMutablePointer<SessionParameters>
  private let operations: UnsafeMutablePointer<CryptoOperation>
  private let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>>
  private let expectations: [BenchExpectation?]
  private var writtenCounts: [Int] = []
  private let count: Int
  private let strideByteCount: Int
  private var resultOffset = 0

  private static let alignment = 64

  /// Lays requests of one session out; nil for a service that has no place here (public keys).
  init?(
    _ spec: SessionSpec, requests: [OperationSpec], expectations: [BenchExpectation?]
  ) {
    guard let first = requests.first, var parameters = Self.parameters(spec) else { return nil }
    count = requests.count
    self.expectations = expectations
    func rounded(_ byteCount: Int) -> Int {
      (byteCount + Self.alignment) & ~(Self.alignment - 1)
    }
    let input = rounded(first.source.count + first.aad.count)
    resultOffset = input + rounded(first.source.count + spec.resultByteCount)
    strideByteCount = resultOffset + rounded(spec.resultByteCount)
    let keys = spec.cipherKey + spec.authKey
    let byteCount = strideByteCount * count + keys.count + Self.alignment
    // SAFETY: all of it is sized here for `count` requests of one length, used by this object alone, and freed in
    // deinit; the parameters' keys lie behind the requests.
    unsafe memory = .allocate(capacity: byteCount)
    unsafe memory.initialize(repeating: 0, count: byteCount)
    unsafe session = .allocate(capacity: 1)
    unsafe operations = .allocate(capacity: count)
    unsafe pointers = .allocate(capacity: count)
    let keyStart = unsafe memory + strideByteCount * count
    for (index, byte) in keys.enumerated() { unsafe keyStart[index] = byte }
    unsafe parameters.cipherKey = UnsafePointer(keyStart)
    unsafe parameters.authKey = UnsafePointer(keyStart + spec.cipherKey.count)
    unsafe session.initialize(to: parameters)
    for (index, request) in requests.enumerated() {
      unsafe (operations + index).initialize(
        to: operation(spec, request, at: memory + strideByteCount * index))
      unsafe pointers[index] = unsafe operations + index
    }
  }

  deinit {
    unsafe memory.deallocate()
    unsafe session.deallocate()
    unsafe operations.deallocate()
    unsafe pointers.deallocate()
  }

  /// Gives all operations the session's route, and the engine that it has for their length.
  func use(_ route: EngineRoute) {
    unsafe session.pointee.route = route
    for index in 0..<count {
      unsafe operations[index].engineIndex = route.engine(
        forByteCount: operations[index].sourceByteCount)
    }
  }

  /// The parameters, for those who choose engines.
  var parameters: SessionParameters { unsafe session.pointee }

  /// What an engine is given.
  var batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>> {
    unsafe UnsafeMutableBufferPointer(start: pointers, count: count)
  }

  /// Number of the engine that has done the first operation.
  var engineIndex: UInt8 { unsafe operations.pointee.engineIndex }

  /// How many results are right.
  var matchedCount: Int {
    (0..<count).reduce(0) { sum, index in
      let operation = unsafe operations[index]
      guard operation.outcome == .ok, let expected = expectations[index] else { return sum }
      let start = unsafe memory + strideByteCount * index
      let destinationCount = writtenCounts[index]
      // SAFETY: both ranges are of this request's part of the memory.
      let output = unsafe Array(
        UnsafeBufferPointer(start: UnsafePointer(operation.destination), count: destinationCount))
      let result = unsafe Array(
        UnsafeBufferPointer(
          start: UnsafePointer(start + resultOffset), count: Int(operation.resultByteCount)))
      let content = output + result
      return expected.isMet(by: content, usedByteCount: content.count + 1) ? sum + 1 : sum
    }
  }

  private func operation(
    _ spec: SessionSpec, _ request: OperationSpec, at start: UnsafeMutablePointer<UInt8>
  ) -> CryptoOperation {
    var operation = unsafe CryptoOperation(session: session, placeholder: start)
    operation.sessionIndex = 0
    var (iv, source, tag) = (request.iv, request.source, [UInt8]())
    var destinationCount = source.count
    switch spec {
    case .hash: destinationCount = 0
    case .mac(let mac, _, _):
      // The service has no field for an IV: it leads the source.
      iv = Array(source.prefix(mac.ivByteCount))
      source = Array(source.dropFirst(mac.ivByteCount))
      destinationCount = 0
    case .aead(_, .decrypt, _, let tagByteCount, _):
      tag = Array(source.suffix(tagByteCount))
      source = Array(source.dropLast(tagByteCount))
      destinationCount = source.count
    case .aead, .cipher, .chain, .akcipher: break
    }
    writtenCounts.append(destinationCount)
    operation.ivByteCount = UInt8(truncatingIfNeeded: iv.count)
    operation.iv = Self.words(iv)
    operation.tagByteCount = UInt8(truncatingIfNeeded: tag.count)
    operation.tag = Self.words(tag)
    let input = source + request.aad
    for (index, byte) in input.enumerated() { unsafe start[index] = byte }
    let length = UInt32(truncatingIfNeeded: source.count)
    unsafe operation.source = UnsafePointer(start)
    operation.sourceByteCount = length
    unsafe operation.aad = UnsafePointer(start + source.count)
    operation.aadByteCount = UInt32(truncatingIfNeeded: request.aad.count)
    let room = (request.source.count + request.aad.count + Self.alignment) & ~(Self.alignment - 1)
    unsafe operation.destination = start + room
    unsafe operation.result = start + resultOffset
    operation.resultByteCount =
      tag.isEmpty ? UInt32(truncatingIfNeeded: request.wireResultByteCount) : 0
    (operation.cipherByteCount, operation.hashByteCount) = (length, length)
    return operation
  }

  /// Up to 16 bytes as they lie in memory.
  private static func words(_ bytes: [UInt8]) -> (UInt64, UInt64) {
    var words: (UInt64, UInt64) = (0, 0)
    for (index, byte) in bytes.prefix(16).enumerated() {
      let bits = UInt64(byte) << UInt64(8 * (index % 8))
      if index < 8 { words.0 |= bits } else { words.1 |= bits }
    }
    return words
  }

  private static func parameters(_ spec: SessionSpec) -> SessionParameters? {
    var parameters = SessionParameters()
    parameters.service = .cipher
    parameters.direction = spec.direction ?? .encrypt
    parameters.resultByteCount = UInt32(truncatingIfNeeded: spec.resultByteCount)
    parameters.cipherKeyByteCount = UInt32(truncatingIfNeeded: spec.cipherKey.count)
    parameters.authKeyByteCount = UInt32(truncatingIfNeeded: spec.authKey.count)
    switch spec {
    case .cipher(let cipher, _, _): parameters.cipher = cipher
    case .hash(let hash, _):
      parameters.service = .hash
      parameters.hash = hash
    case .mac(let mac, _, _):
      parameters.service = .mac
      parameters.mac = mac
    case .aead(let aead, _, _, _, _):
      parameters.service = .aead
      parameters.aead = aead
    case .chain(let chain):
      parameters.service = .chain
      parameters.cipher = chain.cipher
      parameters.order = chain.order
      parameters.hashMode = chain.second.mode
      switch chain.second {
      case .plain(let hash), .nested(let hash, _): parameters.hash = hash
      case .authenticated(let mac, _): parameters.mac = mac
      }
    case .akcipher: return nil
    }
    return parameters
  }
}
