import CryptoTypes
import TestSupport
import VhostUserFrontend
import VirtioSpec

/// What a request has to be answered.
struct Expectation {
  enum Result {
    case bytes(output: [UInt8], result: [UInt8])
    /// ECDSA's depend on chance: this key says whether one is right.
    case signature(ECKeyPair, digest: [UInt8])
  }

  var status: VirtioCryptoStatus
  var result = Result.bytes(output: [], result: [])
}

/// A request that a guest has thought of, before it is placed anywhere.
struct Wish {
  var session: SessionSpec
  /// Without a session's identifier.
  var operation: OperationSpec
  var plan: RequestPlan
  /// Another identifier than that of a session that the guest opens.
  var strangeSession: UInt64?
  var isStateless: Bool
  /// nil: libcrypto does not have the algorithm, so the first answer is what all others are compared with.
  var expectation: Expectation?

  /// As the report groups it.
  var service: String {
    switch session {
    case .cipher: "cipher"
    case .hash: "hash"
    case .mac: "mac"
    case .aead: "aead"
    case .chain: "chain"
    case .akcipher: "akcipher"
    }
  }
}

extension Wish: CustomStringConvertible {
  /// Without keys and data.
  var description: String {
    let what =
      switch session {
      case .cipher(let cipher, let direction, _): "\(cipher.name) \(direction)"
      case .hash(let hash, _): hash.name
      case .mac(let mac, _, _): mac.name
      case .aead(let aead, let direction, _, _, _): "\(aead.name) \(direction)"
      case .chain(let chain): "\(chain.cipher.name) \(chain.direction), \(chain.order)"
      case .akcipher(let spec): "public key \(spec.algorithm) \(operation.akcipher)"
      }
    return "\(service) \(what), \(operation.source.count) bytes"
      + (plan.isInPlace ? ", in place" : "")
      + (isStateless ? ", stateless" : strangeSession == nil ? "" : ", strange session")
  }
}

extension OperationSpec {
  /// Whether its answer is more than a status, a digest or a verdict.
  fileprivate var hasDestination: Bool {
    switch session {
    case .cipher, .aead, .chain: true
    case .hash, .mac: false
    case .akcipher: akcipher != .verify
    }
  }
}

/// Thinks of requests of every service.
struct WishSource {
  private var source: RequestSource
  private let rsa: RSAKeyPair
  private let ec: ECKeyPair

  init(seed: UInt64) throws {
    source = RequestSource(.cipher(.aesCBC), seed: seed)
    rsa = RSAKeyPair.ofCurveNumbers
    guard let ec = ECKeyPair(generatedOn: .p256) else { throw DriverError("no key on P-256") }
    self.ec = ec
  }

  /// Uniformly from all symmetric algorithms, chains and public keys being a sixth each.
  mutating func next() -> Wish {
    var wish =
      switch source.upTo(5) {
      case 0: chain()
      case 1: source.upTo(1) == 0 ? rsaWish() : ecWish()
      default: symmetric()
      }
    spoil(&wish)
    return wish
  }

  private mutating func symmetric() -> Wish {
    var own = RequestSource(source.pick(CryptoAlgorithm.symmetric), seed: source.random.next())
    let session = own.session()
    var operation = own.operation(session, nil)
    while operation.source.count > 20000 { operation = own.operation(session, nil) }
    return wish(session, operation)
  }

  /// A request, and what libcrypto says to it.
  private mutating func wish(_ session: SessionSpec, _ operation: OperationSpec) -> Wish {
    let isStateless = source.upTo(3) == 0
    var plan = source.plan()
    plan.isInPlace = source.upTo(2) == 0 && operation.hasDestination
    // The session in their header is changed, and their source written again.
    if !isStateless || plan.isInPlace, case .shredded = plan.front { plan.front = .joined }
    let answer = ReferenceCrypto.answer(to: operation)
    return Wish(
      session: session, operation: operation, plan: plan, isStateless: isStateless,
      expectation: answer.map {
        Expectation(status: .ok, result: .bytes(output: $0.output, result: $0.result))
      })
  }

  private mutating func chain() -> Wish {
    let cipher = source.pick([CipherAlgorithm.aesCBC, .aesCTR, .tripleDESCBC])
    let hash = source.pick([HashAlgorithm.sha1, .sha256, .sha512])
    let mac = source.pick([MACAlgorithm.hmacSHA1, .hmacSHA256, .hmacSHA512, .cmacAES])
    let second: ChainSecond =
      switch source.upTo(3) {
      case 0: .plain(hash)
      case 1: .nested(hash, key: source.random.bytes(128))
      default: .authenticated(mac, key: source.random.bytes(mac == .cmacAES ? 16 : 32))
      }
    let key = source.random.bytes(source.pick((1...64).filter { cipher.accepts(keyByteCount: $0) }))
    let session = SessionSpec.chain(
      .init(
        cipher, source.pick(CryptoDirection.allCases), key: key,
        order: source.pick([ChainOrder.cipherThenHash, .hashThenCipher]), second: second))
    let operation = OperationSpec(
      session, sessionID: nil, iv: source.random.bytes(cipher.ivByteCount),
      source: source.random.bytes(16 * (1 + source.upTo(99))))
    return wish(session, operation)
  }

  private mutating func rsaWish() -> Wish {
    let digest = source.random.bytes(20)
    let signing = AKCipherSpec.rsa(.pkcs1, .sha1, key: rsa.privateKey)
    let room = rsa.modulusByteCount
    switch source.upTo(3) {
    case 0:
      let operation = OperationSpec(.sign, signing, sessionID: nil, source: digest, room: room)
      return asymmetric(operation, output: rsa.sign(digest, .sha1))
    case 1:
      let verifying = AKCipherSpec.rsa(.pkcs1, .sha1, key: rsa.publicKey)
      return verification(rsa.sign(digest, .sha1) ?? [], of: digest, verifying)
    case 2:
      let message = [0] + source.random.bytes(room - 1)
      let operation = OperationSpec(
        .encrypt, .rsa(.raw, key: rsa.publicKey), sessionID: nil, source: message, room: room)
      return asymmetric(operation, output: rsa.rawPublic(message))
    default:
      let message = source.random.bytes(1 + source.upTo(30))
      let operation = OperationSpec(
        .decrypt, .rsa(.pkcs1, key: rsa.privateKey), sessionID: nil,
        source: rsa.encrypt(message, random: &source.random) ?? [], room: room)
      return asymmetric(operation, output: message)
    }
  }

  private mutating func ecWish() -> Wish {
    let digest = source.random.bytes(32)
    guard source.upTo(1) == 0 else {
      return verification(ec.sign(digest) ?? [], of: digest, .ecdsa(.p256, key: ec.publicKey))
    }
    let operation = OperationSpec(
      .sign, .ecdsa(.p256, key: ec.privateKey), sessionID: nil, source: digest,
      room: AKCipherCurve.p256.maximumSignatureByteCount)
    var wish = asymmetric(operation, output: [])
    wish.expectation = Expectation(status: .ok, result: .signature(ec, digest: digest))
    return wish
  }

  /// A signature that fits, or one time in three does not.
  private mutating func verification(
    _ signature: [UInt8], of digest: [UInt8], _ spec: AKCipherSpec
  ) -> Wish {
    var signed = digest
    let isForged = source.upTo(2) == 0
    if isForged { signed[source.upTo(signed.count - 1)] ^= 4 }
    var wish = asymmetric(
      OperationSpec(verify: signature, of: signed, spec, sessionID: nil), output: [])
    if isForged { wish.expectation = Expectation(status: .keyRejected) }
    return wish
  }

  private mutating func asymmetric(_ operation: OperationSpec, output: [UInt8]?) -> Wish {
    var plan = RequestPlan()
    plan.isInPlace = source.upTo(2) == 0 && operation.hasDestination
    return Wish(
      session: operation.session, operation: operation, plan: plan,
      isStateless: source.upTo(3) == 0,
      expectation: output.map {
        Expectation(status: .ok, result: .bytes(output: $0, result: []))
      })
  }

  /// Makes one in ten wrong.
  private mutating func spoil(_ wish: inout Wish) {
    switch source.upTo(19) {
    case 0:
      wish.isStateless = false
      wish.strangeSession = source.random.next() | 1 << 63
      wish.expectation = Expectation(status: .invsess)
    case 1 where wish.session.service == .cipher:
      wish.operation.destinationByteCount = wish.operation.source.count + 16
      wish.expectation = Expectation(status: .err)
    default: break
    }
  }
}
