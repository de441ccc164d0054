// VectorTests: what the whole device computes — front-end, ring, request processing, engine, in the
// real daemon process — against published vectors and against ReferenceCrypto.

import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Everything in this target runs one after the other: each test has a daemon of its own.
@Suite("Through the device", .serialized)
struct DeviceTests {}

/// How requests reach the device: the layout of data requests, and the way of the sessions.
enum Transport: CaseIterable, Hashable, Sendable {
  /// Linux's layout; sessions by control queue.
  case legacy
  /// Exact lengths; sessions by control queue.
  case revision1
  /// Exact lengths, every request with its own keys.
  case stateless
  /// Draft v15; sessions by control queue.
  case draftV15
  /// Draft v15 without session mode, every request with its own keys.
  case draftV15WithoutSessions
  /// Sessions by vhost-user messages, data requests as QEMU's guests send them.
  case currentMessages, messagesWithoutOpcode, messagesWithOpcodeFirst

  /// The three layouts of a data request in the default dialect.
  static let layouts: [Transport] = [.legacy, .revision1, .stateless]
  static let drafts: [Transport] = [.draftV15, .draftV15WithoutSessions]
  /// For tests that have a daemon for each.
  static let everyLayout = layouts + drafts

  var format: RequestFormat {
    switch self {
    case .legacy, .currentMessages, .messagesWithoutOpcode: .legacy
    case .revision1, .messagesWithOpcodeFirst: .revision1
    case .stateless: .stateless
    case .draftV15: .draftV15
    case .draftV15WithoutSessions: .draftV15WithoutSessions
    }
  }

  var messageLayout: SessionLayout? {
    switch self {
    case .legacy, .revision1, .stateless, .draftV15, .draftV15WithoutSessions: nil
    case .currentMessages: .current
    case .messagesWithoutOpcode: .withoutOpcode
    case .messagesWithOpcodeFirst: .opcodeFirst
    }
  }

  /// Whether requests name a session instead of carrying keys.
  var hasSessions: Bool { self != .stateless && self != .draftV15WithoutSessions }

  /// The layouts come over rings of different kinds, so that all that is computed has passed through each.
  var ring: RingKind {
    guard RingKind.usual == .split else { return .usual }
    return switch self {
    case .legacy, .currentMessages, .draftV15: .split
    case .revision1, .messagesWithoutOpcode: .packed
    case .stateless, .draftV15WithoutSessions: .packedInOrder
    case .messagesWithOpcodeFirst: .splitInOrder
    }
  }

  /// Whether sessions of the service can be made: the oldest message knows ciphers and chains only.
  func carries(_ service: VirtioCryptoService) -> Bool {
    self != .messagesWithoutOpcode || service == .cipher
  }
}

/// What became of a request, and what the guest's memory says about it.
struct Outcome {
  var answer: OperationAnswer
  /// The destination before the request.
  var before: [UInt8]
  /// The first guest address behind a result, or between result and status, that was written; nil
  /// when the device kept to its bytes.
  var spoiledAddress: UInt64?
}

/// One guest at one device.
final class Guest {
  let transport: Transport
  let client: CryptoClient
  var memory: GuestRAM { client.memory }

  init(_ path: String, _ transport: Transport, memory: GuestRAM? = nil) throws {
    self.transport = transport
    client = try CryptoClient.start(
      path: path, options: Frontend.Options(format: transport.format, ring: transport.ring),
      memory: memory,
      messageLayout: transport.messageLayout)
    var format = client.format
    // Draft v15 has no session bit for a service that is off.
    if transport == .draftV15 { format.sessionServices = transport.format.sessionServices }
    guard format == transport.format else {
      throw TestSupportError("the device does not offer \(transport)")
    }
  }

  /// Opens a session, or none where requests carry everything.
  func open(_ spec: SessionSpec) throws -> UInt64? {
    transport.hasSessions ? try client.openSession(spec) : nil
  }

  func close(_ session: UInt64?, _ spec: SessionSpec) throws {
    guard let session else { return }
    let status = try client.destroySession(session, service: spec.service)
    guard status == .ok else { throw TestSupportError("destroying a session: \(status)") }
  }

  func perform(_ operation: OperationSpec, _ shape: Shape = .contiguous) throws -> Outcome {
    let request = CryptoRequestBuilder.data(operation, format: client.format)
    return try perform(request, plan: shape.plan(for: request))
  }

  func perform(_ request: DataRequest, plan: RequestPlan) throws -> Outcome {
    let placed = try PlacedRequest(request, plan: plan, in: memory)
    let before = try PlacedRequest.content(of: placed.destination, in: memory)
    let queue = client.dataQueues[0]
    queue.disableCalls()
    let head = try queue.submit(
      placed.buffers, indirect: plan.isIndirect || placed.buffers.count > 128)
    let used = try queue.pollUsed(timeoutMilliseconds: 10000)
    guard used.head == UInt32(head) else { throw TestSupportError("chain \(used.head) came back") }
    queue.release(head)
    let outcome = Outcome(
      answer: try client.answer(placed, used), before: before,
      spoiledAddress: try spoiledAddress(placed))
    placed.free(in: memory)
    return outcome
  }

  /// Looks at the spare byte behind every fresh result segment, and at all slack.
  private func spoiledAddress(_ placed: PlacedRequest) throws -> UInt64? {
    let inPlace = Set(placed.source.map(\.guestAddress))
    let results = placed.destination + placed.result
    let resultAddresses = Set(results.map(\.guestAddress))
    var watched: [UInt64] = []
    for segment in results where !inPlace.contains(segment.guestAddress) {
      watched.append(segment.guestAddress + UInt64(segment.byteCount))
    }
    for buffer in placed.buffers where buffer.isWritable && buffer.byteCount > 0 {
      guard !resultAddresses.contains(buffer.guestAddress) else { continue }
      watched += (0..<UInt64(buffer.byteCount)).map { buffer.guestAddress + $0 }
    }
    for address in watched where address != placed.statusAddress {
      if try memory.read(address, byteCount: 1) != [PlacedRequest.untouched] { return address }
    }
    return nil
  }
}

/// How a request lies in guest memory; every shape fits every request, as far as it can.
enum Shape: CaseIterable, Hashable, Sendable {
  /// A descriptor for each field, the status in its own.
  case contiguous
  /// Equal pieces; header and IV joined; the status behind the last result byte.
  case split
  /// Everything readable cut at random places, the header included.
  case shredded
  /// Linux's scatter lists: repeated trailing data, an indirect table longer than the ring's usual.
  case overlapping
  case inPlace
  /// Pieces in place, with zero-length descriptors between them.
  case inPlaceSplit
  /// Random pieces in the ring's own descriptors, and writable bytes that are not the result's.
  case random

  func plan(for request: DataRequest, seed: UInt64 = 7) -> RequestPlan {
    var plan = RequestPlan()
    let isSourceLast = request.fields.last.map { $0.kind == .source } ?? false
    switch self {
    case .contiguous: break
    case .split:
      plan.front = .joined
      plan.source = .count(3)
      plan.destination = .count(4)
      plan.status = .tailOfLastBuffer
    case .shredded:
      plan.front = .shredded(seed: seed, maximum: 20)
      plan.destination = .random(seed: seed, maximum: 8)
    case .overlapping:
      plan.source = isSourceLast ? .overlapping(5) : .count(5)
      plan.destination = request.resultByteCount == 0 ? .overlapping(4) : .count(4)
    case .inPlace: plan.isInPlace = true
    case .inPlaceSplit:
      plan.isInPlace = true
      plan.source = .count(3)
      plan.hasZeroLengthDescriptors = true
    case .random:
      plan.source = .random(seed: seed, maximum: 12)
      plan.destination = .random(seed: seed &+ 1, maximum: 12)
      plan.hasZeroLengthDescriptors = true
      plan.slackByteCount = 9
      plan.isIndirect = false
    }
    return plan
  }
}

/// A daemon whose every algorithm is served by libcrypto, with a device for each transport asked
/// for.
final class TestBench {
  let daemon: DaemonProcess
  let guests: [Guest]

  /// What pins every algorithm to one engine, so that the vectors prove that engine on any host.
  static let algorithms = """
    algorithms:
      cipher: { default: { engine: openssl } }
      hash: { default: { engine: openssl } }
      mac: { default: { engine: openssl } }
      aead: { default: { engine: openssl } }

    """

  /// `device`: lines for the `device` section, such as "max-sessions: 4".
  init(
    _ transports: [Transport], device: [String] = [], algorithms: String = TestBench.algorithms,
    memory: (() throws -> GuestRAM)? = nil
  ) throws {
    let directory = try TemporaryDirectory()
    let paths = transports.indices.dropFirst().map { directory.file("guest\($0).sock") }
    // One section for all devices: drafts and the default dialect do not share a daemon.
    let dialect = transports.first?.format.dialect ?? .virtio13
    guard transports.allSatisfy({ $0.format.dialect == dialect }) else {
      throw TestSupportError("transports of several dialects")
    }
    let isNamed = dialect == .virtio13 || device.contains { $0.hasPrefix("dialect:") }
    let lines = device + (isNamed ? [] : ["dialect: \(dialect.rawValue)"])
    let section = lines.isEmpty ? "" : "device: { \(lines.joined(separator: ", ")) }\n"
    daemon = try DaemonProcess(
      arguments: paths.map { "--socket-path=\($0)" },
      configuration: "version: 1\n" + section + algorithms)
    self.directory = directory
    guests = try zip([daemon.socketPath] + paths, transports).map { path, transport in
      try Guest(path, transport, memory: try memory?())
    }
  }

  private let directory: TemporaryDirectory

  /// The only guest, where one was asked for.
  var guest: Guest { get throws { try #require(guests.first) } }

  /// Hangs up and sees the daemon end well: no request may have broken it.
  func finish() throws {
    for guest in guests { guest.client.frontend.disconnect() }
    let exit = try daemon.terminate()
    #expect(exit == .status(0), "the daemon's last words: \(daemon.standardError.suffix(500))")
  }
}
