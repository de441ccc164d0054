import CryptoTypes

/// A session and an operation in it, as values.
public struct Request {
  public var session = SessionParameters()
  public var cipherKey: [UInt8] = []
  public var authKey: [UInt8] = []
  public var iv: [UInt8] = []
  public var aad: [UInt8] = []
  public var source: [UInt8] = []
  public var tag: [UInt8] = []
  public var resultByteCount = 0
  public var cipherRange = 0..<0
  public var hashRange = 0..<0

  public init() {}

  public static func cipher(
    _ cipher: CipherAlgorithm, _ direction: CryptoDirection, key: [UInt8], iv: [UInt8],
    source: [UInt8]
  ) -> Request {
    var request = Request()
    request.session.service = .cipher
    request.session.cipher = cipher
    request.session.direction = direction
    request.cipherKey = key
    request.iv = iv
    request.source = source
    return request
  }

  public static func hash(_ hash: HashAlgorithm, source: [UInt8], resultByteCount: Int) -> Request {
    var request = Request()
    request.session.service = .hash
    request.session.hash = hash
    request.source = source
    request.resultByteCount = resultByteCount
    return request
  }

  public static func mac(
    _ mac: MACAlgorithm, key: [UInt8], iv: [UInt8] = [], source: [UInt8], resultByteCount: Int
  ) -> Request {
    var request = Request()
    request.session.service = .mac
    request.session.mac = mac
    request.authKey = key
    request.iv = iv
    request.source = source
    request.resultByteCount = resultByteCount
    return request
  }

  public static func seal(
    _ aead: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8],
    tagByteCount: Int
  ) -> Request {
    var request = Request()
    request.session.service = .aead
    request.session.aead = aead
    request.session.direction = .encrypt
    request.cipherKey = key
    request.iv = iv
    request.aad = aad
    request.source = source
    request.resultByteCount = tagByteCount
    return request
  }

  public static func open(
    _ aead: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8], tag: [UInt8]
  ) -> Request {
    var request = seal(aead, key: key, iv: iv, aad: aad, source: source, tagByteCount: 0)
    request.session.direction = .decrypt
    request.tag = tag
    return request
  }
}

/// What a request gave.
public struct Response: Equatable {
  public var outcome: CryptoOutcome
  public var destination: [UInt8]
  public var result: [UInt8]

  public init(outcome: CryptoOutcome, destination: [UInt8], result: [UInt8]) {
    self.outcome = outcome
    self.destination = destination
    self.result = result
  }
}
