import VirtioSpec

/// What the control side can change while workers run.
public struct DeviceOrders: Sendable {
  /// What stateless requests may name, and by which engines they are served.
  public var algorithms: AlgorithmTable
  /// The most payload of one request (`max_size`), at most what the queues were started with.
  public var maximumRequestByteCount: UInt32

  public init(algorithms: AlgorithmTable, maximumRequestByteCount: UInt32) {
    self.algorithms = algorithms
    self.maximumRequestByteCount = maximumRequestByteCount
  }
}

extension RequestProcessor {
  /// Goes by other orders from the next request on; the buffers stay as large as they were made.
  @_noAllocation @_noLocks
  public mutating func follow(_ orders: UnsafePointer<DeviceOrders>) {
    // SAFETY: the caller's pointer is valid for the call; what it points to is not written any more.
    unsafe table = orders.pointee.algorithms
    layout.maximumRequestByteCount = unsafe min(
      orders.pointee.maximumRequestByteCount, startMaximumRequestByteCount)
  }
}
