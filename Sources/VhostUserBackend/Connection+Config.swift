internal import Logging
internal import VhostUserProtocol

/// The configuration space.
extension Connection {
  /// Answers with the window, or with an empty payload, the protocol's sign of an error.
  func getConfig(_ message: borrowing Message) throws(Refusal) {
    let request = try parse(message, ConfigurationPayload.init(parsing:))
    guard
      let window = device.readConfiguration(
        offset: Int(request.offset), byteCount: request.window.count),
      window.count == request.window.count
    else {
      log.log(
        .warning, "configuration read outside the space",
        ["offset": "\(request.offset)", "bytes": "\(request.window.count)"])
      reply(to: .getConfig, [])
      return
    }
    reply(
      to: .getConfig,
      ConfigurationPayload(offset: request.offset, flags: request.flags, window: window).encoded)
  }

  func setConfig(_ message: borrowing Message) throws(Refusal) {
    let request = try parse(message, ConfigurationPayload.init(parsing:))
    guard device.writeConfiguration(offset: Int(request.offset), bytes: request.window) else {
      throw .readOnlyConfiguration(offset: request.offset)
    }
  }
}
