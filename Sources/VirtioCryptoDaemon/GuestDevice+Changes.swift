import Capabilities
import CryptoDevice
import CryptoTypes
import QueueWorkers
import StatsEndpoint
import VhostUserBackend
import VirtioSpec

/// What a running device is to be from now on.
struct DeviceChange: Sendable {
  /// Of these, limits, allowed sizes and key sizes can change.
  var settings: DeviceSettings
  /// nil: as they are.
  var algorithms: AlgorithmTable?
}

/// What came of a change.
struct DeviceChangeReport: Sendable {
  var offer: DeviceOffer
  var isConfigurationChanged: Bool
  /// Whether the front-end has been told that its configuration space changed; nil: there is none, or nothing to tell.
  var frontendIsTold: Bool?
}

extension GuestDevice {
  /// Changes the device, on its own thread, between two messages and two control requests.
  ///
  /// Sessions that exist keep their engines. Nil where the thread does not answer in time.
  func change(_ change: DeviceChange) async -> DeviceChangeReport? {
    await questions.ask(within: .seconds(30)) { [self] in apply(change) }
  }

  private func apply(_ change: DeviceChange) -> DeviceChangeReport {
    var offer = core.offer
    let before = offer.configuration.bytes
    if let algorithms = change.algorithms { offer.offer(algorithms) }
    offer.restrict(to: change.settings)
    core.offer = offer
    limits.set(LimitSettings(change.settings.limits))
    limits.set(offer.orders)
    tellWorkers(change.settings)
    let isChanged = offer.configuration.bytes != before
    return DeviceChangeReport(
      offer: offer, isConfigurationChanged: isChanged,
      frontendIsTold: isChanged ? frontend?.notifyConfigurationChange() : nil)
  }
}

extension DeviceOffer {
  /// Takes what settings allow of the device's sizes, and of keys.
  mutating func restrict(to settings: DeviceSettings) {
    allowedSessionCount = settings.maximumSessionCount
    allowedRequestByteCount = UInt32(clamping: settings.maximumRequestByteCount)
    algorithms.maximumCipherKeyByteCount = UInt32(settings.maximumCipherKeyByteCount)
    algorithms.maximumAuthKeyByteCount = UInt32(settings.maximumAuthKeyByteCount)
  }
}

extension LimitSettings {
  init(_ limits: RateLimits) {
    self.init()
    operationsPerSecond = limits.operationsPerSecond
    bytesPerSecond = limits.bytesPerSecond
    burstMilliseconds = limits.burstMilliseconds
  }
}

extension DeviceLimits {
  init(_ settings: DeviceSettings) {
    self.init()
    operationsPerSecond = settings.limits.operationsPerSecond
    bytesPerSecond = settings.limits.bytesPerSecond
    burstMilliseconds = UInt64(settings.limits.burstMilliseconds)
    sessions = UInt64(settings.maximumSessionCount)
    requestBytes = settings.maximumRequestByteCount
    cipherKeyBytes = UInt64(settings.maximumCipherKeyByteCount)
    authKeyBytes = UInt64(settings.maximumAuthKeyByteCount)
  }
}
