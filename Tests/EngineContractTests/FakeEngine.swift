import CryptoTypes
import EngineContract
import Foundation
import IOUring
import Synchronization

/// How an engine of these tests behaves, and what it and its lane were asked.
///
/// Used by the thread of one test.
final class FakeScript: @unchecked Sendable {
  enum Start { case started, absent, mistake }
  /// When operations are finished.
  enum Pace { case atOnce, atFlush, byRing }

  var start = Start.started
  var pace = Pace.atOnce
  /// What becomes of an operation.
  var compute: (UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome = { _ in .ok }
  var validation = CryptoOutcome.ok
  /// Whether a lane can be made.
  var hasMemory = true

  /// Source lengths, by which tests know operations apart, batch by batch.
  fileprivate(set) var batches: [[UInt32]] = []
  fileprivate(set) var forgotten: [UInt32] = []
  fileprivate(set) var completions: [Completion] = []
  fileprivate(set) var environment: LaneEnvironment?
  fileprivate(set) var validationCount = 0
  fileprivate(set) var flushCount = 0
  fileprivate(set) var lanesAlive = 0
  let enginesAlive = Atomic(0)

  init(_ change: (FakeScript) -> Void = { _ in }) { change(self) }

  /// The scripts of engines that are started meanwhile, by their names.
  @TaskLocal static var byName: [String: FakeScript] = [:]
}

protocol FakeTag { static var name: String { get } }
enum A: FakeTag { static let name = "a" }
enum B: FakeTag { static let name = "b" }
enum C: FakeTag { static let name = "c" }

final class FakeEngine<Tag: FakeTag>: CryptoEngine {
  static var description: EngineDescription {
    EngineDescription(name: Tag.name, algorithms: [.cipher(.aesCBC)])
  }

  let script: FakeScript
  let version = "\(Tag.name) 1.0"

  init(_ options: EngineOptions) throws(EngineError) {
    script = FakeScript.byName[Tag.name] ?? FakeScript()
    switch script.start {
    case .started: script.enginesAlive.add(1, ordering: .relaxed)
    case .absent: throw EngineError("this host has no \(Tag.name)")
    case .mistake: throw EngineError("\(Tag.name) has no such provider", isMistake: true)
    }
  }

  deinit { if script.start == .started { script.enginesAlive.subtract(1, ordering: .relaxed) } }

  func selfTest() -> [CryptoAlgorithm: SelfTestResult] { knownAnswerTest.run() }

  var knownAnswerTest: SelfTest<FakeLane<Tag>> {
    SelfTest(engine: self) { "\(Tag.name) has no \($0.name)" }
  }
}

struct FakeLane<Tag: FakeTag>: ~Copyable, EngineLane {
  typealias Engine = FakeEngine<Tag>

  private let engine: Engine
  private let environment: LaneEnvironment
  /// In flight: waiting for a flush, or for a completion by its index.
  private var waiting: [UnsafeMutablePointer<CryptoOperation>] = []
  private var inKernel: [UInt32: (UnsafeMutablePointer<CryptoOperation>, Loopback)] = [:]
  private var finished: [UnsafeMutablePointer<CryptoOperation>] = []
  private var nextIndex: UInt32 = 0

  init(engine: Engine, environment: LaneEnvironment) throws(EngineError) {
    guard engine.script.hasMemory else { throw EngineError("\(Tag.name): no memory for a lane") }
    self.engine = engine
    self.environment = environment
    engine.script.environment = environment
    engine.script.lanesAlive += 1
  }

  deinit { engine.script.lanesAlive -= 1 }

  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    engine.script.batches.append(batch.map(\.pointee.sourceByteCount))
    for operation in batch {
      operation.pointee.disposition = .submitted
      switch engine.script.pace {
      case .atOnce:
        operation.pointee.outcome = engine.script.compute(operation)
        operation.pointee.disposition = .done
      case .atFlush: waiting.append(operation)
      case .byRing:
        let loopback = Loopback()
        inKernel[nextIndex] = (operation, loopback)
        loopback.start(
          environment.ring, UserData(kind: environment.completionKind, index: nextIndex))
        nextIndex += 1
      }
    }
  }

  private mutating func finish(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    operation.pointee.outcome = engine.script.compute(operation)
    finished.append(operation)
  }

  mutating func flush() {
    engine.script.flushCount += 1
    for operation in waiting { finish(operation) }
    waiting = []
  }

  mutating func take(_ completion: Completion) {
    engine.script.completions.append(completion)
    guard let (operation, loopback) = inKernel.removeValue(forKey: completion.userData.index),
      loopback.hasCome(completion)
    else { return }
    finish(operation)
  }

  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    finished.isEmpty ? nil : finished.removeFirst()
  }

  var inFlightCount: Int { waiting.count + inKernel.count + finished.count }

  mutating func forget(sessionIndex: UInt32) { engine.script.forgotten.append(sessionIndex) }

  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    engine.script.validationCount += 1
    return engine.script.validation
  }
}

/// A datagram socket that is connected to itself: what is sent into it comes out of it.
final class Loopback {
  private let descriptor: Int32
  private let message = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
  private let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
  private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 2)

  init() {
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var length = socklen_t(MemoryLayout<sa_family_t>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        // A name of the kernel's choice.
        _ = bind(descriptor, $0, length)
        length = socklen_t(MemoryLayout<sockaddr_un>.size)
        getsockname(descriptor, $0, &length)
        _ = connect(descriptor, $0, length)
      }
    }
    bytes[0] = 0x5a
    bytes[1] = 0
    vectors[0] = iovec(iov_base: bytes, iov_len: 1)
    vectors[1] = iovec(iov_base: bytes + 1, iov_len: 1)
    message.initialize(to: msghdr())
    message.pointee.msg_iov = vectors
    message.pointee.msg_iovlen = 1
  }

  deinit {
    close(descriptor)
    message.deallocate()
    vectors.deallocate()
    bytes.deallocate()
  }

  func start(_ ring: SubmissionRing, _ userData: UserData) {
    guard ring.reserve(2) else { return }
    ring.sendThenRead(
      fd: descriptor, message: message, vector: vectors + 1, vectorCount: 1, userData: userData,
      sendUserData: UserData(kind: userData.kind, index: .max), sendsInThread: false,
      readsInThread: false)
  }

  func hasCome(_ completion: Completion) -> Bool { completion.result == 1 && bytes[1] == 0x5a }
}

/// Sessions and operations in memory, told apart by their source lengths.
final class Operations {
  let pointers: [UnsafeMutablePointer<CryptoOperation>]
  private let sessions: UnsafeMutablePointer<SessionParameters>
  private let placeholder = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
  let count: Int

  /// Operation number n has n source bytes, and goes to the first engine of its route.
  init(_ routes: [EngineRoute]) {
    count = routes.count
    sessions = .allocate(capacity: count)
    for (index, route) in routes.enumerated() {
      var session = SessionParameters()
      session.route = route
      (sessions + index).initialize(to: session)
    }
    let sessions = sessions
    let placeholder = placeholder
    pointers = routes.indices.map { index in
      let pointer = UnsafeMutablePointer<CryptoOperation>.allocate(capacity: 1)
      pointer.initialize(
        to: CryptoOperation(session: sessions + index, placeholder: placeholder))
      pointer.pointee.sourceByteCount = UInt32(index)
      pointer.pointee.engineIndex = routes[index].engine(at: 0)
      return pointer
    }
  }

  /// Operations of sessions with one engine each.
  convenience init(engines: [UInt8]) {
    self.init(engines.map { EngineRoute([EngineRoute.Stop(engine: $0)]) })
  }

  deinit {
    for pointer in pointers { pointer.deallocate() }
    sessions.deallocate()
    placeholder.deallocate()
  }

  var outcomes: [CryptoOutcome] { pointers.map(\.pointee.outcome) }
  var dispositions: [CryptoDisposition] { pointers.map(\.pointee.disposition) }
  var engines: [UInt8] { pointers.map(\.pointee.engineIndex) }
}
