import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// DSA, ECDSA, DH and ECDH: what the device signs, generates and computes, against the textbook on this side.
extension DeviceTests {
  @Suite("ASYM key exchange and signatures")
  struct ASYMExchangeTests {
    static let message = ASYMOperationTests.message
    /// All but SM2's, which has signatures of its own, and Oakley's, whose orders are no primes.
    static let curves = ECCurve.names.filter {
      $0 != "SM2" && $0 != "Oakley-EC2N-3" && $0 != "Oakley-EC2N-4"
    }

    // MARK: DSA

    /// Parameters and key from the device; its signatures by FIPS 186-4 §4.6 and §4.7.
    @Test func dsaKeysAreGeneratedAndSign() throws {
      let bench = try ASYMBench(["max-operation-ms: 60000"])
      for (modulus, order) in [(128, 20), (256, 32)] {
        let answer = try bench.ask(ASYMRequest.dsaKey(modulusByteCount: modulus))
        let parts = try #require(
          answer.parts([24, modulus, order, modulus, order, modulus]), "\(answer.status)")
        #expect((0..<6).map(answer.word) == [modulus, order, modulus, 0, order, modulus])
        let group = ASYMRequest.DSAGroup(p: parts[1], q: parts[2], g: parts[3])
        let (p, q, g) = (
          BigNumber(bytes: group.p), BigNumber(bytes: group.q), BigNumber(bytes: group.g)
        )
        let (x, y) = (BigNumber(bytes: parts[4]), BigNumber(bytes: parts[5]))
        let one = BigNumber(1)
        #expect(p.bitCount == modulus * 8 && q.bitCount == order * 8)
        #expect((p - one) % q == BigNumber(0) && g.power(q, modulo: p) == one && g > one)
        #expect(g.power(x, modulo: p) == y && x < q)
        // Wider than needed: padded with zeros. A k of the guest's changes nothing.
        let request = ASYMRequest.dsaSign(
          group, x: parts[4], Self.message, .sha256, k: [7], widths: (order + 3, order))
        let signature = try #require(try bench.ask(request).parts([order + 3, order]))
        #expect(signature[0].prefix(3) == [0, 0, 0])
        let (r, s) = (BigNumber(bytes: signature[0]), BigNumber(bytes: signature[1]))
        let w = try #require(s.inverse(modulo: q))
        let h = BigNumber.leading(order * 8, of: try hashed(Self.message, .sha256))
        let v = g.power(h * w % q, modulo: p) * y.power(r * w % q, modulo: p) % p % q
        #expect(v == r && r != g.power(BigNumber(7), modulo: p) % q)
        for (text, isRight) in [(Self.message, true), (Self.message.changed(at: 0), false)] {
          let check = ASYMRequest.dsaVerify(
            group, y: parts[5], r: signature[0], s: signature[1], text, .sha256)
          #expect(try bench.verdict(check) == isRight)
        }
      }
      try bench.finish()
    }

    // MARK: EC

    /// On every curve: two keys, the same secret from both sides, a signature that the textbook accepts.
    @Test func everyNamedCurveWorks() throws {
      #expect(Self.curves.count > 70)
      let bench = try ASYMBench()
      for name in Self.curves {
        let curve = try #require(ECCurve(name))
        let width = max(curve.fieldByteCount, curve.orderByteCount)
        var group = curve.parameters
        // Zeros in front change no number, and the cofactor may be left out.
        group.a = [0, 0] + group.a
        if name.hasSuffix("1") { group.cofactor = [] }
        var keys: [[[UInt8]]] = []
        for request in [
          ASYMRequest.ecKey(group, widths: (width, width, width)),
          ASYMRequest.ecKey(
            group, widths: (width, width, width), algorithm: VirtioCryptoASYM.Algorithm.ecdh),
          ASYMRequest.ecdhKey(group, widths: (width, width, width)),
        ] {
          let parts = try #require(try bench.ask(request).parts([width, width, width]), "\(name)")
          let point = try #require(curve.combine(parts[0]), "\(name)")
          #expect(BigNumber(bytes: point.x) == BigNumber(bytes: parts[1]), "\(name)")
          #expect(BigNumber(bytes: point.y) == BigNumber(bytes: parts[2]), "\(name)")
          keys.append(parts)
        }
        for (own, peer) in [(keys[0], keys[2]), (keys[2], keys[0])] {
          let secret = try bench.result(
            ASYMRequest.ecdhSecret(
              group, d: own[0], x: peer[1], y: peer[2], secretByteCount: width), name)
          let shared = try #require(curve.combine([], own[0], x: peer[1], y: peer[2]))
          #expect(BigNumber(bytes: secret) == BigNumber(bytes: shared.x), "\(name)")
        }
        let signing = ASYMRequest.ecdsaSign(
          group, d: keys[0][0], Self.message, .sha256, k: [1, 2], widths: (width, width))
        let pair = try #require(try bench.ask(signing).parts([width, width]), "\(name)")
        #expect(
          curve.verify(
            r: pair[0], s: pair[1], digest: try hashed(Self.message, .sha256), x: keys[0][1],
            y: keys[0][2]), "\(name)")
        for (text, isRight) in [(Self.message, true), (Self.message.changed(at: 1), false)] {
          let check = ASYMRequest.ecdsaVerify(
            group, x: keys[0][1], y: keys[0][2], r: pair[0], s: pair[1], text, .sha256)
          #expect(try bench.verdict(check) == isRight, "\(name)")
        }
      }
      try bench.finish()
    }

    // MARK: DH

    /// The host's key and the device's agree, under generated and under well-known parameters.
    @Test func diffieHellmanAgrees() throws {
      let bench = try ASYMBench(["max-operation-ms: 60000"])
      for modulus in [64, 96, 256, 384] {
        let answer = try bench.ask(ASYMRequest.dhParameters(modulusByteCount: modulus))
        let parts = try #require(answer.parts([16, modulus, 1]), "\(answer.status)")
        #expect((0..<4).map(answer.word) == [modulus, 0, modulus, 1])
        let (p, g) = (BigNumber(bytes: parts[1]), BigNumber(bytes: parts[2]))
        let one = BigNumber(1)
        let half = (p - one) / BigNumber(2)
        // A safe prime, by Fermat's test, and a generator of the group or of its half.
        #expect(p.bitCount == modulus * 8 && BigNumber(3).power(half, modulo: half) == BigNumber(3))
        #expect(BigNumber(3).power(p, modulo: p) == BigNumber(3))
        #expect(g.power(p - one, modulo: p) == one && g > one)
        let made = try bench.ask(ASYMRequest.dhKey(p: parts[1], g: parts[2]))
        let key = try #require(made.parts([8, modulus, modulus]))
        #expect(made.word(0) == modulus && made.word(1) == modulus)
        #expect(g.power(BigNumber(bytes: key[1]), modulo: p) == BigNumber(bytes: key[2]))
        let own = BigNumber.random(bitCount: modulus * 8 - 2)
        let ownPublic = g.power(own, modulo: p)
        let expected = BigNumber(bytes: key[2]).power(own, modulo: p)
        let secret = try bench.result(
          ASYMRequest.dhSecret(
            p: parts[1], g: parts[2], x: key[1], y: ownPublic.bytes,
            secretByteCount: modulus + 2))
        #expect(secret == expected.bytes(count: modulus + 2))
        // As the guest's own key, too.
        let other = try bench.result(
          ASYMRequest.dhSecret(
            p: parts[1], g: parts[2], x: own.bytes, y: key[2], secretByteCount: modulus))
        #expect(other == expected.bytes(count: modulus))
      }
      try bench.finish()
    }
  }
}
