// VirtioCryptoDaemon: arguments, signals and wiring; the only room that knows all the others.

import Capabilities
import CryptoTypes
import EngineOpenSSL
import QueueWorkers
import VirtQueue

/// The engines of this build, and the numbers that sessions and statistics know them by.
///
/// Another engine is one more room, one case here and one line in each `switch` of this file.
enum EngineIndex: UInt8, CaseIterable {
  case openssl

  var name: String {
    switch self {
    case .openssl: "openssl"
    }
  }

  static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0.rawValue) })
}

/// The engines of this host, started once.
final class HostEngines: Sendable {
  let openssl: OpenSSLEngine
  /// What each engine can do, proved by its known-answer tests.
  let selfTests: [EngineIndex: [CryptoAlgorithm: SelfTestResult]]

  init(_ settings: EngineSettings) throws(EngineError) {
    openssl = try OpenSSLEngine(
      providers: settings.opensslProviders, propertyQuery: settings.opensslPropertyQuery)
    selfTests = [.openssl: openssl.selfTest()]
  }

  /// Names and versions, for logs and statistics.
  var versions: [(name: String, version: String)] { [(openssl.name, openssl.version)] }

  /// What a configuration advertises with these engines.
  func advertisement(_ configuration: Configuration, fileName: String) -> Advertisement {
    Advertisement(
      policies: configuration.algorithms,
      selfTests: Dictionary(uniqueKeysWithValues: selfTests.map { ($0.key.name, $0.value) }),
      fileName: fileName)
  }

  /// A worker's own lane of every engine.
  func makeLane(sessionCapacity: Int) throws(EngineError) -> HostLane {
    HostLane(openssl: try openssl.makeLane(sessionCapacity: sessionCapacity))
  }
}

/// One worker's lanes of every engine, as one lane: the dispatch by the session's engine is settled at compile time.
struct HostLane: ~Copyable, CryptoLane {
  var openssl: OpenSSLLane

  @_noAllocation @_noLocks
  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    // One engine in this build: every session's engine index is its.
    unsafe openssl.submit(batch)
  }

  @_noAllocation @_noLocks
  mutating func flush() { openssl.flush() }

  @_noAllocation @_noLocks
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    unsafe openssl.nextCompletion()
  }

  var inFlightCount: Int { @_noAllocation @_noLocks get { openssl.inFlightCount } }

  @_noAllocation @_noLocks
  mutating func forget(sessionIndex: UInt32) { openssl.forget(sessionIndex: sessionIndex) }

  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    unsafe openssl.validate(session)
  }
}

/// The whole life of a data queue: the compiler refuses to build it if any of it could allocate or lock.
///
/// It stands beside `HostLane` because the compiler settles the loop's calls to the lane only where it sees both.
@_noAllocation @_noLocks
func serveOnHotPath(_ loop: inout WorkerLoop<HostLane>) throws(QueueError) {
  try loop.run()
}
