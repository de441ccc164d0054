internal import Logging
internal import VhostUserProtocol

/// Sessions that the front-end creates on the guest's behalf.
extension Connection {
  /// `VIRTIO_CRYPTO_ERR` and `VIRTIO_CRYPTO_NOTSUPP`, as the answer has them.
  private static let failed: Int64 = -1
  private static let notSupported: Int64 = -3

  /// Answers every request of a known size, refused ones with minus a status; the keys stay in the message and the request.
  func createSession(_ message: borrowing Message) {
    let answer: Int64
    do {
      answer = device.createSession(try SessionRequest(parsing: message.payload.span))
    } catch {
      log.log(.warning, "session request malformed", ["reason": "\(error)"])
      if case .sessionOperation = error {
        answer = Self.notSupported
      } else {
        answer = Self.failed
      }
    }
    reply(
      to: .createCryptoSession,
      SessionReply(sessionID: answer).encoded(payloadByteCount: message.payload.count))
  }

  func closeSession(_ message: borrowing Message) throws(Refusal) {
    let id = try parse(message, NumberPayload.init(parsing:)).value
    guard device.closeSession(id) else { throw .unknownSession }
  }
}
