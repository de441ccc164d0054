public import CryptoDevice
public import EngineContract

extension WorkerLoop where Lane: ~Copyable, Queue: ~Copyable {
  /// Lets go of sessions that were destroyed, once no operation that could have seen them is in flight.
  ///
  /// Operations belong to one of two epochs. Seeing news in the log starts the other epoch; when the old one has run
  /// dry, everything that the log held at that moment can be forgotten. Helpers that may hold keys are told, and the
  /// control side hears of it when they have wiped them.
  @inlinable
  mutating func forgetRetired() {
    if !isRetiring {
      guard retirements.hasNews else { return }
      retireLimit = retirements.end
      isRetiring = true
      epoch ^= 1
    }
    guard (epoch == 0 ? inFlightByEpoch.1 : inFlightByEpoch.0) == 0 else { return }
    while helpers.canForget, let index = retirements.nextIndex(before: retireLimit) {
      lane.forget(sessionIndex: index)
      helpers.forget(sessionIndex: index)
    }
    // Where there were too many sessions for one go, the rest follows when these are confirmed.
    guard helpers.pendingForgetCount == 0 else { return }
    retirements.acknowledge()
    isRetiring = false
    events.signalAttention()
  }
}
