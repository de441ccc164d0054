// VirtioCryptoDaemon: arguments, signals and wiring; the only room that knows all the others.

import Capabilities
import CryptoTypes
import EngineOpenSSL
import QueueWorkers
import VirtQueue

#if IPSEC_MB
  import EngineIPsecMB
#endif

/// The engines of this build, and the numbers that sessions and statistics know them by.
///
/// Another engine is one more room, one case here and one line in each `switch` of this file.
enum EngineIndex: UInt8, CaseIterable {
  case openssl
  #if IPSEC_MB
    case ipsecMB
  #endif

  var name: String {
    switch self {
    case .openssl: "openssl"
    #if IPSEC_MB
      case .ipsecMB: "ipsec-mb"
    #endif
    }
  }

  static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0.rawValue) })
}

/// The engines of this host, started once.
final class HostEngines: Sendable {
  let openssl: OpenSSLEngine
  #if IPSEC_MB
    /// nil where the processor lacks what the library needs.
    let ipsecMB: IPsecMBEngine?
  #endif
  /// What each engine can do, proved by its known-answer tests.
  let selfTests: [EngineIndex: [CryptoAlgorithm: SelfTestResult]]

  init(_ settings: EngineSettings) throws(EngineError) {
    openssl = try OpenSSLEngine(
      providers: settings.opensslProviders, propertyQuery: settings.opensslPropertyQuery)
    var selfTests: [EngineIndex: [CryptoAlgorithm: SelfTestResult]] = [:]
    selfTests[.openssl] = openssl.selfTest()
    #if IPSEC_MB
      ipsecMB = try? IPsecMBEngine()
      selfTests[.ipsecMB] = ipsecMB?.selfTest()
    #endif
    self.selfTests = selfTests
  }

  /// Names and versions, for logs and statistics.
  var versions: [(name: String, version: String)] {
    var versions = [(openssl.name, openssl.version)]
    #if IPSEC_MB
      if let ipsecMB { versions.append((ipsecMB.name, ipsecMB.version)) }
    #endif
    return versions
  }

  /// What a configuration advertises with these engines.
  func advertisement(_ configuration: Configuration, fileName: String) -> Advertisement {
    Advertisement(
      policies: configuration.algorithms,
      selfTests: Dictionary(uniqueKeysWithValues: selfTests.map { ($0.key.name, $0.value) }),
      fileName: fileName)
  }

  /// A worker's own lane of every engine.
  func makeLane(sessionCapacity: Int) throws(EngineError) -> HostLane {
    var lane = HostLane(openssl: try openssl.makeLane(sessionCapacity: sessionCapacity))
    #if IPSEC_MB
      if let ipsecMB { lane.ipsecMB = try ipsecMB.makeLane(sessionCapacity: sessionCapacity) }
    #endif
    return lane
  }
}

/// One worker's lanes of every engine, as one lane: the dispatch by the session's engine is settled at compile time.
struct HostLane: ~Copyable, CryptoLane {
  var openssl: OpenSSLLane
  #if IPSEC_MB
    /// nil where the engine did not start; no session has its index then.
    var ipsecMB: IPsecMBLane?
  #endif

  init(openssl: consuming OpenSSLLane) { self.openssl = openssl }

  @_noAllocation @_noLocks
  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    #if IPSEC_MB
      // Neighbours of one engine go to it together.
      var start = 0
      while start < batch.count {
        // SAFETY: start < end <= count; sessions are alive while their operations are.
        let engine = unsafe batch[start].pointee.session.pointee.engineIndex
        var end = start &+ 1
        while end < batch.count,
          unsafe batch[end].pointee.session.pointee.engineIndex == engine
        {
          end &+= 1
        }
        unsafe submit(
          UnsafeMutableBufferPointer(rebasing: batch[start..<end]), toEngine: engine)
        start = end
      }
    #else
      // One engine in this build: every session's engine index is its.
      unsafe openssl.submit(batch)
    #endif
  }

  #if IPSEC_MB
    @_noAllocation @_noLocks
    private mutating func submit(
      _ run: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>,
      toEngine engine: UInt8
    ) {
      if engine == EngineIndex.ipsecMB.rawValue {
        unsafe ipsecMB?.submit(run)
      } else {
        unsafe openssl.submit(run)
      }
    }
  #endif

  @_noAllocation @_noLocks
  mutating func flush() {
    openssl.flush()
    #if IPSEC_MB
      ipsecMB?.flush()
    #endif
  }

  @_noAllocation @_noLocks
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    #if IPSEC_MB
      if let operation = unsafe ipsecMB?.nextCompletion() { return unsafe operation }
    #endif
    return unsafe openssl.nextCompletion()
  }

  var inFlightCount: Int {
    @_noAllocation @_noLocks get {
      #if IPSEC_MB
        switch ipsecMB {
        case .some(let lane): return openssl.inFlightCount &+ lane.inFlightCount
        case .none: return openssl.inFlightCount
        }
      #else
        return openssl.inFlightCount
      #endif
    }
  }

  @_noAllocation @_noLocks
  mutating func forget(sessionIndex: UInt32) {
    openssl.forget(sessionIndex: sessionIndex)
    #if IPSEC_MB
      ipsecMB?.forget(sessionIndex: sessionIndex)
    #endif
  }

  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    #if IPSEC_MB
      // SAFETY: the caller keeps the session alive.
      if unsafe session.pointee.engineIndex == EngineIndex.ipsecMB.rawValue {
        return unsafe ipsecMB?.validate(session) ?? .unsupported
      }
    #endif
    return unsafe openssl.validate(session)
  }
}

/// The whole life of a data queue: the compiler refuses to build it if any of it could allocate or lock.
///
/// It stands beside `HostLane` because the compiler settles the loop's calls to the lane only where it sees both.
@_noAllocation @_noLocks
func serveOnHotPath(_ loop: inout WorkerLoop<HostLane>) throws(QueueError) {
  try loop.run()
}
