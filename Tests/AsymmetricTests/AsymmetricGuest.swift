// AsymmetricTests: the AKCIPHER service of the real daemon, its sessions made in every way that there is, against
// published vectors, against the front-end's textbook, and against keys that nobody should have made.

import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Everything in this target runs one after the other: each test has a daemon of its own.
@Suite("Asymmetric keys through the device", .serialized)
struct AsymmetricTests {}

/// How keys and requests reach the device.
enum Way: CaseIterable, Hashable, Sendable {
  /// Sessions by control queue, requests as Linux's guests send them.
  case legacy
  /// Sessions by control queue, exact lengths.
  case revision1
  /// Sessions by vhost-user message, requests as QEMU's guests send them.
  case messages
  /// Every request with its own key.
  case stateless

  var format: RequestFormat {
    switch self {
    case .legacy, .messages: .legacy
    case .revision1: .revision1
    case .stateless: .statelessAKCipher
    }
  }
}

/// One request, whichever way it goes.
struct KeyTask: Sendable {
  var operation: AKCipherOperation
  var spec: AKCipherSpec
  var source: [UInt8]
  /// `dst_data_len` where something comes back.
  var room = 0
  var digest: [UInt8] = []

  init(_ operation: AKCipherOperation, _ spec: AKCipherSpec, _ source: [UInt8], room: Int) {
    (self.operation, self.spec, self.source, self.room) = (operation, spec, source, room)
  }

  init(verify signature: [UInt8], of digest: [UInt8], _ spec: AKCipherSpec) {
    (operation, self.spec, source, self.digest) = (.verify, spec, signature, digest)
  }

  func request(_ session: UInt64?) -> OperationSpec {
    operation == .verify
      ? OperationSpec(verify: source, of: digest, spec, sessionID: session)
      : OperationSpec(operation, spec, sessionID: session, source: source, room: room)
  }
}

/// What became of a task.
struct Reply: Sendable {
  var status: VirtioCryptoStatus
  /// The result, as long as the used length says; empty for a refusal.
  var result: [UInt8] = []
  /// Whether the refusal came when the session was made.
  var isOfSession = false
  /// What the device did to memory or to the used length that it should not have; nil for nothing.
  var fault: String?
}

/// One guest at one device.
final class AsymmetricGuest {
  let way: Way
  let client: CryptoClient
  private var turn: UInt64 = 0

  init(_ path: String, _ way: Way) throws {
    self.way = way
    var options = Frontend.Options(format: way.format)
    options.timeoutMilliseconds = 20000
    client = try CryptoClient.start(
      path: path, options: options, messageLayout: way == .messages ? .current : nil)
    guard client.format == way.format else {
      throw TestSupportError("the device does not offer \(way)")
    }
  }

  /// Whether the session can be said at all: a message has room for 1024 bytes of key.
  func carries(_ spec: AKCipherSpec) -> Bool {
    way != .messages || spec.key.count <= SessionRequest.maximumAsymmetricKeyByteCount
  }

  /// Makes a session, does one task with it, and ends it.
  func run(_ task: KeyTask, plan: RequestPlan? = nil) throws -> Reply {
    guard way != .stateless else { return try perform(task, session: nil, plan: plan) }
    let answer = try client.createSession(.akcipher(task.spec))
    guard answer.statusWord == 0 else { return Reply(status: answer.status, isOfSession: true) }
    let reply = try perform(task, session: answer.sessionID, plan: plan)
    let status = try client.destroySession(answer.sessionID, service: .akcipher)
    guard status == .ok else { throw TestSupportError("destroying a session: \(status)") }
    return reply
  }

  /// Does one task; each time the request lies in memory in another way, unless one is given.
  func perform(_ task: KeyTask, session: UInt64?, plan: RequestPlan? = nil) throws -> Reply {
    turn += 1
    return try perform(
      CryptoRequestBuilder.data(task.request(session), format: client.format),
      plan: plan ?? Self.plan(turn))
  }

  func perform(_ request: DataRequest, plan: RequestPlan = RequestPlan()) throws -> Reply {
    let memory = client.memory
    let placed = try PlacedRequest(request, plan: plan, in: memory)
    let before = try PlacedRequest.content(of: placed.destination, in: memory)
    let queue = client.dataQueues[0]
    queue.disableCalls()
    let head = try queue.submit(
      placed.buffers, indirect: plan.isIndirect || placed.buffers.count > 128)
    let used = try queue.pollUsed(timeoutMilliseconds: client.timeoutMilliseconds)
    guard used.head == UInt32(head) else { throw TestSupportError("chain \(used.head) came back") }
    queue.release(head)
    let answer = try client.answer(placed, used)
    var reply = Reply(status: answer.status)
    if answer.status == .ok {
      reply.result = answer.writtenOutput
    } else if answer.usedByteCount != 1 {
      reply.fault = "a refusal with used length \(answer.usedByteCount)"
    }
    let kept = reply.result.count
    if answer.status == .ok && answer.usedByteCount != kept + 1 {
      reply.fault = "used length \(answer.usedByteCount) with \(answer.output.count) of room"
    }
    if answer.output.dropFirst(kept) != before.dropFirst(kept) {
      reply.fault = "bytes behind a result of \(kept) were written"
    }
    let isInPlace = plan.isInPlace
    for segment in placed.destination where !isInPlace {
      let spare = try memory.read(segment.guestAddress + UInt64(segment.byteCount), byteCount: 1)
      let isStatus = segment.guestAddress + UInt64(segment.byteCount) == placed.statusAddress
      if spare != [PlacedRequest.untouched] && !isStatus { reply.fault = "wrote past a segment" }
    }
    placed.free(in: memory)
    return reply
  }

  /// One of the ways in which a request lies in guest memory, Linux's among them.
  static func plan(_ turn: UInt64) -> RequestPlan {
    var plan = RequestPlan()
    switch turn % 6 {
    case 0: break
    case 1:
      plan.front = .joined
      plan.source = .count(3)
      plan.destination = .count(4)
      plan.status = .tailOfLastBuffer
    case 2:
      plan.front = .shredded(seed: turn, maximum: 20)
      plan.destination = .random(seed: turn, maximum: 8)
    case 3: plan = .linux(sourceEntries: 5, destinationEntries: 4)
    case 4:
      plan.isInPlace = true
      plan.source = .count(3)
      plan.hasZeroLengthDescriptors = true
    default:
      plan.source = .random(seed: turn, maximum: 12)
      plan.destination = .random(seed: turn &+ 1, maximum: 12)
      plan.hasZeroLengthDescriptors = true
      plan.slackByteCount = 9
      plan.isIndirect = false
    }
    return plan
  }
}

/// A daemon with a guest for each way.
final class AsymmetricBench {
  let daemon: DaemonProcess
  let guests: [AsymmetricGuest]
  private let directory: TemporaryDirectory

  /// `device`: further lines of the capability file's `device` section.
  ///
  /// `algorithms`: its section of that name, if any.
  init(
    _ ways: [Way] = Way.allCases, device: [String] = [], algorithms: String = ""
  ) throws {
    let directory = try TemporaryDirectory()
    let section = (["stateless: [cipher, akcipher]"] + device).joined(separator: ", ")
    let paths = ways.indices.dropFirst().map { directory.file("guest\($0).sock") }
    daemon = try DaemonProcess(
      arguments: paths.map { "--socket-path=\($0)" },
      configuration: "version: 1\ndevice: { \(section) }\n" + algorithms)
    self.directory = directory
    guests = try zip([daemon.socketPath] + paths, ways).map { try AsymmetricGuest($0, $1) }
  }

  /// The only guest, where one was asked for.
  var guest: AsymmetricGuest { get throws { try #require(guests.first) } }

  /// Hangs up and sees the daemon end well: no request may have broken it.
  func finish() throws {
    for guest in guests { guest.client.frontend.disconnect() }
    let exit = try daemon.terminate()
    #expect(exit == .status(0), "the daemon's last words: \(daemon.standardError.suffix(500))")
  }
}
