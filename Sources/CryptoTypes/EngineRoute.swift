/// Which engines may serve an algorithm or a session, best first, and which lengths each is for.
///
/// Engines are numbered by the wiring. A plain value of fixed size, fit for the data path.
@frozen
public struct EngineRoute: Equatable, Sendable {
  /// How many engines a route holds at most.
  @inlinable public static var capacity: Int { @_noAllocation @_noLocks get { 4 } }
  /// What stands for "no engine".
  @inlinable public static var none: UInt8 { @_noAllocation @_noLocks get { 0xff } }

  /// One engine of a route.
  public struct Stop: Equatable, Sendable {
    public var engine: UInt8
    /// The shortest and the longest source for it, in bytes.
    public var byteCounts: ClosedRange<UInt32>

    public init(engine: UInt8, byteCounts: ClosedRange<UInt32> = 0...UInt32.max) {
      self.engine = engine
      self.byteCounts = byteCounts
    }
  }

  /// One byte each, the best in the lowest, `none` above the last.
  @usableFromInline internal var engines: UInt32 = .max
  @usableFromInline internal var shortest: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
  @usableFromInline internal var longest: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)

  /// No engine at all.
  @_noAllocation @_noLocks
  @inlinable public init() {}

  /// The first `capacity` of these engines.
  public init(_ stops: [Stop]) {
    for stop in stops.prefix(Self.capacity) {
      append(stop.engine, stop.byteCounts.lowerBound, stop.byteCounts.upperBound)
    }
  }

  public var stops: [Stop] {
    (0..<count).map {
      Stop(engine: engine(at: $0), byteCounts: shortest(at: $0)...longest(at: $0))
    }
  }

  @inlinable public var isEmpty: Bool {
    @_noAllocation @_noLocks get { UInt8(truncatingIfNeeded: engines) == Self.none }
  }

  @inlinable public var count: Int {
    @_noAllocation @_noLocks get {
      var count = 0
      while count < Self.capacity, engine(at: count) != Self.none { count &+= 1 }
      return count
    }
  }

  @_noAllocation @_noLocks
  @inlinable public func engine(at index: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: engines >> UInt32(truncatingIfNeeded: index &* 8))
  }

  @_noAllocation @_noLocks
  @inlinable internal func shortest(at index: Int) -> UInt32 {
    index == 0 ? shortest.0 : index == 1 ? shortest.1 : index == 2 ? shortest.2 : shortest.3
  }

  @_noAllocation @_noLocks
  @inlinable internal func longest(at index: Int) -> UInt32 {
    index == 0 ? longest.0 : index == 1 ? longest.1 : index == 2 ? longest.2 : longest.3
  }

  /// The engine for a source: the first that is for its length, or the first of all where none is.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public func engine(forByteCount byteCount: UInt32) -> UInt8 {
    // The usual route: one engine, or a first one that is for everything.
    if byteCount >= shortest.0 && byteCount <= longest.0 { return engine(at: 0) }
    return furtherEngine(forByteCount: byteCount)
  }

  @_noAllocation @_noLocks
  @inline(never)
  @usableFromInline
  func furtherEngine(forByteCount byteCount: UInt32) -> UInt8 {
    var index = 1
    while index < Self.capacity, engine(at: index) != Self.none {
      if byteCount >= shortest(at: index) && byteCount <= longest(at: index) {
        return engine(at: index)
      }
      index &+= 1
    }
    return engine(at: 0)
  }

  /// The first engine that is not in `tried`, one bit each; `none` when all are.
  @_noAllocation @_noLocks
  @inlinable public func engine(besides tried: UInt32) -> UInt8 {
    var index = 0
    while index < Self.capacity, engine(at: index) != Self.none {
      if tried & (1 << UInt32(engine(at: index))) == 0 { return engine(at: index) }
      index &+= 1
    }
    return Self.none
  }

  @_noAllocation @_noLocks
  @inlinable public func contains(_ engine: UInt8) -> Bool {
    var index = 0
    while index < Self.capacity, self.engine(at: index) != Self.none {
      if self.engine(at: index) == engine { return true }
      index &+= 1
    }
    return false
  }

  /// The stops whose engines another route has, too, in this route's order.
  @_noAllocation @_noLocks
  @inlinable public func intersection(_ other: EngineRoute) -> EngineRoute {
    var both = EngineRoute()
    var index = 0
    while index < Self.capacity, engine(at: index) != Self.none {
      if other.contains(engine(at: index)) {
        both.append(engine(at: index), shortest(at: index), longest(at: index))
      }
      index &+= 1
    }
    return both
  }

  /// The route without the engines of `refused`, one bit each.
  public func excluding(_ refused: UInt32) -> EngineRoute {
    EngineRoute(stops.filter { refused & (1 << UInt32($0.engine)) == 0 })
  }

  /// Adds a stop; the caller has seen that there is room.
  @_noAllocation @_noLocks
  @inlinable internal mutating func append(_ engine: UInt8, _ first: UInt32, _ last: UInt32) {
    let index = count
    let shift = UInt32(truncatingIfNeeded: index &* 8)
    engines = engines & ~(0xff << shift) | UInt32(engine) << shift
    switch index {
    case 0: (shortest.0, longest.0) = (first, last)
    case 1: (shortest.1, longest.1) = (first, last)
    case 2: (shortest.2, longest.2) = (first, last)
    default: (shortest.3, longest.3) = (first, last)
    }
  }

  public static func == (first: Self, second: Self) -> Bool { first.stops == second.stops }
}
