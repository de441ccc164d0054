import CryptoTypes
import VhostUserFrontend

/// Random requests of one algorithm, mostly short, some longer than a job may be.
public struct RandomRequests {
  public var generator: SeededRandom

  public init(seed: UInt64) { generator = SeededRandom(seed: seed) }

  public mutating func below(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }

  public mutating func byteCount(granule: Int) -> Int {
    let count =
      switch below(400) {
      case 0: 65_400 + below(400)
      case 1: below(200_000)
      case 2..<20: below(5000)
      default: below(300)
      }
    return count / granule * granule
  }

  public mutating func keyByteCount(_ accepts: (Int) -> Bool) -> Int {
    let counts = (0...64).filter(accepts)
    return counts.isEmpty ? 0 : counts[below(counts.count)]
  }

  /// 16 bytes whose low 32 bits are often about to run over.
  public mutating func counterBlock() -> [UInt8] {
    var block = generator.bytes(16)
    if below(4) == 0 {
      for index in (12 - below(13))..<15 { block[index] = 0xff }
      block[15] = UInt8(0xf0 + below(16))
    }
    return block
  }

  public mutating func cipher(_ cipher: CipherAlgorithm) -> Request {
    let keyByteCount = keyByteCount { cipher.accepts(keyByteCount: $0) }
    return .cipher(
      cipher, below(2) == 0 ? .encrypt : .decrypt, key: generator.bytes(keyByteCount),
      iv: Array(counterBlock().suffix(cipher.ivByteCount)),
      source: generator.bytes(byteCount(granule: cipher.granuleByteCount)))
  }

  public mutating func hash(_ hash: HashAlgorithm) -> Request {
    .hash(
      hash, source: generator.bytes(byteCount(granule: 1)),
      resultByteCount: 1 + below(hash.maximumResultByteCount))
  }

  public mutating func mac(_ mac: MACAlgorithm) -> Request {
    let isHMAC = mac.accepts(keyByteCount: 0)
    let keyByteCount = isHMAC ? below(300) : keyByteCount { mac.accepts(keyByteCount: $0) }
    return .mac(
      mac, key: generator.bytes(keyByteCount), iv: generator.bytes(mac.ivByteCount),
      source: generator.bytes(byteCount(granule: 1)),
      resultByteCount: 1 + below(mac.maximumResultByteCount))
  }

  public mutating func seal(_ aead: AEADAlgorithm) -> Request {
    let ivs = (7...16).filter { aead.accepts(ivByteCount: $0) }
    let tags = (1...16).filter { aead.accepts(tagByteCount: $0) }
    let ivByteCount = ivs[below(ivs.count)]
    var count = byteCount(granule: 1)
    // A CCM nonce of 13 bytes leaves two for the length.
    if aead == .ccm && ivByteCount == 13 { count = min(count, 65535) }
    return .seal(
      aead, key: generator.bytes(keyByteCount { aead.accepts(keyByteCount: $0) }),
      iv: Array(counterBlock().suffix(ivByteCount)),
      aad: generator.bytes(below(8) == 0 ? below(70_000) : below(60)),
      source: generator.bytes(count), tagByteCount: tags[below(tags.count)])
  }

  /// A chain of any shape, with a tail that both engines have.
  public mutating func chain(_ cipher: CipherAlgorithm) -> Request {
    var request = self.cipher(cipher)
    let total = request.source.count
    request.session.service = .chain
    request.session.order = below(2) == 0 ? .hashThenCipher : .cipherThenHash
    let hashes: [HashAlgorithm] = [.sha1, .sha224, .sha256, .sha384, .sha512]
    let macs: [MACAlgorithm] = [
      .hmacMD5, .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512, .cmacAES, .gmacAES,
    ]
    request.aad = generator.bytes(below(3) == 0 ? below(40) : 0)
    request.session.hash = hashes[below(hashes.count)]
    request.session.mac = macs[below(macs.count)]
    switch below(4) {
    case 0: request.session.hashMode = .plain
    case 1:
      request.session.hashMode = .nested
      request.authKey = generator.bytes(below(100) * 2)
    default:
      let mac = request.session.mac
      request.session.hashMode = .authenticated
      request.authKey = generator.bytes(keyByteCount { mac.accepts(keyByteCount: $0) })
      if mac.ivByteCount > 0 { request.aad = generator.bytes(mac.ivByteCount) }
    }
    let limit =
      request.session.hashMode == .authenticated
      ? request.session.mac.maximumResultByteCount : request.session.hash.maximumResultByteCount
    request.resultByteCount = 1 + below(limit)
    let granule = cipher.granuleByteCount
    let start = below(3) == 0 ? 0 : below(total + 1)
    let count = (total - start) / granule * granule
    request.cipherRange = start..<start + (count == 0 ? 0 : below(count / granule + 1) * granule)
    let hashStart = below(3) == 0 ? 0 : below(total + 1)
    request.hashRange = hashStart..<hashStart + below(total - hashStart + 1)
    return request
  }
}
