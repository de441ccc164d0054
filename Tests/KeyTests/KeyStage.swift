import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// A daemon on one engine with one guest, whose keys are marked.
final class KeyStage {
  let daemon: DaemonProcess
  let client: CryptoClient
  let marker = Marker()
  let sessions: [MarkedSession]
  /// Bytes in each request's text.
  private let textByteCount: Int
  /// What `residue` has found already.
  private var known: Set<ProcessMemory.Hit> = []

  init(
    _ engine: EngineUnderTest, format: RequestFormat = .revision1, layout: SessionLayout? = nil,
    arguments: [String] = [], servesStatistics: Bool = false, workers: String = "",
    textByteCount: Int = 64
  ) throws {
    self.textByteCount = textByteCount
    daemon = try DaemonProcess(
      arguments: arguments, configuration: "version: 1\n" + workers + engine.algorithms,
      servesStatistics: servesStatistics)
    client = try CryptoClient.start(
      path: daemon.socketPath, options: Frontend.Options(format: format), messageLayout: layout)
    sessions = marker.sessions(engine)
  }

  /// Opens sessions, all that there are unless some are given; their identifiers.
  func open(_ some: [MarkedSession]? = nil) throws -> [UInt64] {
    try (some ?? sessions).map { try client.openSession($0.spec) }
  }

  /// Destroys sessions in the order of `sessions`.
  func destroy(_ identifiers: [UInt64], _ some: [MarkedSession]? = nil) throws {
    for (id, session) in zip(identifiers, some ?? sessions) {
      let status = try client.destroySession(id, service: session.spec.service)
      guard status == .ok else { throw TestSupportError("destroying \(session.spec): \(status)") }
    }
  }

  /// Uses every key: one request after the other, then all at once, then one more each.
  ///
  /// `identifiers` nil: stateless requests.
  func use(_ identifiers: [UInt64]?, _ some: [MarkedSession]? = nil) throws {
    let operations = (some ?? sessions).enumerated().map { index, session in
      operation(session.spec, identifiers?[index])
    }
    for operation in operations {
      let status = try client.perform(operation).status
      // Such a text has no genuine tag; the key was needed to see that.
      guard status == .ok || status == .badmsg else {
        throw TestSupportError("\(operation.session): \(status)")
      }
    }
    try performAtOnce(operations)
    for operation in operations { _ = try client.perform(operation) }
  }

  private func performAtOnce(_ operations: [OperationSpec]) throws {
    let queue = client.dataQueues[0]
    let placed = try operations.prefix(Int(queue.size)).map { operation in
      try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
        in: client.memory)
    }
    let heads = try placed.map { try queue.reserve($0.buffers, indirect: true) }
    for head in heads { queue.post(head) }
    if queue.publish() { try queue.kick() }
    for _ in heads { _ = try queue.pollUsed(timeoutMilliseconds: 20000) }
    for head in heads { queue.release(head) }
    for request in placed { request.free(in: client.memory) }
  }

  /// A well-formed request of the session, in which there are no zeros: their ciphertext is searched for.
  private func operation(_ session: SessionSpec, _ id: UInt64?) -> OperationSpec {
    let text = [UInt8](repeating: 0x22, count: textByteCount)
    func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x11, count: count) }
    switch session {
    case .cipher(let cipher, _, _):
      return OperationSpec(session, sessionID: id, iv: bytes(cipher.ivByteCount), source: text)
    case .mac(let mac, _, _):
      return OperationSpec(session, sessionID: id, source: bytes(mac.ivByteCount) + text)
    case .chain(let chain):
      var aad: [UInt8] = []
      if case .authenticated(let mac, _) = chain.second { aad = bytes(mac.ivByteCount) }
      return OperationSpec(
        session, sessionID: id, iv: bytes(chain.cipher.ivByteCount), source: text, aad: aad)
    case .aead: return OperationSpec(session, sessionID: id, iv: bytes(12), source: text)
    case .hash, .akcipher: return OperationSpec(session, sessionID: id, source: text)
    }
  }

  // MARK: Looking

  /// Sees every session's key in the daemon's memory: proof that the search finds what is there.
  func expectKeys(of some: [MarkedSession]? = nil) throws {
    let hits = try marker.hits(in: daemon)
    let found = Set(hits.compactMap(\.number))
    #expect(!hits.isEmpty)
    for session in some ?? sessions where session.isNumbered {
      #expect(found.contains(session.number), "the key of \(session.spec) is nowhere")
    }
  }

  /// Sees no part of any key, at once or as soon as sleeping workers have been woken.
  func expectNoKeys(_ when: String, milliseconds: Int = 3000) throws {
    var hits: [KeyHit] = []
    let end = ContinuousClock.now + .milliseconds(milliseconds)
    repeat {
      hits = try marker.hits(in: daemon)
    } while !hits.isEmpty && ContinuousClock.now < end
    report(hits, when)
  }

  /// What one session left behind, in a line, beside what was there before; nil for nothing.
  func residue(of session: MarkedSession) throws -> String? {
    var hits: [KeyHit] = []
    let end = ContinuousClock.now + .milliseconds(300)
    repeat {
      hits = try marker.hits(in: daemon, session).filter { !known.contains($0.place) }
    } while !hits.isEmpty && ContinuousClock.now < end
    guard !hits.isEmpty else { return nil }
    known.formUnion(hits.map(\.place))
    let memory = ProcessMemory(pid: daemon.pid)
    let places = Set(
      hits.map { hit in
        let thread = memory.thread(onStack: hit.place.mapping)
        return hit.form
          + (thread.map { " on the stack of \($0)" } ?? " in \(hit.place.mapping.name)")
      })
    return "\(Self.name(session.spec)): \(hits.count) parts, \(places.sorted())"
  }

  /// One issue that names the sessions and the places.
  func report(_ hits: [KeyHit], _ when: String) {
    let memory = ProcessMemory(pid: daemon.pid)
    let texts = hits.prefix(20).map { hit in
      let thread = memory.thread(onStack: hit.place.mapping).map { ", the stack of \($0)," }
      let spec = hit.number.flatMap { number in sessions.first { $0.number == number }?.spec }
      return "\(hit)\(thread ?? "") \(spec.map { Self.name($0) } ?? "")"
    }
    let isClean = hits.isEmpty
    #expect(isClean, "\(hits.count) parts of keys \(when):\n\(texts.joined(separator: "\n"))")
  }

  private static func name(_ session: SessionSpec) -> String {
    switch session {
    case .cipher(let cipher, let direction, let key): "\(cipher) \(direction) \(key.count)"
    case .mac(let mac, let key, _): "\(mac) \(key.count)"
    case .aead(let aead, let direction, let key, _, _): "\(aead) \(direction) \(key.count)"
    case .chain(let chain): "chain with \(chain.second.mode) \(chain.second.algorithmCode)"
    case .hash(let hash, _): "\(hash)"
    case .akcipher(let spec): "asymmetric algorithm \(spec.algorithm)"
    }
  }

  func finish() throws {
    client.frontend.disconnect()
    let exit = try daemon.terminate()
    #expect(exit == .status(0), "the daemon's last words: \(daemon.standardError.suffix(500))")
  }
}
