// EngineContract: what an engine is: the protocols, the list that puts engines together, known answers and self-test.
//
// Engines are written against this room and CryptoTypes, and have never heard of virtio, rings or guests. Another engine
// is one more room, and one line in HostEngines.

public import CryptoTypes
public import IOUring

/// A library that can do algorithms on this host: the control side's view of it.
///
/// Started once per process; its lanes are the workers' own.
public protocol CryptoEngine: AnyObject, Sendable {
  /// What there is to know of engines of this kind without starting one.
  static var description: EngineDescription { get }

  /// Starts it.
  ///
  /// - Throws: `EngineError`: the host lacks it (the daemon goes on without), or what was asked for is not to be had.
  init(_ options: EngineOptions) throws(EngineError)

  /// The library's own name and version, for logs.
  var version: String { get }

  /// What an operator should know about it on this host, a sentence each.
  var notes: [String] { get }

  /// The result of a known-answer test per algorithm: both directions, every key size. Algorithms that the engine has
  /// never heard of may be missing.
  func selfTest() -> [CryptoAlgorithm: SelfTestResult]
}

extension CryptoEngine {
  /// The name in the capability file and in statistics, such as `openssl`.
  public var name: String { Self.description.name }

  public var notes: [String] { [] }
}

/// What an operator wishes of the engines; each takes what concerns it.
public struct EngineOptions: Sendable {
  /// OpenSSL's providers, all of which must be there; nil: `default`, and `legacy` where the host has it.
  public var providers: [String]?
  /// OpenSSL's property query for every fetch.
  public var propertyQuery: String?
  /// Operations that one worker's lane keeps in flight in the kernel, 1…4096.
  public var inFlightCount = 64
  /// The most bytes of source and associated data that an operation will have.
  public var maximumByteCount = 1 << 20
  /// The drivers to use, by engine name and algorithm; others are the engine's own choice.
  public var drivers: [String: [CryptoAlgorithm: String]] = [:]

  public init() {}
}

/// What is wrong with an engine itself, in a sentence that says what was being attempted.
public struct EngineError: Error, CustomStringConvertible, Sendable {
  public var description: String
  /// Whether somebody asked for what is missing, so that going on without would be wrong.
  public var isMistake: Bool

  public init(_ description: String, isMistake: Bool = false) {
    self.description = description
    self.isMistake = isMistake
  }
}

/// What a lane is made for.
@safe
public struct LaneEnvironment {
  /// Keys are kept for sessions of lower index; operations of others are served like stateless ones.
  public var sessionCapacity: Int
  /// How many operations there can be at once.
  public var operationCapacity: Int
  /// The most bytes of source, and of associated data, of one operation.
  public var maximumByteCount: Int
  /// The worker's io_uring, for engines that have the kernel work for them; outlives the lane.
  public var ring: SubmissionRing
  /// The kind of the completions that `take` is given.
  public var completionKind: UInt8 = UserData.firstLaneKind

  public init(
    sessionCapacity: Int, operationCapacity: Int = 1024, maximumByteCount: Int = 1 << 20,
    ring: SubmissionRing
  ) {
    self.sessionCapacity = sessionCapacity
    self.operationCapacity = operationCapacity
    self.maximumByteCount = maximumByteCount
    self.ring = ring
  }
}

/// Operations in, finished operations out: what a worker needs of its engines.
///
/// Used by one thread at a time. In steady state no call allocates, retains, locks or logs.
public protocol CryptoLane: ~Copyable {
  /// Runs operations. Each comes back with `disposition` set: `done` with its `outcome`, or `submitted`.
  ///
  /// A session's keys are expanded into the lane when its first operation arrives, and kept until `forget`.
  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>)

  /// Finishes what waits for more operations to fill up a batch: the ring has run dry.
  mutating func flush()

  /// Takes in a completion of the worker's io_uring that has the lane's `completionKind`.
  mutating func take(_ completion: Completion)

  /// An operation that was `submitted` and is finished now, with its `outcome`; nil if there is none yet.
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>?

  /// Operations submitted and not yet given back.
  var inFlightCount: Int { get }

  /// Wipes the keys of a session. None of its operations is in flight.
  mutating func forget(sessionIndex: UInt32)
}

/// One worker's own part of an engine: reused contexts, cached keys, jobs in flight.
public protocol EngineLane: CryptoLane, ~Copyable {
  associatedtype Engine: CryptoEngine

  /// Makes a lane, which keeps its engine alive.
  ///
  /// - Throws: `EngineError` if there is no memory for it.
  init(engine: Engine, environment: LaneEnvironment) throws(EngineError)

  /// Control side, at session creation: whether these parameters and keys can be used, by trying to expand the keys.
  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome
}
