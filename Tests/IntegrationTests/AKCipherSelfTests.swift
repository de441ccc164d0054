import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// The asymmetric half of the test front-end: layouts against the specification's offsets, the textbook's RSA against
/// published vectors, encodings against libcrypto's readers.
@Suite("The test front-end's asymmetric half")
struct AKCipherSelfTests {
  static let rsa = AKCipherSpec.rsa(.pkcs1, .sha256, key: .privateKey([7, 8, 9]))
  static let ecdsa = AKCipherSpec.ecdsa(.p384, key: .publicKey([4, 5]))

  // MARK: Layouts

  @Test(arguments: [RequestFormat.legacy, .revision1])
  func sessionsHaveTheSpecificationsOffsets(format: RequestFormat) {
    let rsa = CryptoRequestBuilder.createSession(.akcipher(Self.rsa), format: format)
    #expect(rsa.fixed.count == 16 + 56)
    for (offset, value) in [
      (0, 0x404), (4, 1), (16, 1), (20, 2), (24, 3), (28, 1), (32, 6), (36, 0), (68, 0),
    ] as [(Int, UInt32)] { #expect(rsa.fixed.get32(at: offset) == value, "\(offset)") }
    #expect(rsa.keys == [7, 8, 9])
    #expect(rsa.writableByteCount == 16)

    let ecdsa = CryptoRequestBuilder.createSession(.akcipher(Self.ecdsa), format: format)
    for (offset, value) in [(4, 2), (16, 2), (20, 1), (24, 2), (28, 4)] as [(Int, UInt32)] {
      #expect(ecdsa.fixed.get32(at: offset) == value, "\(offset)")
    }
    let destroy = CryptoRequestBuilder.destroySession(5, service: .akcipher, format: format)
    #expect(destroy.fixed.get32(at: 0) == 0x405)
  }

  @Test func sessionRequestsHaveTheirLengthsBehindTheHeader() {
    let signing = OperationSpec(.sign, Self.rsa, sessionID: 77, source: [1, 2, 3], room: 256)
    for (format, fixedByteCount) in [(RequestFormat.legacy, 48), (.revision1, 8)] {
      let request = CryptoRequestBuilder.data(signing, format: format)
      #expect(request.fixed.count == 24 + fixedByteCount)
      for (offset, value) in [(0, 0x402), (4, 1), (8, 77), (16, 1), (24, 3), (28, 256)]
        as [(Int, UInt32)]
      { #expect(request.fixed.get32(at: offset) == value, "\(offset)") }
      #expect(request.fields == [.init(.source, [1, 2, 3])])
      #expect(request.destinationByteCount == 256)
      #expect(request.resultByteCount == 0)
    }
  }

  @Test func signatureAndDigestAreOneReadableRunWithoutDestination() {
    let verifying = OperationSpec(verify: [1, 2, 3], of: [4, 5], Self.ecdsa, sessionID: 1)
    let request = CryptoRequestBuilder.data(verifying, format: .legacy)
    for (offset, value) in [(0, 0x403), (24, 3), (28, 2)] as [(Int, UInt32)] {
      #expect(request.fixed.get32(at: offset) == value)
    }
    #expect(request.fields == [.init(.source, [1, 2, 3, 4, 5])])
    #expect(request.destinationByteCount == 0)
  }

  @Test func statelessRequestsCarryTheKeyInFront() {
    let operation = OperationSpec(.decrypt, Self.rsa, sessionID: nil, source: [1, 2], room: 9)
    let request = CryptoRequestBuilder.data(operation, format: .statelessAKCipher)
    #expect(request.fixed.count == 24 + 28)
    for (offset, value) in [
      (0, 0x401), (16, 0), (24, 1), (28, 2), (32, 3), (36, 1), (40, 6), (44, 2), (48, 9),
    ] as [(Int, UInt32)] { #expect(request.fixed.get32(at: offset) == value, "\(offset)") }
    #expect(request.fields == [.init(.cipherKey, [7, 8, 9]), .init(.source, [1, 2])])
    #expect(RequestFormat(features: RequestFormat.statelessAKCipher.features) == .statelessAKCipher)
    #expect(RequestFormat.statelessAKCipher.features & 1 << 5 != 0)
  }

  @Test func messagesCarryKeysOfUpTo1024Bytes() throws {
    let session = SessionSpec.akcipher(Self.rsa)
    let bytes = try #require(session.message(.current).encoded)
    let words = WireBytes(bytes)
    #expect(bytes.count == 1072)
    for (offset, value) in [(0, 0x404), (8, 1), (12, 2), (16, 3), (32, 1), (36, 6)]
      as [(Int, UInt32)]
    { #expect(words.get32(at: offset) == value, "\(offset)") }
    #expect(Array(bytes[40..<43]) == [7, 8, 9])

    for layout in SessionLayout.allCases where layout != .current {
      #expect(session.message(layout).encoded == nil)
    }
    for (count, fits) in [(1024, true), (1025, false)] {
      let key = [UInt8](repeating: 1, count: count)
      let spec = AKCipherSpec.rsa(.raw, key: .publicKey(key))
      #expect((SessionSpec.akcipher(spec).message(.current).encoded != nil) == fits)
    }
  }

  // MARK: Keys

  @Test func derHasTheFewestBytes() {
    #expect(DER.integer(0) == [2, 1, 0])
    #expect(DER.integer(127) == [2, 1, 127])
    #expect(DER.integer(128) == [2, 2, 0, 128])
    #expect(DER.length(127) == [127])
    #expect(DER.length(128) == [0x81, 128])
    #expect(DER.length(256) == [0x82, 1, 0])
  }

  @Test(arguments: [512, 1000, 1024])
  func generatedKeysHaveTheirBitsAndLibcryptoReadsThem(bitCount: Int) throws {
    let key = RSAKeyPair.generated(bitCount: bitCount)
    #expect(key.modulus.bitCount == bitCount)
    #expect(AKCipherKey.isRSAPrivateKey(key.privateBytes))
    #expect(!AKCipherKey.isRSAPrivateKey(key.privateBytes.dropLast()))
    #expect(!AKCipherKey.isRSAPrivateKey(key.privateBytes + [0]))
    var random = SeededRandom.printed()
    let message = random.bytes(20)
    let ciphertext = try #require(key.encrypt(message, random: &random))
    #expect(key.decrypt(ciphertext) == message)
    let signature = try #require(key.sign(message, .sha1))
    #expect(key.verify(signature, of: message, .sha1))
    #expect(!key.verify(signature, of: message, .none))
    #expect(!key.verify(signature, of: random.bytes(20), .sha1))
  }

  @Test func wellKnownPrimesMakeAKey() throws {
    for bitCount in [4096, 8192, 16384] {
      let key = try #require(RSAKeyPair.ofKnownPrimes(bitCount: bitCount))
      #expect(key.modulus.bitCount == bitCount)
    }
    let key = try #require(RSAKeyPair.ofKnownPrimes(bitCount: 4096))
    let text = [UInt8](repeating: 3, count: 512)
    #expect(key.rawPublic(text).flatMap(key.rawPrivate) == text)
  }

  @Test(arguments: AKCipherCurve.allCases)
  func curvesSignAndLibcryptoReadsTheirKeys(curve: AKCipherCurve) throws {
    let key = try #require(ECKeyPair(generatedOn: curve))
    #expect(key.point.count == 1 + 2 * curve.byteCount)
    #expect(key.scalar < key.order)
    #expect((key.order.bitCount + 7) / 8 == curve.byteCount)
    #expect(AKCipherKey.isECPrivateKey(key.privateBytes(.both)))
    #expect(AKCipherKey.isECPrivateKey(key.privateBytes(.parameters)))
    let digest = [UInt8](repeating: 7, count: 32)
    for _ in 0..<20 {
      let signature = try #require(key.sign(digest))
      #expect(signature.count <= curve.maximumSignatureByteCount)
      #expect(key.verify(signature, of: digest))
      #expect(!key.verify(signature, of: digest.map { $0 ^ 1 }))
    }
    let longest = ECKeyPair.signature(key.order, key.order)
    #expect(longest.count == curve.maximumSignatureByteCount)
  }

  // MARK: Published vectors

  @Test func textbookRSAAgreesWithPublishedCiphertexts() throws {
    let file = try Vectors.load("wycheproof/rsa_pkcs1_2048_test.json")
    for group in file.testGroups {
      let key = try RSAKeyPair(wycheproof: group)
      #expect(try AKCipherKey(privateKeyInfo: group.privateKeyInfo) == key.privateKey)
      for test in group.tests {
        let message = try key.decrypt(test.ciphertextBytes)
        #expect(try message == (test.result == "valid" ? test.messageBytes : nil), "\(test.tcId)")
      }
    }
  }

  @Test func textbookRSAAgreesWithPublishedSignatures() throws {
    let file = try Vectors.load("wycheproof/rsa_signature_2048_sha256_test.json")
    var key = RSAKeyPair.generated(bitCount: 512)
    for group in file.testGroups {
      let numbers = try #require(group.publicKey)
      key.modulus = BigNumber(bytes: try #require([UInt8](hexadecimal: numbers.modulus ?? "")))
      key.publicExponent = BigNumber(
        bytes: try #require([UInt8](hexadecimal: numbers.publicExponent ?? "")))
      #expect(try AKCipherKey(subjectPublicKeyInfo: group.publicKeyInfo) == key.publicKey)
      for test in group.tests {
        let digest = try #require(
          ReferenceCrypto.hash(.sha256, test.messageBytes, byteCount: 32))
        // "acceptable": the NULL of the hash's parameters left out, which RFC 8017 lets a verifier refuse.
        let isGood = try key.verify(test.signatureBytes, of: digest, .sha256)
        #expect(isGood == (test.result == "valid"), "\(test.tcId)")
      }
    }
  }
}

extension RSAKeyPair {
  /// The numbers that a vector file writes beside its encodings.
  init(wycheproof group: VectorFile.Group) throws {
    let numbers = try #require(group.privateKey)
    func number(_ text: String?) throws -> BigNumber {
      BigNumber(bytes: try #require([UInt8](hexadecimal: text ?? "")))
    }
    self = .generated(bitCount: 512)
    modulus = try number(numbers.modulus)
    publicExponent = try number(numbers.publicExponent)
    privateExponent = try number(numbers.privateExponent)
    prime1 = try number(numbers.prime1)
    prime2 = try number(numbers.prime2)
    exponent1 = try number(numbers.exponent1)
    exponent2 = try number(numbers.exponent2)
    coefficient = try number(numbers.coefficient)
  }
}
