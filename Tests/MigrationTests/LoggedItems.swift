import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Requests of every service, those that fail included.
struct LoggedItems {
  var random = SeededRandom.printed("requests")
  private(set) var list: [LoggedGuest.Item] = []
  let client: CryptoClient
  let hasSessions: Bool

  private mutating func add(
    _ name: String, _ operation: OperationSpec, _ status: VirtioCryptoStatus = .ok
  ) {
    list.append(
      LoggedGuest.Item(
        name: name, request: CryptoRequestBuilder.data(operation, format: client.format),
        status: status))
  }

  private func open(_ session: SessionSpec) throws -> UInt64? {
    hasSessions ? try client.openSession(session) : nil
  }

  /// `hasSessions`: requests name sessions, which are opened, and there are those that need one.
  init(_ client: CryptoClient, hasSessions: Bool) throws {
    self.client = client
    self.hasSessions = hasSessions
    try addCiphersAndHashes()
    try addAEADs()
    if hasSessions {
      try addPublicKeys()
      try addRefused()
    }
  }

  private mutating func addCiphersAndHashes() throws {
    let cipher = SessionSpec.cipher(.aesCBC, .encrypt, key: random.bytes(16))
    let cipherID = try open(cipher)
    for count in [16, 4096, 12304] {
      add(
        "AES-CBC of \(count)",
        OperationSpec(
          cipher, sessionID: cipherID, iv: random.bytes(16), source: random.bytes(count)))
    }
    // A helper's.
    add(
      "AES-CBC of 320 KiB",
      OperationSpec(
        cipher, sessionID: cipherID, iv: random.bytes(16), source: random.bytes(320 << 10)))
    let chain = SessionSpec.chain(
      .init(
        .aesCBC, .encrypt, key: random.bytes(16), order: .cipherThenHash,
        second: .authenticated(.hmacSHA256, key: random.bytes(32))))
    add(
      "AES-CBC and HMAC",
      OperationSpec(
        chain, sessionID: try open(chain), iv: random.bytes(16), source: random.bytes(5008)))
    let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
    add("SHA-256", OperationSpec(hash, sessionID: try open(hash), source: random.bytes(777)))
    let mac = SessionSpec.mac(.hmacSHA1, key: random.bytes(20), resultByteCount: 20)
    add("HMAC-SHA1", OperationSpec(mac, sessionID: try open(mac), source: random.bytes(9000)))
  }

  private mutating func addAEADs() throws {
    let key = random.bytes(32)
    let (iv, aad, text) = (random.bytes(12), random.bytes(20), random.bytes(6000))
    let seal = SessionSpec.aead(.gcm, .encrypt, key: key, tagByteCount: 16, aadByteCount: 20)
    add(
      "sealing",
      OperationSpec(seal, sessionID: try open(seal), iv: iv, source: text, aad: aad))
    let sealed = try #require(
      ReferenceCrypto.seal(.gcm, key: key, iv: iv, aad: aad, source: text, tagByteCount: 16))
    let openSpec = SessionSpec.aead(
      .gcm, .decrypt, key: key, tagByteCount: 16, aadByteCount: 20)
    let openID = try open(openSpec)
    add("opening", OperationSpec(openSpec, sessionID: openID, iv: iv, source: sealed, aad: aad))
    var forged = sealed
    forged[4000] ^= 1
    add(
      "opening a forgery",
      OperationSpec(openSpec, sessionID: openID, iv: iv, source: forged, aad: aad), .badmsg)
  }

  private mutating func addPublicKeys() throws {
    let key = try #require(RSAKeyPair.ofKnownPrimes(bitCount: 4096))
    let spec = AKCipherSpec.rsa(.raw, key: key.publicKey)
    let id = try open(.akcipher(spec))
    add(
      "RSA",
      OperationSpec(.encrypt, spec, sessionID: id, source: [1, 2, 3], room: 512))
    add(
      "RSA with room to spare",
      OperationSpec(.encrypt, spec, sessionID: id, source: [1, 2, 3], room: 9000))
    add(
      "RSA without room",
      OperationSpec(.encrypt, spec, sessionID: id, source: [1, 2, 3], room: 511), .err)
    let signing = AKCipherSpec.rsa(.pkcs1, .sha256, key: key.publicKey)
    add(
      "a wrong signature",
      OperationSpec(
        verify: [0] + random.bytes(511), of: random.bytes(32), signing,
        sessionID: try open(.akcipher(signing))), .keyRejected)
  }

  private mutating func addRefused() throws {
    let cipher = SessionSpec.cipher(.aesCBC, .encrypt, key: random.bytes(16))
    let id = try open(cipher)
    add(
      "no session",
      OperationSpec(cipher, sessionID: .max, iv: random.bytes(16), source: random.bytes(64)),
      .invsess)
    add(
      "half a block",
      OperationSpec(cipher, sessionID: id, iv: random.bytes(16), source: random.bytes(40)), .err)
    add(
      "lengths that differ",
      OperationSpec(
        cipher, sessionID: id, iv: random.bytes(16), source: random.bytes(64),
        destinationByteCount: 48), .err)
  }
}
