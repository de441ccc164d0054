import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// When the private parts of ASYM requests leave the daemon's memory: those that a guest sends, and those that it gets.
extension KeyTests {
  @Suite("Keys in parts and the daemon's memory")
  struct ASYMKeyTests {
    /// What nobody may have when its request is answered.
    private struct Secret {
      var name: String
      var bytes: [UInt8]

      /// A piece from the middle: as it is sent, and as libcrypto holds it, lowest byte first.
      var needles: [[UInt8]] {
        let start = bytes.count / 4
        let piece = Array(bytes[start..<min(start + 20, bytes.count)])
        return [piece, piece.reversed()]
      }
    }

    private static let message = [UInt8](repeating: 0x22, count: 40)

    /// Sends a request that has to work, and looks for what it brought and what its result has of secrets.
    private func check(
      _ name: String, _ request: DataRequest, _ secrets: [(String, [UInt8])],
      made: (ASYMAnswer) -> [(String, [UInt8])] = { _ in [] }, _ client: CryptoClient,
      _ daemon: DaemonProcess
    ) throws {
      let answer = ASYMAnswer(try client.perform(request))
      try #require(answer.status == 0, "\(name): \(answer.status)")
      let all = (secrets + made(answer)).map { Secret(name: $0.0, bytes: $0.1) }
      #expect(!all.isEmpty)
      let needles = all.flatMap { secret in secret.needles.map { (secret.name, $0) } }
      let memory = ProcessMemory(pid: daemon.pid)
      let end = ContinuousClock.now + .milliseconds(1000)
      var hits = try memory.search(needles.map(\.1))
      while !hits.isEmpty && ContinuousClock.now < end {
        hits = try memory.search(needles.map(\.1))
      }
      let texts = hits.prefix(8).map { hit in
        let thread = memory.thread(onStack: hit.mapping).map { ", the stack of \($0)" }
        return "\(needles[hit.needle].0) at \(hit)\(thread ?? "")"
      }
      let isClean = hits.isEmpty
      #expect(isClean, "\(name): \(hits.count) parts:\n\(texts.joined(separator: "\n"))")
    }

    @Test func keysInPartsLeaveMemoryWithTheirRequests() throws {
      let daemon = try DaemonProcess(
        configuration: "version: 1\ndevice: { dialect: rfc-asym-v3, max-operation-ms: 60000 }\n")
      let client = try CryptoClient.start(
        path: daemon.socketPath, options: Frontend.Options(format: .rfcAsymV3))
      // A key that has to be there is found: the search works.
      let kept = Secret(name: "a session's key", bytes: BigNumber.random(bitCount: 256).bytes)
      let session = try client.openSession(.cipher(.aesCBC, .encrypt, key: kept.bytes))
      #expect(try !ProcessMemory(pid: daemon.pid).search(kept.needles).isEmpty)
      #expect(try client.destroySession(session, service: .cipher) == .ok)
      func check(
        _ name: String, _ request: DataRequest, _ secrets: [(String, [UInt8])],
        made: (ASYMAnswer) -> [(String, [UInt8])] = { _ in [] }
      ) throws {
        try self.check(name, request, secrets, made: made, client, daemon)
      }
      let rsa = RSAKeyPair.generated(bitCount: 2048)
      let primes = [
        ("p", rsa.prime1), ("q", rsa.prime2), ("dp", rsa.exponent1), ("dq", rsa.exponent2),
        ("qinv", rsa.coefficient), ("d", rsa.privateExponent),
      ].map { ($0.0, $0.1.bytes) }
      let keys: [ASYMRequest.RSAPrivateKey] = [
        .exponents(n: rsa.modulus.bytes, d: rsa.privateExponent.bytes),
        .primes(
          rsa.prime1.bytes, rsa.prime2.bytes, rsa.exponent1.bytes, rsa.exponent2.bytes,
          rsa.coefficient.bytes),
      ]
      for (index, key) in keys.enumerated() {
        for padding in [VirtioCryptoASYM.Padding.pkcs1, VirtioCryptoASYM.Padding.pss] {
          try check(
            "RSA signature \(index) \(padding)",
            ASYMRequest.rsaSign(
              key, Self.message, .sha256, padding: padding, signatureByteCount: 256), primes)
        }
        let plaintext = (1...256).map { UInt8(truncatingIfNeeded: $0 &* 37 ^ $0 >> 3) & 0x7f }
        let ciphertext = try #require(rsa.rawPublic(plaintext))
        try check(
          "RSA decryption \(index)",
          ASYMRequest.rsaDecrypt(key, ciphertext, padding: VirtioCryptoASYM.Padding.none),
          primes + [("text", plaintext)])
      }
      for representation in [0, 1] {
        let lengths = ASYMRequest.rsaKeyLengths(
          modulusByteCount: 256, primeCount: 2, representation: representation,
          exponentByteCount: 3)
        try check(
          "RSA key \(representation)",
          ASYMRequest.rsaKey(modulusByteCount: 256, representation: representation), []
        ) { answer in
          let parts = answer.parts([48] + lengths) ?? []
          return parts.count < 4
            ? [] : representation == 0 ? [("d", parts[2])] : parts[1..<6].map { ("a part", $0) }
        }
      }
      let curve = try #require(ECCurve("secp521r1"))
      let d = BigNumber.random(bitCount: 500).bytes
      let point = try #require(curve.combine([7]))
      let secret = try #require(curve.combine([], d, x: point.x, y: point.y))
      try check(
        "ECDSA signature",
        ASYMRequest.ecdsaSign(curve.parameters, d: d, Self.message, .sha256, widths: (66, 66)),
        [("d", d)])
      try check(
        "ECDH",
        ASYMRequest.ecdhSecret(
          curve.parameters, d: d, x: point.x, y: point.y, secretByteCount: 66),
        [("d", d), ("the secret", secret.x)])
      try check("EC key", ASYMRequest.ecKey(curve.parameters, widths: (66, 66, 66)), []) {
        [("d", Array($0.result.prefix(66)))]
      }
      let prime = try #require(BigNumber.groupPrimes(bitCount: 2048).first)
      let x = BigNumber.random(bitCount: 2040)
      let y = BigNumber(2).power(BigNumber.random(bitCount: 300), modulo: prime)
      try check(
        "DH",
        ASYMRequest.dhSecret(
          p: prime.bytes, g: [2], x: x.bytes, y: y.bytes, secretByteCount: 256),
        [("x", x.bytes), ("the secret", y.power(x, modulo: prime).bytes)])
      try check("DH key", ASYMRequest.dhKey(p: prime.bytes, g: [2]), []) {
        [("x", Array($0.result.dropFirst(8).prefix(256)))]
      }
      let made = ASYMAnswer(try client.perform(ASYMRequest.dsaKey(modulusByteCount: 128)))
      let parts = try #require(made.parts([24, 128, 20, 128, 20, 128]))
      try check("DSA key", ASYMRequest.dsaKey(modulusByteCount: 128), []) {
        [("x", $0.parts([24, 128, 20, 128, 20, 128])?[4] ?? [])]
      }
      try check(
        "DSA signature",
        ASYMRequest.dsaSign(
          .init(p: parts[1], q: parts[2], g: parts[3]), x: parts[4], Self.message, .sha1,
          widths: (20, 20)), [("x", parts[4])])
      client.frontend.disconnect()
      #expect(try daemon.terminate() == .status(0), "\(daemon.standardError.suffix(500))")
    }
  }
}
