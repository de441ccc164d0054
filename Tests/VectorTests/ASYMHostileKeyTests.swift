import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Keys and parameters that no honest guest has.
extension DeviceTests {
  @Suite("ASYM hostile keys")
  struct ASYMHostileKeyTests {
    typealias Padding = VirtioCryptoASYM.Padding
    static let message = ASYMOperationTests.message

    @Test func hostileRSAKeysAreRefused() throws {
      let bench = try ASYMBench()
      let key = ASYMHostileTests.rsa
      let (n, e) = (key.modulus, key.publicExponent.bytes)
      let one = BigNumber(1)
      let publicKeys: [(String, [UInt8], [UInt8], VirtioCryptoStatus)] = [
        ("no modulus", [], e, .err), ("an even modulus", (n - one).bytes, e, .err),
        ("exponent 0", n.bytes, [0], .err), ("exponent 1", n.bytes, [1], .err),
        ("an even exponent", n.bytes, [1, 0, 0], .err),
        ("an exponent of the modulus's size", n.bytes, n.bytes, .err),
        ("a short modulus", [UInt8](repeating: 0xff, count: 63), e, .notsupp),
        ("a long modulus", [UInt8](repeating: 0xff, count: 2049), e, .notsupp),
        (
          "a long exponent with a long modulus", [UInt8](repeating: 0xff, count: 2048),
          [UInt8](repeating: 0xff, count: 2000), .notsupp
        ),
        ("a part longer than any", [UInt8](repeating: 0xff, count: 5000), e, .err),
      ]
      for (name, n, e, status) in publicKeys {
        try bench.expectRefusal(
          ASYMRequest.rsaEncrypt(n: n, e: e, Self.message, padding: Padding.pkcs1), status, name)
      }
      let (p, q) = (key.prime1.bytes, key.prime2.bytes)
      let (dp, dq, qinv) = (key.exponent1.bytes, key.exponent2.bytes, key.coefficient.bytes)
      let privateKeys: [(String, ASYMRequest.RSAPrivateKey, VirtioCryptoStatus)] = [
        ("d 0", .exponents(n: n.bytes, d: []), .notsupp),
        ("another d", .exponents(n: n.bytes, d: (key.privateExponent - one).bytes), .notsupp),
        ("d of n's size", .exponents(n: n.bytes, d: n.bytes), .err),
        ("p 0", .primes([0], q, dp, dq, qinv), .err), ("p 1", .primes([1], q, dp, dq, qinv), .err),
        ("an even p", .primes((key.prime1 - one).bytes, q, dp, dq, qinv), .err),
        ("equal primes", .primes(p, p, dp, dp, qinv), .err),
        ("dp 0", .primes(p, q, [], dq, qinv), .err),
        ("another dp", .primes(p, q, (key.exponent1 - one).bytes, dq, qinv), .err),
        ("another dq", .primes(p, q, dp, dp, qinv), .err),
        ("another coefficient", .primes(p, q, dp, dq, [3]), .err),
        (
          "a further prime of 0", .primes(p, q, dp, dq, qinv, further: [[[0], [0], [0]]]), .err
        ),
      ]
      for (name, key, status) in privateKeys {
        try bench.expectRefusal(
          ASYMRequest.rsaSign(
            key, Self.message, .sha256, padding: Padding.pkcs1, signatureByteCount: 128), status,
          name)
      }
      // What is no number below the modulus.
      try bench.expectRefusal(
        ASYMRequest.rsaEncrypt(n: n.bytes, e: e, n.bytes, padding: Padding.none), .err, "n")
      try bench.finish()
    }

    @Test func hostileECKeysAreRefused() throws {
      let bench = try ASYMBench()
      let curve = try #require(ASYMHostileTests.curve)
      let group = curve.parameters
      let d: [UInt8] = [5]
      let point = try #require(curve.combine(d))
      var others: [(String, ECParameters)] = []
      for (name, change) in [
        ("another a", { $0.a = [1] }), ("another field", { $0.field = [7] }),
        ("another generator", { ($0.generatorX, $0.generatorY) = (point.x, point.y) }),
        ("another order", { $0.order = $0.field }), ("a binary field", { $0.isBinary = true }),
        ("a cofactor", { $0.cofactor = [2] }), ("nothing", { $0.b = [] }),
      ] as [(String, (inout ECParameters) -> Void)] {
        var parameters = group
        change(&parameters)
        others.append((name, parameters))
      }
      for (name, parameters) in others {
        try bench.expectRefusal(
          ASYMRequest.ecKey(parameters, widths: (32, 32, 32)), .notsupp, name)
      }
      let order = BigNumber(bytes: group.order)
      for (name, scalar) in [
        ("0", []), ("the order", group.order), ("more", (order + BigNumber(1)).bytes),
        ("a long one", [UInt8](repeating: 0xff, count: 6000)),
      ] {
        try bench.expectRefusal(
          ASYMRequest.ecdsaSign(group, d: scalar, Self.message, .sha256, widths: (32, 32)), .err,
          name)
        try bench.expectRefusal(
          ASYMRequest.ecdhSecret(
            group, d: scalar, x: point.x, y: point.y, secretByteCount: 32), .err, name)
      }
      let field = BigNumber(bytes: group.field)
      for (name, x, y) in [
        ("zeros", [0], [0]), ("nothing", [], []), ("no y", point.x, []),
        ("beside the curve", point.x, point.y.changed(at: 31)),
        ("x beyond the field", (BigNumber(bytes: point.x) + field).bytes, point.y),
      ] as [(String, [UInt8], [UInt8])] {
        try bench.expectRefusal(
          ASYMRequest.ecdhSecret(group, d: d, x: x, y: y, secretByteCount: 32), .err, name)
        let verification = ASYMRequest.ecdsaVerify(
          group, x: x, y: y, r: [1], s: [1], Self.message, .sha256)
        #expect(try bench.verdict(verification) == nil, "\(name)")
      }
      // r or s of 0, of the order or beyond are signatures, and wrong.
      for (r, s) in [
        ([], [1]), ([1], [0]), (group.order, [1]), ([1], group.order),
        ([UInt8](repeating: 0xff, count: 5000), [1]),
      ] as [([UInt8], [UInt8])] {
        let verification = ASYMRequest.ecdsaVerify(
          group, x: point.x, y: point.y, r: r, s: s, Self.message, .sha256)
        #expect(try bench.verdict(verification) == false)
      }
      // A result that does not fit.
      try bench.expectRefusal(
        ASYMRequest.ecdhSecret(group, d: d, x: point.x, y: point.y, secretByteCount: 20), .err,
        "a short secret")
      try bench.finish()
    }

    /// A point of the curve that is not in the subgroup of the generator: order 2 on a binary curve.
    @Test func pointsOfSmallOrderAreRefused() throws {
      let bench = try ASYMBench()
      let curve = try #require(ECCurve("sect163k1"))
      // x = 0, y = √b: b is 1.
      try bench.expectRefusal(
        ASYMRequest.ecdhSecret(curve.parameters, d: [5], x: [0], y: [1], secretByteCount: 21),
        .err, "order 2")
      try bench.finish()
    }

    @Test func hostileDSAKeysAreRefused() throws {
      let bench = try ASYMBench()
      let (group, y) = try ASYMHostileTests.wycheproofDSA()
      let one = BigNumber(1)
      let (p, q) = (BigNumber(bytes: group.p), BigNumber(bytes: group.q))
      for (name, change, status) in [
        ("no p", { $0.p = [] }, .err), ("an even p", { $0.p = (p - one).bytes }, .err),
        ("a short p", { $0.p = [0x7f] }, .notsupp),
        ("a long p", { $0.p = [UInt8](repeating: 0xff, count: 1300) }, .notsupp),
        ("q 0", { $0.q = [] }, .notsupp), ("q of another size", { $0.q = [11] }, .notsupp),
        ("q that does not divide", { $0.q = (q + BigNumber(2)).bytes }, .err),
        ("g 0", { $0.g = [] }, .err), ("g 1", { $0.g = [1] }, .err),
        ("g p - 1", { $0.g = (p - one).bytes }, .err), ("g p", { $0.g = $0.p }, .err),
      ] as [(String, (inout ASYMRequest.DSAGroup) -> Void, VirtioCryptoStatus)] {
        var changed = group
        change(&changed)
        try bench.expectRefusal(
          ASYMRequest.dsaSign(changed, x: [5], Self.message, .sha256, widths: (32, 32)), status,
          name)
        let verification = ASYMRequest.dsaVerify(
          changed, y: y, r: [1], s: [1], Self.message, .sha256)
        #expect(try bench.verdict(verification) == nil, "\(name)")
      }
      for x in [[], group.q] {
        try bench.expectRefusal(
          ASYMRequest.dsaSign(group, x: x, Self.message, .sha256, widths: (32, 32)), .err, "x")
      }
      for y in [[], [1], (p - one).bytes, group.p] as [[UInt8]] {
        let verification = ASYMRequest.dsaVerify(
          group, y: y, r: [1], s: [1], Self.message, .sha256)
        #expect(try bench.verdict(verification) == nil)
      }
      for modulus in [0, 64, 127, 1251, 0x7fff_ffff] {
        let request = ASYMRequest.dsaKey(modulusByteCount: min(modulus, 4000))
        var spoilt = request
        spoilt.fixed.set32(UInt32(modulus), at: 24)
        try bench.expectRefusal(spoilt, modulus < 5000 ? .notsupp : .err, "\(modulus)")
      }
      try bench.finish()
    }

    @Test func hostileDHKeysAreRefused() throws {
      let bench = try ASYMBench()
      let prime = try #require(BigNumber.groupPrimes(bitCount: 2048).last)
      let one = BigNumber(1)
      for (name, p, g, status) in [
        ("no p", [], [2], .err), ("an even p", (prime - one).bytes, [2], .err),
        ("a short p", [0x7f], [2], .notsupp),
        ("a long p", [UInt8](repeating: 0xff, count: 1251), [2], .notsupp),
        ("g 0", prime.bytes, [], .err), ("g 1", prime.bytes, [1], .err),
        ("g p - 1", prime.bytes, (prime - one).bytes, .err),
        ("g p", prime.bytes, prime.bytes, .err),
      ] as [(String, [UInt8], [UInt8], VirtioCryptoStatus)] {
        try bench.expectRefusal(ASYMRequest.dhKey(p: p, g: g), status, name)
        try bench.expectRefusal(
          ASYMRequest.dhSecret(p: p, g: g, x: [5], y: [9], secretByteCount: 256), status, name)
      }
      for (name, x, y) in [
        ("x 0", [], [9]), ("x p", prime.bytes, [9]), ("y 0", [5], []), ("y 1", [5], [1]),
        ("y p - 1", [5], (prime - one).bytes), ("y p", [5], prime.bytes),
      ] as [(String, [UInt8], [UInt8])] {
        try bench.expectRefusal(
          ASYMRequest.dhSecret(p: prime.bytes, g: [2], x: x, y: y, secretByteCount: 256), .err,
          name)
      }
      try bench.finish()
    }
  }
}
