internal import CryptoTypes
public import VhostUserProtocol
public import VirtioSpec

/// What the device says to a session: its id, or why there is none.
public struct SessionAnswer: Hashable, Sendable {
  /// Valid only when the status is OK.
  public var sessionID: UInt64
  /// The whole status word (`le32` on the control queue).
  public var statusWord: UInt32
  /// `statusWord` as a status; a word above 255 keeps its low byte.
  public var status: VirtioCryptoStatus {
    VirtioCryptoStatus(rawValue: UInt8(truncatingIfNeeded: statusWord))
  }
  /// Used length; nil for a session message, which has none.
  public var usedByteCount: Int?

  public init(sessionID: UInt64, statusWord: UInt32, usedByteCount: Int? = nil) {
    self.sessionID = sessionID
    self.statusWord = statusWord
    self.usedByteCount = usedByteCount
  }
}

/// Sessions by message, where the control queue stays with the virtual machine monitor.
extension Frontend {
  /// CREATE_CRYPTO_SESSION.
  ///
  /// - Throws: `request` when the layout cannot carry the session (long keys; other services than
  ///   CIPHER in the layout without an opcode).
  public func createSession(
    _ spec: SessionSpec, layout: SessionLayout = .current
  ) throws(FrontendError) -> SessionAnswer {
    try require(ProtocolFeature.cryptoSession, "PROTOCOL_F_CRYPTO_SESSION")
    guard let payload = spec.message(layout).encoded else {
      throw .request("the session does not fit the message layout \(layout)")
    }
    return try createSession(payload: payload)
  }

  /// CREATE_CRYPTO_SESSION with any payload.
  public func createSession(payload: [UInt8]) throws(FrontendError) -> SessionAnswer {
    let reply = try call(.createCryptoSession, payload: payload)
    guard reply.payload.count == payload.count else {
      throw .unexpectedReply(
        "CREATE_CRYPTO_SESSION: \(reply.payload.count) bytes to \(payload.count)")
    }
    do throws(PayloadError) {
      let id = try SessionReply(parsing: reply.payload.span).sessionID
      return id >= 0
        ? SessionAnswer(sessionID: UInt64(id), statusWord: 0)
        : SessionAnswer(sessionID: 0, statusWord: UInt32(clamping: id.magnitude))
    } catch {
      throw .unexpectedReply("CREATE_CRYPTO_SESSION: \(error)")
    }
  }

  /// CLOSE_CRYPTO_SESSION.
  ///
  /// - Throws: `refused` when acknowledgements are negotiated and the id is unknown.
  public func closeSession(_ session: UInt64) throws(FrontendError) {
    try require(ProtocolFeature.cryptoSession, "PROTOCOL_F_CRYPTO_SESSION")
    try command(.closeCryptoSession, payload: NumberPayload(session).encoded)
  }
}

extension SessionSpec {
  /// The session as a message says it.
  public func message(_ layout: SessionLayout) -> SessionRequest {
    let keys = (SecretBytes(cipherKey), SecretBytes(authKey))
    var message: SessionRequest
    switch self {
    case .cipher(let algorithm, _, _):
      message = SessionRequest(kind: .cipher, layout: layout, cipherKey: keys.0)
      message.cipherAlgorithm = algorithm.wireCode
    case .hash(let algorithm, _):
      message = SessionRequest(kind: .hash, layout: layout)
      message.hashAlgorithm = algorithm.wireCode
    case .mac(let algorithm, _, _):
      message = SessionRequest(kind: .mac, layout: layout, authKey: keys.1)
      message.hashAlgorithm = algorithm.wireCode
      message.hashMode = UInt8(VirtioCryptoWire.hashModeAuthenticated)
    case .aead(let algorithm, _, _, _, let aadByteCount):
      message = SessionRequest(kind: .aead, layout: layout, cipherKey: keys.0)
      message.cipherAlgorithm = algorithm.wireCode
      message.additionalByteCount = UInt32(truncatingIfNeeded: aadByteCount)
    case .chain(let chain):
      message = SessionRequest(
        kind: .chain, layout: layout, cipherKey: keys.0, authKey: keys.1)
      message.cipherAlgorithm = chain.cipher.wireCode
      message.hashAlgorithm = chain.second.algorithmCode
      message.hashMode = UInt8(truncatingIfNeeded: chain.second.mode.wireCode)
      message.chainOrder = UInt8(truncatingIfNeeded: chain.order.wireCode)
      message.additionalByteCount = UInt32(truncatingIfNeeded: chain.aadByteCount)
    case .akcipher(let spec):
      message = SessionRequest(kind: .asymmetric, layout: layout, cipherKey: keys.0)
      message.asymmetricAlgorithm = spec.algorithm
      message.asymmetricKeyType = spec.keyType
      message.asymmetricParameters = (spec.parameter(0), spec.parameter(1))
    }
    message.hashResultByteCount = UInt32(truncatingIfNeeded: resultByteCount)
    message.direction = direction == .decrypt ? SessionRequest.decrypt : SessionRequest.encrypt
    return message
  }
}
