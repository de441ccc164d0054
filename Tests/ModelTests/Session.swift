import CryptoTypes
import VhostUserFrontend
import VirtioSpec

/// A guest's random numbers.
extension SeededRandom {
  /// 0…most.
  mutating func upTo(_ most: Int) -> Int { Int(next() % UInt64(most + 1)) }
  mutating func pick<Element>(_ list: [Element]) -> Element { list[upTo(list.count - 1)] }
  /// Once in so many times.
  mutating func oneIn(_ count: Int) -> Bool { upTo(count - 1) == 0 }
}

/// A session in the model: what it computes, and what its requests have to be like.
struct Session {
  enum Kind {
    case cipher(CipherModel)
    case hash(HashModel)
    case mac(MACModel)
    case aead(AEADModel)
    case chain(CipherModel, Second)
    case akcipher(RSAModel)
  }
  enum Second {
    case plain(HashModel)
    case authenticated(MACModel)
    case nested(HashModel)
  }

  var kind: Kind
  var spec: SessionSpec
  /// The device's name for it, once there is one.
  var identifier: UInt64 = 0

  /// One that the specification allows.
  static func random(_ random: inout SeededRandom, withRSA: Bool) -> Session {
    let direction = random.pick([CryptoDirection.encrypt, .decrypt])
    switch random.upTo(withRSA ? 5 : 4) {
    case 0:
      let cipher = random.pick(CipherModel.all)
      return Session(
        kind: .cipher(cipher),
        spec: .cipher(cipher.algorithm, direction, key: random.bytes(random.pick(cipher.keys))))
    case 1:
      let hash = random.pick(HashModel.all)
      return Session(
        kind: .hash(hash), spec: .hash(hash.algorithm, resultByteCount: hash.length(&random)))
    case 2:
      let mac = random.pick(MACModel.all)
      return Session(
        kind: .mac(mac),
        spec: .mac(
          mac.algorithm, key: random.bytes(random.pick(mac.keys)),
          resultByteCount: random.oneIn(3) ? 1 + random.upTo(mac.result - 1) : mac.result))
    case 3:
      let aead = random.pick(AEADModel.all)
      return Session(
        kind: .aead(aead),
        spec: .aead(
          aead.algorithm, direction, key: random.bytes(random.pick(aead.keys)),
          tagByteCount: random.pick(aead.tags), aadByteCount: random.upTo(30)))
    case 4: return chain(direction, &random)
    default: return RSAModel.session(&random)
    }
  }

  private static func chain(
    _ direction: CryptoDirection, _ random: inout SeededRandom
  ) -> Session {
    let cipher = random.pick(CipherModel.all)
    let second: Second
    let spec: ChainSecond
    let most: Int
    switch random.upTo(2) {
    case 0:
      let hash = random.pick(HashModel.all)
      (second, spec, most) = (.plain(hash), .plain(hash.algorithm), min(hash.result, 64))
    case 1:
      let mac = random.pick(MACModel.all)
      second = .authenticated(mac)
      spec = .authenticated(mac.algorithm, key: random.bytes(random.pick(mac.keys)))
      most = mac.result
    default:
      // The reference has none of those with results of any length.
      let hash = random.pick(HashModel.all.filter { $0.result < 100 })
      second = .nested(hash)
      spec = .nested(hash.algorithm, key: random.bytes(2 * random.upTo(40)))
      most = hash.result
    }
    return Session(
      kind: .chain(cipher, second),
      spec: .chain(
        .init(
          cipher.algorithm, direction, key: random.bytes(random.pick(cipher.keys)),
          order: random.pick([.hashThenCipher, .cipherThenHash]), second: spec,
          resultByteCount: random.oneIn(3) ? 1 + random.upTo(most - 1) : most)))
  }

  /// Opcode of the service, without what is done.
  var service: VirtioCryptoService { spec.service }
}

extension HashModel {
  func length(_ random: inout SeededRandom) -> Int {
    random.oneIn(3) ? 1 + random.upTo(min(result, 200) - 1) : min(result, 64)
  }
}

/// A request that makes a session, and the answers that are right.
struct Creation {
  var session: Session
  var request: VhostUserFrontend.ControlRequest
  /// nil: it is a good one.
  var fault: (what: String, status: VirtioCryptoStatus)?

  init(_ random: inout SeededRandom, format: RequestFormat, withRSA: Bool) {
    session = .random(&random, withRSA: withRSA)
    request = CryptoRequestBuilder.createSession(session.spec, format: format)
    if random.oneIn(4) {
      spoilKey(&random)
      request = CryptoRequestBuilder.createSession(session.spec, format: format)
    }
    if fault == nil, random.oneIn(4) { spoilWord(&random, format) }
    if fault == nil, random.oneIn(12) { cutOff(&random) }
  }

  /// A key of a length that the algorithm does not have: `NOTSUPP`; halves of XTS that are equal: `ERR`.
  private mutating func spoilKey(_ random: inout SeededRandom) {
    func wrong(_ keys: [Int], _ most: Int) -> Int? {
      (0...most).filter { !keys.contains($0) }.randomElement(using: &random)
    }
    switch (session.kind, session.spec) {
    case (.cipher(let cipher), .cipher(let algorithm, let direction, let key)):
      if algorithm == .aesXTS, random.oneIn(2) {
        let half = Array(key.prefix(key.count / 2))
        session.spec = .cipher(algorithm, direction, key: half + half)
        fault = ("equal halves of XTS", .err)
      } else if let count = wrong(cipher.keys, 300) {
        session.spec = .cipher(algorithm, direction, key: random.bytes(count))
        fault = ("a key of \(count) bytes", .notsupp)
      }
    case (.mac(let mac), .mac(let algorithm, _, let result)):
      if let count = wrong(mac.keys, 512) {
        session.spec = .mac(algorithm, key: random.bytes(count), resultByteCount: result)
        fault = ("a key of \(count) bytes", .notsupp)
      }
    case (.aead(let aead), .aead(let algorithm, let direction, _, let tag, let aad)):
      if let count = wrong(aead.keys, 64) {
        session.spec = .aead(
          algorithm, direction, key: random.bytes(count), tagByteCount: tag, aadByteCount: aad)
        fault = ("a key of \(count) bytes", .notsupp)
      }
    case (_, .chain(var chain)):
      if case .nested(let hash, _) = chain.second {
        chain.second = .nested(hash, key: random.bytes(1 + 2 * random.upTo(30)))
        fault = ("prefixes of different lengths", .err)
        session.spec = .chain(chain)
      }
    default: break
    }
  }

  /// Offsets are those of the specification's structures, behind the header of 16 bytes.
  private mutating func spoilWord(_ random: inout SeededRandom, _ format: RequestFormat) {
    func set(_ offset: Int, _ value: UInt32, _ what: String, _ status: VirtioCryptoStatus) {
      request.fixed.set32(value, at: offset)
      fault = ("\(what) \(value)", status)
    }
    let direction: UInt32 = random.pick([0, 3, 0xFFFF_FFFF])
    switch session.kind {
    case .cipher:
      switch random.upTo(2) {
      case 0: set(16, random.pick(CipherModel.absent), "cipher", .notsupp)
      case 1: set(24, direction, "direction", .notsupp)
      default: set(64, random.pick([0, 3, 77]), "op_type", .notsupp)
      }
    case .hash(let hash):
      if random.oneIn(2) {
        set(16, random.pick(HashModel.absent), "hash", .notsupp)
      } else {
        set(20, random.pick([0, UInt32(hash.result) + 1, .max]), "result length", .err)
      }
    case .mac(let mac):
      if random.oneIn(2) {
        set(16, random.pick(MACModel.absent), "MAC", .notsupp)
      } else {
        set(20, random.pick([0, UInt32(mac.result) + 1, .max]), "result length", .err)
      }
    case .aead:
      switch random.upTo(2) {
      case 0: set(16, random.pick(AEADModel.absent), "AEAD", .notsupp)
      case 1: set(24, random.pick([0, 17, .max]), "tag length", .err)
      default: set(32, direction, "direction", .notsupp)
      }
    case .chain(_, let second):
      switch random.upTo(4) {
      case 0: set(16, random.pick([0, 3]), "order", .notsupp)
      case 1: set(20, random.pick([0, 4]), "hash mode", .notsupp)
      case 2: set(24, random.pick(CipherModel.absent), "cipher", .notsupp)
      case 3: set(32, direction, "direction", .notsupp)
      default:
        switch second {
        case .plain, .nested: set(40, random.pick(HashModel.absent), "hash", .notsupp)
        case .authenticated: set(40, random.pick(MACModel.absent), "MAC", .notsupp)
        }
      }
    case .akcipher:
      switch random.upTo(2) {
      case 0: set(16, random.pick([0, 3, 40]), "algorithm", .notsupp)
      case 1: set(20, random.pick([0, 3]), "key type", .notsupp)
      default: set(28, 2, "padding", .notsupp)
      }
    }
  }

  /// The request ends before its last byte; its header stays.
  private mutating func cutOff(_ random: inout SeededRandom) {
    if request.keys.count > 0 {
      request.keys.removeLast(1 + random.upTo(request.keys.count - 1))
      fault = ("a key that ends early", .err)
    } else if case .hash = session.kind {
      request.fixed = WireBytes(Array(request.fixed.bytes.prefix(16 + random.upTo(7))))
      fault = ("a fixed part that ends early", .err)
    }
  }

  /// What the outcome may say, where the table is full or not.
  func statuses(isFull: Bool, format: RequestFormat) -> Set<VirtioCryptoStatus> {
    if let fault { return [fault.status] }
    return isFull ? [format.isRevision1 ? .nospc : .err] : [.ok]
  }
}
