/// One algorithm in one of its uses: the unit that engines offer, operators order and statistics count.
public enum CryptoAlgorithm: Hashable, Sendable, CaseIterable {
  case cipher(CipherAlgorithm)
  case hash(HashAlgorithm)
  case mac(MACAlgorithm)
  case aead(AEADAlgorithm)

  public static var allCases: [CryptoAlgorithm] {
    CipherAlgorithm.allCases.map(CryptoAlgorithm.cipher)
      + HashAlgorithm.allCases.map(CryptoAlgorithm.hash)
      + MACAlgorithm.allCases.map(CryptoAlgorithm.mac)
      + AEADAlgorithm.allCases.map(CryptoAlgorithm.aead)
  }

  public var service: CryptoService {
    switch self {
    case .cipher: .cipher
    case .hash: .hash
    case .mac: .mac
    case .aead: .aead
    }
  }

  /// The name in the capability file and in statistics; unique within its service.
  public var name: String {
    switch self {
    case .cipher(let algorithm): algorithm.name
    case .hash(let algorithm): algorithm.name
    case .mac(let algorithm): algorithm.name
    case .aead(let algorithm): algorithm.name
    }
  }
}

/// What became of an engine's known-answer test of one algorithm.
public enum SelfTestResult: Hashable, Sendable {
  case passed
  /// The engine does not have the algorithm here; the text says why, in a few words.
  case unavailable(String)
  /// The engine has it, and gives wrong answers: it must not be used.
  case failed(String)
}

/// A library that can do algorithms on this host: the control side's view of it.
///
/// An engine also has `makeLane(sessionCapacity:) throws(EngineError)`, which gives a worker its own noncopyable lane
/// with room for the keys of sessions of lower index than `sessionCapacity`. It is no requirement here because an
/// associated type cannot be noncopyable; the wiring calls it on the concrete type.
public protocol CryptoEngine: AnyObject, Sendable {
  /// The name in the capability file and in statistics, such as `openssl`.
  var name: String { get }

  /// The library's own name and version, for logs.
  var version: String { get }

  /// The result of a known-answer test per algorithm: both directions, every key size. Algorithms that the engine has
  /// never heard of may be missing.
  func selfTest() -> [CryptoAlgorithm: SelfTestResult]
}

/// What is wrong with an engine itself, in a sentence that says what was being attempted.
public struct EngineError: Error, CustomStringConvertible, Sendable {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// One worker's own part of an engine: reused contexts, cached keys, jobs in flight.
///
/// Used by one thread at a time.
///
/// In steady state no call allocates, retains, locks or logs.
public protocol CryptoLane: ~Copyable {
  /// Runs operations. Each comes back with `disposition` set: `done` with its `outcome`, or `submitted`.
  ///
  /// A session's keys are expanded into the lane when its first operation arrives, and kept until `forget`.
  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>)

  /// Finishes what waits for more operations to fill up a batch: the ring has run dry.
  mutating func flush()

  /// An operation that was `submitted` and is finished now, with its `outcome`; nil if there is none yet.
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>?

  /// Operations submitted and not yet given back.
  var inFlightCount: Int { get }

  /// Wipes the keys of a session. None of its operations is in flight.
  mutating func forget(sessionIndex: UInt32)

  /// Control side, at session creation: whether these parameters and keys can be used, by trying to expand the keys.
  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome
}
