import CryptoTypes
import VhostUserFrontend

/// Random sessions and requests of one algorithm, the same for the same seed.
public struct RequestSource {
  public let algorithm: CryptoAlgorithm
  public var random: SeededRandom

  public init(_ algorithm: CryptoAlgorithm, seed: UInt64) {
    self.algorithm = algorithm
    random = SeededRandom(seed: seed)
  }

  public mutating func pick<Element>(_ list: [Element]) -> Element {
    list[Int(random.next() % UInt64(list.count))]
  }

  public mutating func upTo(_ most: Int) -> Int { Int(random.next() % UInt64(most + 1)) }

  /// Any key size and direction, tag or result length.
  public mutating func session() -> SessionSpec {
    switch algorithm {
    case .cipher(let cipher):
      let key = pick((1...256).filter { cipher.accepts(keyByteCount: $0) })
      return .cipher(cipher, pick(CryptoDirection.allCases), key: random.bytes(key))
    case .hash(let hash):
      let most = hash.isExtendable ? 500 : hash.maximumResultByteCount
      let count = upTo(3) == 0 ? 1 + upTo(most - 1) : hash.isExtendable ? 32 : most
      return .hash(hash, resultByteCount: count)
    case .mac(let mac):
      let key = pick((0...200).filter { mac.accepts(keyByteCount: $0) })
      let most = mac.maximumResultByteCount
      return .mac(
        mac, key: random.bytes(key), resultByteCount: upTo(3) == 0 ? 1 + upTo(most - 1) : most)
    case .aead(let aead):
      let key = pick((16...32).filter { aead.accepts(keyByteCount: $0) })
      let tag = pick((1...16).filter { aead.accepts(tagByteCount: $0) })
      return .aead(
        aead, pick(CryptoDirection.allCases), key: random.bytes(key), tagByteCount: tag)
    case .akcipher: preconditionFailure("public keys have tests of their own")
    }
  }

  /// Lengths around what implementations treat apart; most are short, a few go to 64 KiB.
  public mutating func byteCount() -> Int {
    let edges = [0, 1, 16, 64, 128, 256, 1024, 4096, 8192]
    switch upTo(199) {
    case 0..<110: return upTo(256)
    case 110..<160: return max(0, pick(edges) + upTo(4) - 2)
    case 160..<197: return upTo(4096)
    case 197, 198: return upTo(16384)
    default: return upTo(65536)
    }
  }

  /// A request in a session; nearly all have a length that the algorithm is defined for.
  public mutating func operation(_ session: SessionSpec, _ identifier: UInt64?) -> OperationSpec {
    var count = byteCount()
    let keepsLength = upTo(49) == 0
    switch session {
    case .cipher(let cipher, _, _):
      if !keepsLength { count &= ~(cipher.granuleByteCount - 1) }
      return OperationSpec(
        session, sessionID: identifier, iv: random.bytes(cipher.ivByteCount),
        source: random.bytes(max(count, cipher.minimumSourceByteCount)))
    case .hash: return OperationSpec(session, sessionID: identifier, source: random.bytes(count))
    case .mac(let mac, _, _):
      if !keepsLength { count &= ~(mac.granuleByteCount - 1) }
      return OperationSpec(
        session, sessionID: identifier, source: random.bytes(mac.ivByteCount + count))
    case .aead(let aead, let direction, let key, let tag, _):
      let iv = random.bytes(pick((7...16).filter { aead.accepts(ivByteCount: $0) }))
      let aad = random.bytes(upTo(1) == 0 ? upTo(64) : upTo(1) == 0 ? 0 : upTo(2000))
      var source = random.bytes(count)
      // Something genuine to open, and now and then a forgery.
      if direction == .decrypt {
        source =
          ReferenceCrypto.seal(aead, key: key, iv: iv, aad: aad, source: source, tagByteCount: tag)
          ?? source + random.bytes(tag)
        if upTo(9) == 0 { source[upTo(source.count - 1)] ^= 0x20 }
      }
      return OperationSpec(session, sessionID: identifier, iv: iv, source: source, aad: aad)
    case .chain, .akcipher: return OperationSpec(session, sessionID: identifier, source: [])
    }
  }

  /// Any shape of chain.
  public mutating func plan() -> RequestPlan {
    var plan = RequestPlan()
    switch upTo(5) {
    case 0: break
    case 1:
      plan.front = .shredded(seed: random.next(), maximum: 12)
      plan.destination = .random(seed: random.next(), maximum: 8)
    case 2: plan.isInPlace = true
    case 3:
      plan.source = .random(seed: random.next(), maximum: 8)
      plan.destination = .random(seed: random.next(), maximum: 8)
      plan.hasZeroLengthDescriptors = true
    case 4:
      plan.source = .count(3)
      plan.status = .tailOfLastBuffer
    default:
      plan.source = .random(seed: random.next(), maximum: 3)
      plan.slackByteCount = 5
    }
    return plan
  }
}
