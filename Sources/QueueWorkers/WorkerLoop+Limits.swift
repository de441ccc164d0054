public import Counters
public import CryptoDevice
public import CryptoTypes

// A device's limits, asked once per batch, so that a device without any hardly notices.
extension WorkerLoop where Lane: ~Copyable, Queue: ~Copyable {
  /// How many requests may be taken now; takes in what the control side has changed.
  ///
  /// `hasMore`: whether there are any; a dry ring is not throttled.
  @inlinable
  @inline(never)
  mutating func allowance(_ hasMore: Bool, _ now: UInt64) -> Int {
    if limiter.adoptChanges(), let orders = unsafe limiter.orders {
      // SAFETY: the control side keeps orders until the last worker has adopted later ones.
      unsafe processor.follow(orders)
      limiter.acknowledge()
    }
    return hasMore ? limiter.allowance(at: now) : limiter.beIdle()
  }

  /// Pays for a batch: the requests that were taken, and the bytes of those that an engine gets.
  @inlinable
  @inline(never)
  mutating func charge(_ taken: Int, _ now: UInt64) {
    guard taken > 0 else { return }
    var byteCount: UInt64 = 0
    var index = 0
    while index < batchCount {
      // SAFETY: the first batchCount entries were written by `takeOne`.
      byteCount &+= UInt64(unsafe batch[index].pointee.sourceByteCount)
      index &+= 1
    }
    limiter.charge(operations: taken, bytes: byteCount, at: now)
  }

  /// Sleeps until the limit allows more, or something else is to be done.
  ///
  /// Kicks stay suppressed: what they would say is known.
  @inlinable
  mutating func waitForLimit() {
    if helpers.prepareToSleep() {
      counters.add(.sleeps, 1)
      let nanoseconds = limiter.beginWait()
      events.wait(nanoseconds: nanoseconds)
      limiter.endWait()
    } else {
      events.flush()
    }
    helpers.endSleep()
    reap()
  }
}
