public import CryptoTypes
public import IOUring

// Engines put together, as nested lists whose types name every engine: which engine does an operation is looked up by
// its number, and what happens then is settled at compile time. The last of a list has the number 0.

/// The started engines of a list.
public protocol EngineSet: Sendable {
  /// What the capability file can say of each, by the engines' numbers.
  static var descriptions: [EngineDescription] { get }

  /// Starts each engine; one that the host lacks is left out.
  ///
  /// - Throws: `EngineError` where what somebody asked for is not to be had.
  init(_ options: EngineOptions) throws(EngineError)

  /// What became of each, by the engines' numbers.
  var states: [EngineState] { get }

  /// Shows a visitor each engine that has started, with its number and the type of its lanes.
  func visit<Visitor: EngineVisitor>(_ visitor: inout Visitor)
}

/// Whether an engine has started.
public enum EngineState: Equatable, Sendable {
  /// With this name and version of its library.
  case started(version: String)
  /// The host lacks it; why, in a sentence.
  case absent(reason: String)
}

/// Somebody who does the same with every engine.
public protocol EngineVisitor {
  mutating func visit<Lane: EngineLane & ~Copyable>(
    _ engine: Lane.Engine, index: UInt8, lanes: Lane.Type)
}

/// One worker's lanes of a list of engines.
public protocol LaneSet: ~Copyable {
  associatedtype Engines: EngineSet

  static var engineCount: UInt8 { get }

  init(engines: Engines, environment: LaneEnvironment) throws(EngineError)

  mutating func submit(
    _ run: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>, toEngine index: UInt8)
  mutating func flush()
  mutating func take(_ completion: Completion)
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>?
  var inFlightCount: Int { get }
  mutating func forget(sessionIndex: UInt32)
  mutating func validate(
    _ session: UnsafePointer<SessionParameters>, byEngine index: UInt8
  ) -> CryptoOutcome
}

// MARK: - The end of a list

/// No engine.
public struct NoEngines: EngineSet {
  public static var descriptions: [EngineDescription] { [] }
  public init(_ options: EngineOptions) throws(EngineError) {}
  public var states: [EngineState] { [] }
  public func visit<Visitor: EngineVisitor>(_ visitor: inout Visitor) {}
}

/// No lane: operations that get here have an engine that does not exist.
public struct NoLanes: ~Copyable, LaneSet {
  @inlinable public static var engineCount: UInt8 { 0 }
  public init(engines: NoEngines, environment: LaneEnvironment) throws(EngineError) {}

  @inlinable
  public mutating func submit(
    _ run: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>, toEngine index: UInt8
  ) {
    unsafe refuse(run)
  }
  @inlinable public mutating func flush() {}
  @inlinable public mutating func take(_ completion: Completion) {}
  @inlinable public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? { nil }
  @inlinable public var inFlightCount: Int { 0 }
  @inlinable public mutating func forget(sessionIndex: UInt32) {}
  public mutating func validate(
    _ session: UnsafePointer<SessionParameters>, byEngine index: UInt8
  ) -> CryptoOutcome { .unsupported }
}

/// Gives operations back that no engine takes.
@_noAllocation @_noLocks
@inlinable
internal func refuse(
  _ run: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
) {
  var index = 0
  while index < run.count {
    // SAFETY: index is in bounds; the caller keeps operations alive.
    unsafe run[index].pointee.disposition = .done
    unsafe run[index].pointee.outcome = .unsupported
    index &+= 1
  }
}

// MARK: - One more engine

/// An engine and the rest of the list.
public struct EngineList<Lane: EngineLane & ~Copyable, Rest: LaneSet & ~Copyable>: EngineSet {
  /// nil where the host lacks it.
  let engine: Lane.Engine?
  private let state: EngineState
  let rest: Rest.Engines

  public static var descriptions: [EngineDescription] {
    Rest.Engines.descriptions + [Lane.Engine.description]
  }

  public init(_ options: EngineOptions) throws(EngineError) {
    rest = try Rest.Engines(options)
    do throws(EngineError) {
      let engine = try Lane.Engine(options)
      state = .started(version: engine.version)
      self.engine = engine
    } catch {
      if error.isMistake { throw error }
      engine = nil
      state = .absent(reason: error.description)
    }
  }

  public var states: [EngineState] { rest.states + [state] }

  public func visit<Visitor: EngineVisitor>(_ visitor: inout Visitor) {
    rest.visit(&visitor)
    if let engine { visitor.visit(engine, index: Rest.engineCount, lanes: Lane.self) }
  }
}

/// An engine's lane and the rest of the list.
@safe
public struct LaneList<Lane: EngineLane & ~Copyable, Rest: LaneSet & ~Copyable>: ~Copyable, LaneSet
{
  public typealias Engines = EngineList<Lane, Rest>

  /// nil where the engine has not started.
  @usableFromInline internal var lane: Lane?
  @usableFromInline internal var rest: Rest
  @usableFromInline internal let hasLane: Bool

  @inlinable public static var engineCount: UInt8 { Rest.engineCount &+ 1 }

  public init(engines: Engines, environment: LaneEnvironment) throws(EngineError) {
    let rest = try Rest(engines: engines.rest, environment: environment)
    guard let engine = engines.engine else {
      self.rest = rest
      lane = nil
      hasLane = false
      return
    }
    var own = environment
    own.completionKind = UserData.firstLaneKind &+ Rest.engineCount
    let made = try Lane(engine: engine, environment: own)
    self.rest = rest
    lane = .some(made)
    hasLane = true
  }

  @inlinable
  public mutating func submit(
    _ run: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>, toEngine index: UInt8
  ) {
    if index != Rest.engineCount {
      unsafe rest.submit(run, toEngine: index)
    } else if hasLane {
      unsafe lane?.submit(run)
    } else {
      unsafe refuse(run)
    }
  }

  @inlinable
  public mutating func flush() {
    lane?.flush()
    rest.flush()
  }

  @inlinable
  public mutating func take(_ completion: Completion) {
    if completion.userData.kind == UserData.firstLaneKind &+ Rest.engineCount {
      lane?.take(completion)
    } else {
      rest.take(completion)
    }
  }

  @inlinable
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    if let operation = unsafe lane?.nextCompletion() { return unsafe operation }
    return unsafe rest.nextCompletion()
  }

  @inlinable
  public var inFlightCount: Int {
    switch lane {
    case .some(let lane): lane.inFlightCount &+ rest.inFlightCount
    case .none: rest.inFlightCount
    }
  }

  @inlinable
  public mutating func forget(sessionIndex: UInt32) {
    lane?.forget(sessionIndex: sessionIndex)
    rest.forget(sessionIndex: sessionIndex)
  }

  public mutating func validate(
    _ session: UnsafePointer<SessionParameters>, byEngine index: UInt8
  ) -> CryptoOutcome {
    if index != Rest.engineCount { return unsafe rest.validate(session, byEngine: index) }
    return unsafe lane?.validate(session) ?? .unsupported
  }
}
