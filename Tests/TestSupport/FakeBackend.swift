import CryptoTypes
import Foundation
import Synchronization
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// A slow and simple back-end for tests of the front-end and of `vhost-crypto bench`: ciphers in
/// the legacy layout, one connection, answers from ReferenceCrypto.
///
/// It knows the rings only through the `DriverQueue` objects of the test, so it also checks what
/// the messages say about them.
public final class FakeBackend: @unchecked Sendable {
  public let peer: Frontend
  public var features: UInt64 =
    VirtioFeature.version1 | VirtioFeature.ringIndirectDescriptors | VirtioFeature.ringEventIndex
    | VhostUserLimit.protocolFeaturesBit
  public var protocolFeatures = Frontend.Options.allProtocolFeatures
  public var config = VirtioCryptoConfig()
  private let log = Mutex<[(FrontendRequest, [UInt8], Int)]>([])
  private let isDone = Atomic(false)
  private var sessions: [UInt64: SessionSpec] = [:]

  /// Serves the other end of `socket` on a thread of its own, until it closes.
  public init(socket: OwnedFile) {
    peer = Frontend(socket: socket)
    config.status = 1
    config.maxDataQueues = 2
  }

  /// A connected pair of sockets.
  public static func socketPair() throws -> (OwnedFile, OwnedFile) {
    var pair: [Int32] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
      throw TestSupportError("socketpair: errno \(errno)")
    }
    return (OwnedFile(descriptor: pair[0]), OwnedFile(descriptor: pair[1]))
  }

  public func start() {
    Thread.detachNewThread { [self] in
      while let message = try? peer.receive(timeoutMilliseconds: 20000) {
        log.withLock { $0.append((message.header.request, message.payload, message.files.count)) }
        do { try answer(message) } catch { break }
      }
      peer.disconnect()
      isDone.store(true, ordering: .releasing)
    }
  }

  /// Messages so far.
  public var requests: [FrontendRequest] { log.withLock { $0.map(\.0) } }
  /// Payloads of one kind of message so far.
  public func payloads(of request: FrontendRequest) -> [[UInt8]] {
    log.withLock { $0.filter { $0.0 == request }.map(\.1) }
  }
  /// How many descriptors came with each message of one kind.
  public func descriptorCounts(of request: FrontendRequest) -> [Int] {
    log.withLock { $0.filter { $0.0 == request }.map(\.2) }
  }

  private func answer(_ message: Frontend.Message) throws {
    let request = message.header.request
    switch request {
    case .getFeatures: try reply(request, NumberPayload(features).encoded)
    case .getProtocolFeatures: try reply(request, NumberPayload(protocolFeatures).encoded)
    case .getQueueNum: try reply(request, NumberPayload(3).encoded)
    case .getVringBase:
      let index = try VringState(parsing: message.payload.span).index
      try reply(request, VringState(index: index, number: 7).encoded)
    case .getConfig:
      var window = try ConfigurationPayload(parsing: message.payload.span)
      let start = Int(window.offset)
      window.window = Array(config.bytes[start..<start + window.window.count])
      try reply(request, window.encoded)
    case .createCryptoSession:
      let session = try SessionRequest(parsing: message.payload.span)
      let id: Int64 = session.cipherAlgorithm == 3 ? 42 : -3
      try reply(
        request, SessionReply(sessionID: id).encoded(payloadByteCount: message.payload.count))
    case .closeCryptoSession:
      let id = try NumberPayload(parsing: message.payload.span).value
      if message.header.needsReply { try reply(request, NumberPayload(id == 42 ? 0 : 1).encoded) }
    default:
      if message.header.needsReply { try reply(request, NumberPayload(0).encoded) }
    }
  }

  private func reply(_ request: FrontendRequest, _ payload: [UInt8]) throws {
    let header = MessageHeader(request, isReply: true, payloadByteCount: payload.count)
    try peer.sendRaw(header.encoded + payload)
  }

  // MARK: Requests

  /// Answers a control request: ciphers only.
  public func control(_ request: FakeDevice.Request) throws -> Int {
    let bytes = WireBytes(request.readable)
    switch bytes.get32(at: 0) {
    case 0x002:
      let direction: CryptoDirection = bytes.get32(at: 24) == 1 ? .encrypt : .decrypt
      let key = Array(request.readable[72..<72 + Int(bytes.get32(at: 20))])
      let id = UInt64(sessions.count + 100)
      let algorithm = CipherAlgorithm.allCases.first { $0.wireCode == bytes.get32(at: 16) }
      sessions[id] = .cipher(algorithm ?? .aesCBC, direction, key: key)
      var outcome = WireBytes()
      outcome.append64(id)
      outcome.append64(0)
      try request.write(outcome.bytes)
      return 16
    case 0x003:
      let known = sessions.removeValue(forKey: bytes.get64(at: 16)) != nil
      try request.write([known ? 0 : 4])
      return 1
    default:
      var outcome = WireBytes()
      outcome.append64(0)
      outcome.append64(3)
      try request.write(outcome.bytes)
      return 16
    }
  }

  /// Answers a data request: legacy layout, ciphers only.
  public func data(_ request: FakeDevice.Request) throws -> Int {
    let bytes = WireBytes(request.readable)
    let statusOffset = request.writableByteCount - 1
    let ivCount = Int(bytes.get32(at: 24))
    let sourceCount = Int(bytes.get32(at: 28))
    guard case .cipher(let algorithm, let direction, let key) = sessions[bytes.get64(at: 8)] else {
      try request.write([4], at: statusOffset)
      return 1
    }
    let iv = Array(request.readable[72..<72 + ivCount])
    let source = Array(request.readable[(72 + ivCount)...].prefix(sourceCount))
    guard
      let output = ReferenceCrypto.cipher(algorithm, direction, key: key, iv: iv, source: source)
    else {
      try request.write([1], at: statusOffset)
      return 1
    }
    try request.write(output)
    try request.write([0], at: statusOffset)
    return request.writableByteCount
  }
}
