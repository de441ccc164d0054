import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Wrong lengths, wrong places for the result and wrong numbers: a status each, and the device goes on.
extension DeviceTests {
  @Suite("ASYM refusals")
  struct ASYMHostileTests {
    typealias Padding = VirtioCryptoASYM.Padding
    static let message = ASYMOperationTests.message
    static let rsa = RSAKeyPair.generated(bitCount: 1024)
    static let curve = ECCurve("prime256v1")

    /// One good request of each kind, all quickly done.
    static func requests() throws -> [(String, DataRequest)] {
      let curve = try #require(curve)
      let group = curve.parameters
      let d = [UInt8](repeating: 3, count: 32)
      let point = try #require(curve.combine(d))
      let prime = try #require(BigNumber.groupPrimes(bitCount: 2048).last).bytes
      let dsa = try wycheproofDSA()
      let (n, e) = (rsa.modulus.bytes, rsa.publicExponent.bytes)
      let widths = (32, 32, 32)
      return [
        ("ecdsa sign", ASYMRequest.ecdsaSign(group, d: d, message, .sha256, widths: (32, 32))),
        (
          "ecdsa verify",
          ASYMRequest.ecdsaVerify(
            group, x: point.x, y: point.y, r: d, s: d, message, .sha256)
        ),
        ("ec key", ASYMRequest.ecKey(group, widths: widths)),
        ("ecdh key", ASYMRequest.ecdhKey(group, widths: widths)),
        (
          "ecdh secret",
          ASYMRequest.ecdhSecret(group, d: d, x: point.x, y: point.y, secretByteCount: 32)
        ),
        ("dsa sign", ASYMRequest.dsaSign(dsa.group, x: d, message, .sha1, widths: (32, 32))),
        (
          "dsa verify",
          ASYMRequest.dsaVerify(dsa.group, y: dsa.y, r: d, s: d, message, .sha1)
        ),
        ("dh parameters", ASYMRequest.dhParameters(modulusByteCount: 256)),
        ("dh key", ASYMRequest.dhKey(p: prime, g: [2])),
        (
          "dh secret",
          ASYMRequest.dhSecret(p: prime, g: [2], x: d, y: [9], secretByteCount: 256)
        ),
        (
          "rsa sign",
          ASYMRequest.rsaSign(
            rsa.asymKeys[1], message, .sha256, padding: Padding.pkcs1, signatureByteCount: 128)
        ),
        (
          "rsa verify",
          ASYMRequest.rsaVerify(
            n: n, e: e, signature: [UInt8](repeating: 1, count: 128), message, .sha256,
            padding: Padding.pkcs1)
        ),
        ("rsa encrypt", ASYMRequest.rsaEncrypt(n: n, e: e, message, padding: Padding.pkcs1)),
        (
          "rsa decrypt",
          ASYMRequest.rsaDecrypt(
            rsa.asymKeys[0], [UInt8](repeating: 1, count: 128), padding: Padding.none)
        ),
        ("rsa key", ASYMRequest.rsaKey(modulusByteCount: 64, representation: 1)),
      ]
    }

    static func wycheproofDSA() throws -> (group: ASYMRequest.DSAGroup, y: [UInt8]) {
      let file = try Vectors.load("wycheproof/dsa_2048_256_sha256_test.json")
      let key = try #require(file.testGroups.first?.publicKey)
      func bytes(_ text: String?) throws -> [UInt8] {
        let text = try #require(text)
        return try #require([UInt8](hexadecimal: text.count % 2 == 0 ? text : "0" + text))
      }
      return (
        ASYMRequest.DSAGroup(p: try bytes(key.p), q: try bytes(key.q), g: try bytes(key.g)),
        try bytes(key.y)
      )
    }

    /// Every word of every request, in turn, as other lengths and numbers: an answer with a status each time, and nothing
    /// written behind the place for the result.
    @Test func anyWordMayBeAnything() throws {
      let bench = try ASYMBench(["max-operation-ms: 200"])
      for (name, request) in try Self.requests() {
        for offset in stride(from: 4, to: request.fixed.count, by: 4)
        where !(8..<24).contains(offset) {
          for value in [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 1 << 20, 0xffff_ff90]
            as [UInt32]
          {
            var spoilt = request
            spoilt.fixed.set32(value, at: offset)
            let answer = ASYMAnswer(try bench.client.perform(spoilt))
            #expect(answer.status <= 3, "\(name), \(value) at \(offset)")
            #expect(answer.lastByte?.rawValue ?? 9 <= 3, "\(name), \(value) at \(offset)")
          }
        }
      }
      try bench.finish()
    }

    /// A request that ends early, and one whose result has too little room, are `ERR`.
    ///
    /// With fewer than eight writable bytes only the last byte says so. Without a byte to spare, the result is whole.
    @Test func roomAndEnds() throws {
      let bench = try ASYMBench()
      for (name, request) in try Self.requests() {
        let answer = try bench.ask(request, hasLastByte: false)
        #expect(answer.status == 0, "\(name)")
        let isFixed = name != "rsa decrypt" && !name.hasSuffix("verify")
        if isFixed {
          #expect(answer.result.count == request.destinationByteCount - 8, "\(name)")
          var tight = request
          tight.destinationByteCount -= 2
          try bench.expectRefusal(tight, .err, "\(name), two bytes less")
        }
        for count in [8, 5, 1, 0] {
          var tight = request
          tight.destinationByteCount = count
          let answer = try bench.client.perform(tight)
          guard !name.hasSuffix("verify") || count < 8 else { continue }
          let expected: VirtioCryptoStatus = count == 7 ? .ok : .err
          #expect(answer.status == expected, "\(name) with \(count) bytes")
          #expect(answer.usedByteCount == (count >= 7 ? 9 : 1), "\(name) with \(count) bytes")
        }
        var short = request
        if short.fields[0].bytes.isEmpty {
          short.fixed.bytes.removeLast(4)
        } else {
          short.fields[0].bytes.removeLast()
        }
        try bench.expectRefusal(short, .err, "\(name), cut short")
      }
      try bench.finish()
    }

    /// However header, words, bytes and result lie in guest memory.
    @Test func scatteredRequestsWork() throws {
      let bench = try ASYMBench()
      for (name, request) in try Self.requests() {
        for seed in 1...5 as ClosedRange<UInt64> {
          var plan = RequestPlan()
          plan.front = .shredded(seed: seed, maximum: 30)
          plan.destination = .random(seed: seed, maximum: 9)
          plan.hasZeroLengthDescriptors = seed % 2 == 0
          #expect(try bench.ask(request, plan: plan).status == 0, "\(name), \(seed)")
        }
      }
      try bench.finish()
    }

    /// What would take too long is refused at once, and what turns out to is given up.
    @Test func nothingTakesLongerThanItMay() throws {
      let bench = try ASYMBench(["max-operation-ms: 100"])
      let clock = ContinuousClock()
      let long = try #require(RSAKeyPair.ofKnownPrimes(bitCount: 16384))
      let p = [UInt8](repeating: 0xff, count: 1250)
      let requests: [(String, DataRequest)] = [
        (
          "RSA of 16384 bits",
          ASYMRequest.rsaDecrypt(
            long.asymKeys[1], [UInt8](repeating: 1, count: 2048), padding: Padding.none)
        ),
        (
          "RSA of 16384 bits, n and d",
          ASYMRequest.rsaDecrypt(
            long.asymKeys[0], [UInt8](repeating: 1, count: 2048), padding: Padding.none)
        ),
        ("an RSA key of 16384 bits", ASYMRequest.rsaKey(modulusByteCount: 2048, representation: 0)),
        ("a DSA key of 8192 bits", ASYMRequest.dsaKey(modulusByteCount: 1024)),
        ("DH parameters of 4104 bits", ASYMRequest.dhParameters(modulusByteCount: 513)),
        ("a DH key of 10000 bits", ASYMRequest.dhKey(p: p, g: [2])),
      ]
      for (name, request) in requests {
        let start = clock.now
        try bench.expectRefusal(request, .notsupp, name)
        #expect(start.duration(to: clock.now) < .seconds(2), "\(name)")
      }
      // Begun, as it may be done in time: a key of 2048 bits takes 50 ms or many times that. Slow hosts refuse that one at
      // once, too, and have time for one of 1024 bits only.
      for byteCount in [256, 128] {
        for _ in 0..<8 {
          let start = clock.now
          let answer = try bench.ask(
            ASYMRequest.rsaKey(modulusByteCount: byteCount, representation: 0))
          let isRefused =
            byteCount == 256 && answer.status == UInt32(VirtioCryptoStatus.notsupp.rawValue)
          #expect(
            answer.status == 0 || (answer.status == 1 && answer.result.isEmpty) || isRefused,
            "\(byteCount): \(answer.status)")
          #expect(start.duration(to: clock.now) < .seconds(3))
        }
      }
      try bench.finish()
    }
  }
}
