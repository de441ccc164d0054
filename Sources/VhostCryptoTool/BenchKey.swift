import CryptoTypes
import VhostUserFrontend

/// A public-key operation to measure, such as `rsa-2048-sign` or `ecdsa-p256-verify`, with a key made for it.
///
/// A request has the size that the operation takes: a digest, a signature, or a number as long as the modulus.
struct BenchKey {
  private enum Pair {
    case rsa(RSAKeyPair)
    case ecdsa(ECKeyPair)
  }

  private let pair: Pair
  private let operation: AKCipherOperation
  let session: SessionSpec

  /// Bytes of SHA-256's digests, which is what is signed.
  private static let digestByteCount = 32

  /// The operation of a name; nil when it has none.
  init?(name: String) {
    let words = name.split(separator: "-").map(String.init)
    let operations: [String: AKCipherOperation] = [
      "encrypt": .encrypt, "decrypt": .decrypt, "sign": .sign, "verify": .verify,
    ]
    guard words.count == 3, let operation = operations[words[2]] else { return nil }
    self.operation = operation
    let isPublic = operation == .encrypt || operation == .verify
    let isSignature = operation == .sign || operation == .verify
    switch words[0] {
    case "rsa":
      guard let bits = Int(words[1]), [1024, 2048, 3072, 4096, 8192].contains(bits) else {
        return nil
      }
      let pair =
        bits > 4096
        ? RSAKeyPair.ofKnownPrimes(bitCount: bits) : RSAKeyPair.generated(bitCount: bits)
      guard let pair else { return nil }
      self.pair = .rsa(pair)
      session = .akcipher(
        .rsa(
          isSignature ? .pkcs1 : .raw, isSignature ? .sha256 : .none,
          key: isPublic ? pair.publicKey : pair.privateKey))
    case "ecdsa":
      let curves: [String: AKCipherCurve] = [
        "p192": .p192, "p224": .p224, "p256": .p256, "p384": .p384, "p521": .p521,
      ]
      guard isSignature, let curve = curves[words[1]], let pair = ECKeyPair(generatedOn: curve)
      else { return nil }
      self.pair = .ecdsa(pair)
      session = .akcipher(.ecdsa(curve, key: isPublic ? pair.publicKey : pair.privateKey))
    default: return nil
    }
  }

  /// Bytes of payload in a request.
  var byteCount: Int {
    switch (operation, pair) {
    case (.sign, _): Self.digestByteCount
    case (_, .rsa(let pair)): pair.modulusByteCount
    case (_, .ecdsa(let pair)): pair.curve.maximumSignatureByteCount
    }
  }

  /// A request with random content; nil where libcrypto makes no signature to verify.
  func request(sessionID: UInt64?, random: inout SeededRandom) -> OperationSpec? {
    guard case .akcipher(let spec) = session else { return nil }
    let digest = random.bytes(Self.digestByteCount)
    switch (operation, pair) {
    case (.sign, .rsa(let pair)):
      return OperationSpec(
        .sign, spec, sessionID: sessionID, source: digest, room: pair.modulusByteCount)
    case (.sign, .ecdsa(let pair)):
      return OperationSpec(
        .sign, spec, sessionID: sessionID, source: digest,
        room: pair.curve.maximumSignatureByteCount)
    case (.verify, .rsa(let pair)):
      return pair.sign(digest, .sha256).map {
        OperationSpec(verify: $0, of: digest, spec, sessionID: sessionID)
      }
    case (.verify, .ecdsa(let pair)):
      return pair.sign(digest).map {
        OperationSpec(verify: $0, of: digest, spec, sessionID: sessionID)
      }
    case (.encrypt, .rsa(let pair)), (.decrypt, .rsa(let pair)):
      // Below any modulus of this length.
      let number = [0] + random.bytes(pair.modulusByteCount - 1)
      return OperationSpec(
        operation, spec, sessionID: sessionID, source: number, room: pair.modulusByteCount)
    case (.encrypt, .ecdsa), (.decrypt, .ecdsa): return nil
    }
  }

  /// What the device has to answer to a request.
  func expectation(of request: OperationSpec) -> BenchExpectation? {
    switch (operation, pair) {
    case (.verify, _): .bytes([])
    case (.sign, .rsa(let pair)): pair.sign(request.source, .sha256).map(BenchExpectation.bytes)
    case (.sign, .ecdsa(let pair)): .signature(of: request.source, by: pair)
    case (.encrypt, .rsa(let pair)): pair.rawPublic(request.source).map(BenchExpectation.bytes)
    case (.decrypt, .rsa(let pair)): pair.rawPrivate(request.source).map(BenchExpectation.bytes)
    case (_, .ecdsa): nil
    }
  }
}

/// The right answer to a request, as far as it can be known before.
enum BenchExpectation {
  case bytes([UInt8])
  /// Any signature that is right.
  case signature(of: [UInt8], by: ECKeyPair)

  /// Whether the device's answer is right: `room` is the writable part without its status, of which `usedByteCount`
  /// bytes, the status among them, were written.
  func isMet(by room: [UInt8], usedByteCount: Int) -> Bool {
    switch self {
    case .bytes(let bytes): return room == bytes && usedByteCount == bytes.count + 1
    case .signature(let digest, let pair):
      guard (1...room.count + 1).contains(usedByteCount) else { return false }
      return pair.verify(Array(room.prefix(usedByteCount - 1)), of: digest)
    }
  }
}
