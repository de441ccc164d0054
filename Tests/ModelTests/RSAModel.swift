import TestSupport
import VhostUserFrontend
import VirtioSpec

/// RSA with one key, as a session has it.
struct RSAModel {
  var isPrivate: Bool
  var padding: AKCipherPadding
  var hash: AKCipherHash

  static var pair: RSAKeyPair { .ofCurveNumbers }

  static func session(_ random: inout SeededRandom) -> Session {
    let model = RSAModel(
      isPrivate: random.oneIn(2), padding: random.pick(AKCipherPadding.allCases),
      hash: random.pick([.sha1, .md5, .sha256, .sha224]))
    return Session(
      kind: .akcipher(model),
      spec: .akcipher(
        .rsa(
          model.padding, model.hash, key: model.isPrivate ? pair.privateKey : pair.publicKey)))
  }

  /// A request and its answer; operations that the key or the padding does not have are `NOTSUPP`.
  func request(_ session: Session, _ random: inout SeededRandom) -> Request {
    guard case .akcipher(let spec) = session.spec else {
      preconditionFailure("RSA's session is RSA's")
    }
    let digest = random.bytes(hash.digestByteCount ?? 20)
    switch random.upTo(3) {
    case 0:
      return padding == .raw
        ? raw(.encrypt, spec, session, &random) : signing(spec, session, digest)
    case 1:
      return padding == .raw
        ? raw(.decrypt, spec, session, &random) : decryption(spec, session, &random)
    case 2: return signing(spec, session, digest)
    default: return verification(spec, session, digest, &random)
    }
  }

  private func raw(
    _ operation: AKCipherOperation, _ spec: AKCipherSpec, _ session: Session,
    _ random: inout SeededRandom
  ) -> Request {
    let isTooLarge = random.oneIn(5)
    let source =
      isTooLarge ? [UInt8](repeating: 0xFF, count: 64) : random.bytes(1 + random.upTo(62))
    let room = random.oneIn(5) ? random.upTo(63) : 64 + random.upTo(9)
    let result = operation == .encrypt ? Self.pair.rawPublic(source) : Self.pair.rawPrivate(source)
    var answer = Expectation(.err)
    if operation == .decrypt, !isPrivate {
      answer = Expectation(.notsupp)
    } else if let result, room >= result.count {
      answer = Expectation(.ok, output: result)
    }
    return Request(
      OperationSpec(operation, spec, sessionID: session.identifier, source: source, room: room),
      answer, "RSA \(operation) of \(source.count) bytes, room for \(room)")
  }

  private func decryption(
    _ spec: AKCipherSpec, _ session: Session, _ random: inout SeededRandom
  ) -> Request {
    let message = random.bytes(1 + random.upTo(40))
    let source = Self.pair.encrypt(message, random: &random) ?? []
    let answer: Expectation = isPrivate ? Expectation(.ok, output: message) : Expectation(.notsupp)
    return Request(
      OperationSpec(.decrypt, spec, sessionID: session.identifier, source: source, room: 64),
      answer,
      "RSA decryption with padding")
  }

  private func signing(_ spec: AKCipherSpec, _ session: Session, _ digest: [UInt8]) -> Request {
    var answer = Expectation(.notsupp)
    if padding == .pkcs1, isPrivate, let signature = Self.pair.sign(digest, hash) {
      answer = Expectation(.ok, output: signature)
    }
    return Request(
      OperationSpec(.sign, spec, sessionID: session.identifier, source: digest, room: 64), answer,
      "RSA signature")
  }

  private func verification(
    _ spec: AKCipherSpec, _ session: Session, _ digest: [UInt8], _ random: inout SeededRandom
  ) -> Request {
    var signature = Self.pair.sign(digest, hash) ?? []
    var answer = Expectation(.ok)
    if random.oneIn(2) {
      signature[random.upTo(63)] ^= 1
      answer = Expectation(.keyRejected)
    }
    if padding == .raw { answer = Expectation(.notsupp) }
    return Request(
      OperationSpec(verify: signature, of: digest, spec, sessionID: session.identifier), answer,
      "RSA verification")
  }
}
