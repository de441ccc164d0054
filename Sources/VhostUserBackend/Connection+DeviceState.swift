internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// The device's state on its way from one host to another.
///
/// Spec: vhost-user, "Migrating back-end state". The channel is always the front-end's.
extension Connection {
  func setDeviceStateDescriptor(_ message: inout Message) throws(Refusal) {
    let wanted = try parse(message, StateTransferPayload.init(parsing:))
    guard let channel = message.descriptors.take() else { throw .descriptorCount(0) }
    var answer = StateTransferPayload.noDescriptor
    if !begin(wanted, channel) { answer |= StateTransferPayload.refused }
    reply(to: .setDeviceStateDescriptor, NumberPayload(answer).encoded)
  }

  private func begin(_ wanted: StateTransferPayload, _ channel: consuming FileDescriptor) -> Bool {
    guard let direction = StateTransferDirection(rawValue: wanted.direction),
      wanted.phase == StateTransferPayload.stoppedPhase
    else {
      log.log(
        .warning, "no such transfer of the device's state",
        ["direction": "\(wanted.direction)", "phase": "\(wanted.phase)"])
      return false
    }
    guard !rings.contains(where: \.isRunning) else {
      log.log(.warning, "the device's state cannot be transferred while rings run")
      return false
    }
    return device.beginStateTransfer(direction, channel)
  }

  func checkDeviceState() {
    let isRight = !rings.contains(where: \.isRunning) && device.endStateTransfer()
    reply(to: .checkDeviceState, NumberPayload(isRight ? 0 : 1).encoded)
  }
}
