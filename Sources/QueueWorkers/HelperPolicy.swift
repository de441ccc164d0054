public import CryptoTypes

/// Which operations a worker gives to its helpers.
@safe
@frozen
public struct HelperPolicy: Sendable {
  /// The engines whose operations can be given away, one bit each.
  ///
  /// Those of an engine that has somebody else compute keep nobody waiting, and stay.
  public var engines: UInt32 = 0
  /// From how many bytes of source and associated data a symmetric operation is a long one; `UInt32.max`: none is.
  public var minimumByteCount = UInt32.max

  public init() {}

  /// Whether an operation takes so long that those behind it should not have to wait.
  @_noAllocation @_noLocks
  @inlinable func isLong(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    // SAFETY: the caller keeps the operation and its session alive. Both counts are below 2^31.
    if unsafe operation.pointee.session.pointee.service.isAsymmetric { return true }
    return unsafe operation.pointee.sourceByteCount &+ operation.pointee.aadByteCount
      >= minimumByteCount
  }

  /// Whether an operation goes to a helper.
  @_noAllocation @_noLocks
  @inlinable func helps(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    unsafe isLong(operation) && engines & 1 << UInt32(operation.pointee.engineIndex) != 0
  }
}

/// A data worker's helper threads.
public struct HelperSettings: Sendable {
  /// The CPU of each helper; nil: wherever the scheduler likes.
  public var cpus: [Int?] = []
  public var policy = HelperPolicy()

  /// How many there are; without any, the worker does everything itself.
  public var count: Int { cpus.count }

  public init() {}
}
