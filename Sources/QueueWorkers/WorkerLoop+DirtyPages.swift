public import CryptoDevice
public import GuestMemory
public import VirtQueue

// A log of dirty pages, asked for once per batch, so that a queue without one hardly notices.
extension WorkerLoop where Lane: ~Copyable, Queue: ~Copyable {
  /// Publishes the batch's used entries between the marks of what they tell of and of the ring; whether the driver wants
  /// to be called.
  ///
  /// Results are marked first: should the process end here, the driver knows of none that nobody will copy.
  @inlinable
  @inline(never)
  mutating func publishLogged() -> Bool {
    processor.logPages()
    let wantsCall = queue.publish()
    // `publish` has a full fence behind all that was written of the ring. Where it shows nothing it has none, and has written
    // nothing; what was written before that is marked the next time, at the latest when the worker sleeps or ends.
    processor.dirty.markRing(isFenced: true)
    events.signalLog()
    return wantsCall
  }
}
