import GuestMemory
import LinuxSystem
import Synchronization
import VhostUserBackend
import VhostUserProtocol

/// A device that does nothing and remembers everything.
final class FakeDevice: VhostUserDevice, @unchecked Sendable {
  enum Call: Equatable {
    case opened, closed, reset
    case features(UInt64)
    case protocolFeatures(UInt64)
    case start(index: Int, base: UInt32)
    case stop(index: Int)
    case createSession(SessionRequest.Kind)
    case closeSession(UInt64)
    case ready(Int32)
  }

  /// All state that the test's thread reads.
  struct State {
    var calls: [Call] = []
    var running: Set<Int> = []
    var bases: [Int: UInt32] = [:]
    var sessions: [SessionRequest] = []
    var channel: FrontendChannel?
    var services: [Int32] = []
    var lastByteOfUsedRing: [Int: UInt8] = [:]
    var logging: [Int: DirtyLogging] = [:]
    var logEvents: [Int: Int32] = [:]
    var refusesStart = false
    /// How far a ring gets before it is stopped.
    var progress: UInt32 = 7
    var status: UInt8 = 0
    /// By ring: bytes of its part of the buffer of requests in flight, and its events.
    var inflight: [Int: Int] = [:]
    /// What it wants beside each record, and where that was: how far head and data are from the queue's region.
    var annexByteCount = 0
    var annexes: [Int: (head: Int, data: Int?)] = [:]
    var kicks: [Int: Int32] = [:]
    var callEvents: [Int: Int32] = [:]
    var errors: [Int: Int32] = [:]
  }

  let state = Mutex(State())
  /// Written by the server's thread alone.
  private var setups: [Int: Held] = [:]

  private final class Held {
    let setup: QueueSetup
    init(_ setup: consuming QueueSetup) { self.setup = setup }
  }

  var calls: [Call] { state.withLock { $0.calls } }
  var running: Set<Int> { state.withLock { $0.running } }
  func forgetCalls() { state.withLock { $0.calls = [] } }

  var offeredFeatures: UInt64 {
    VhostUserLimit.protocolFeaturesBit | VhostUserLimit.logAllBit | 1 << 34 | 1 << 32 | 1 << 29
      | 0b11
  }
  var offeredProtocolFeatures: UInt64 {
    ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue | ProtocolFeature.config
      | ProtocolFeature.cryptoSession | ProtocolFeature.configureMemorySlots
      | ProtocolFeature.status | ProtocolFeature.resetDevice | ProtocolFeature.backendRequests
      | ProtocolFeature.inflightSharedMemory | ProtocolFeature.inBandNotifications
      | ProtocolFeature.logSharedMemory
  }
  var queueCount: Int { 3 }
  var inflightAnnexByteCount: Int { state.withLock { $0.annexByteCount } }
  var status: UInt8 {
    get { state.withLock { $0.status } }
    set { state.withLock { $0.status = newValue } }
  }
  var serviceDescriptors: [Int32] { state.withLock { $0.services } }

  private func note(_ call: Call) { state.withLock { $0.calls.append(call) } }

  func connectionOpened(_ frontend: FrontendChannel) {
    state.withLock { $0.channel = frontend }
    note(.opened)
  }
  func connectionClosed() { note(.closed) }
  func setFeatures(_ accepted: UInt64) { note(.features(accepted)) }
  func setProtocolFeatures(_ accepted: UInt64) { note(.protocolFeatures(accepted)) }

  func startQueue(_ setup: consuming QueueSetup) throws(QueueStartError) {
    if state.withLock({ $0.refusesStart }) { throw QueueStartError(reason: "told to refuse") }
    let index = setup.index
    let base = setup.base
    // Touching the end of the ring's memory proves that it is mapped.
    let last = setup.usedRing.pointer[setup.usedRing.byteCount - 1]
    let inflight = setup.inflight?.slice.byteCount
    let annex = setup.inflight.flatMap { region in
      region.annex.map { annex in
        (
          head: annex.head.pointer - region.slice.pointer,
          data: annex.data.map { $0.pointer - region.slice.pointer }
        )
      }
    }
    let events = (setup.kickRawValue, setup.callRawValue, setup.errorRawValue)
    let logging = setup.dirtyLogging
    let logEvent = setup.logEventRawValue
    setups[index] = Held(setup)
    state.withLock {
      $0.calls.append(.start(index: index, base: base))
      $0.running.insert(index)
      $0.bases[index] = base
      $0.lastByteOfUsedRing[index] = last
      $0.inflight[index] = inflight
      $0.annexes[index] = annex
      ($0.kicks[index], $0.callEvents[index], $0.errors[index]) = events
      $0.logging[index] = logging
      $0.logEvents[index] = logEvent
    }
  }

  func ringIsCorrupt(_ index: Int) -> Bool { false }

  func stopQueue(_ index: Int) -> UInt32? {
    setups[index] = nil
    return state.withLock {
      $0.calls.append(.stop(index: index))
      guard $0.running.remove(index) != nil else { return nil }
      return ($0.bases[index] ?? 0) + $0.progress
    }
  }

  func readConfiguration(offset: Int, byteCount: Int) -> [UInt8]? {
    guard offset + byteCount <= 56 else { return nil }
    return (0..<byteCount).map { UInt8(offset + $0) }
  }
  func writeConfiguration(offset: Int, bytes: [UInt8]) -> Bool { false }

  func createSession(_ request: SessionRequest) -> Int64 {
    state.withLock {
      $0.sessions.append(request)
      $0.calls.append(.createSession(request.kind))
      return Int64($0.sessions.count) + 40
    }
  }
  func closeSession(_ id: UInt64) -> Bool {
    note(.closeSession(id))
    return id == 41
  }
  func reset() { note(.reset) }
  func descriptorIsReady(_ descriptor: Int32) {
    note(.ready(descriptor))
    state.withLock { $0.services = [] }
  }
}
