import CryptoTypes
import Testing

/// A request in memory, ready to be submitted any number of times.
public struct PreparedRequest {
  static let canary: UInt8 = 0xa5
  static let canaryByteCount = 32

  public let operation: UnsafeMutablePointer<CryptoOperation>
  public let session: UnsafeMutablePointer<SessionParameters>
  private var blocks: [(UnsafeMutablePointer<UInt8>, Int)] = []

  public init(_ request: Request, inPlace: Bool) {
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
  public func response(of request: Request) -> Response {
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
  public func release() {
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
