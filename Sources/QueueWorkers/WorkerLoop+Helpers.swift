public import CLinuxShims
public import Counters
public import CryptoDevice
public import CryptoTypes
public import EngineContract
public import GuestMemory

// Long operations run on helper threads and come back whenever they are done, so that those behind them need not wait.
extension WorkerLoop where Lane: ~Copyable, Queue: ~Copyable {
  /// Operations that are somewhere else: in a lane, or with a helper.
  @inlinable var inFlightCount: Int { lane.inFlightCount &+ helpers.operationCount }

  /// Gives the batch's long operations away; the others stay in it, in their order.
  @inlinable
  mutating func giveToHelpers() {
    var kept = 0
    var index = 0
    while index < batchCount {
      // SAFETY: the first batchCount entries were written by `takeOne`.
      let operation = unsafe batch[index]
      if unsafe helpers.help(operation) {
        // From `give` on, the operation is the helper's.
        unsafe SlotTable.slot(of: operation).pointee.epoch = epoch
        addInFlight(1)
        unsafe helpers.give(operation)
      } else {
        unsafe batch[kept] = operation
        kept &+= 1
      }
      index &+= 1
    }
    batchCount = kept
  }

  /// Completes what helpers have finished; whether there was any, or a session's keys are gone.
  @inlinable
  mutating func collectFromHelpers() -> Bool {
    let pendingForgetCount = helpers.pendingForgetCount
    var any = false
    var now: UInt64 = 0
    while let operation = unsafe helpers.nextCompletion() {
      if !any { now = clinux_ticks() }
      unsafe completeLate(operation, now)
      any = true
    }
    return any || helpers.pendingForgetCount != pendingForgetCount
  }

  /// Sleeps until something happens, unless a helper has something already.
  @inlinable
  mutating func rest() {
    if helpers.prepareToSleep() {
      counters.add(.sleeps, 1)
      events.wait()
      // From here on a kick is known; what the kernel took to have this thread run is not.
      wakeTicks = clinux_ticks()
    } else {
      events.flush()
    }
    helpers.endSleep()
  }

  /// Waits for lane and helpers to give back what they have, and publishes it.
  @inlinable
  mutating func finishInFlight() {
    var watch = NoWatch()
    while inFlightCount > 0 {
      lane.flush()
      if collect(&watch) { continue }
      if helpers.prepareToSleep() { events.waitForCompletion() }
      helpers.endSleep()
      reap()
    }
    // Results that went into zeros are none.
    if !memory.isLost { publish(&watch) }
    // Whatever was written last, be it that no kick is wanted.
    if processor.dirty.isOn { processor.dirty.markRing() }
    events.flush()
  }
}
