import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Keys and signatures on curves that a guest would send to do harm.
extension AsymmetricTests {
  @Suite("Hostile keys on curves")
  struct HostileCurveKeyTests {
    static let digest = [UInt8](repeating: 0x42, count: 32)

    /// A session with the key is refused, whatever it is for.
    private func expectRefused(
      _ keys: [(String, AKCipherKey)], on curve: AKCipherCurve = .p256, _ bench: AsymmetricBench,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let signature = try #require(try Keys.on(curve).sign(Self.digest))
      for (name, key) in keys {
        let spec = AKCipherSpec.ecdsa(curve, key: key)
        try bench.expect(
          KeyTask(verify: signature, of: Self.digest, spec), refusedWith: .err, ofSession: true,
          comment: "\(curve): \(name)", sourceLocation: sourceLocation)
      }
      try bench.expectAllIsWell(sourceLocation: sourceLocation)
    }

    // MARK: Points

    @Test(arguments: AKCipherCurve.allCases)
    func pointsThatAreNotOnTheCurveAreRefused(curve: AKCipherCurve) throws {
      let bench = try AsymmetricBench()
      let point = try Keys.on(curve).point
      let count = curve.byteCount
      var moved = point
      moved[moved.count - 1] ^= 1
      let zero = [UInt8](repeating: 0, count: count)
      let most = [UInt8](repeating: 0xFF, count: count)
      try expectRefused(
        [
          ("y changed", .publicKey(moved)), ("the origin", .publicKey([4] + zero + zero)),
          ("x and y beyond the field", .publicKey([4] + most + most)),
          ("x beyond the field", .publicKey([4] + most + point.suffix(count))),
          ("infinity", .publicKey([0])), ("infinity, padded", .publicKey([0] + zero + zero)),
          ("swapped", .publicKey([4] + point.suffix(count) + point.dropFirst().prefix(count))),
        ], on: curve, bench)
      try bench.finish()
    }

    @Test func pointsOfTheWrongLengthAreRefused() throws {
      let bench = try AsymmetricBench()
      let point = try Keys.on(.p256).point
      var keys = (0..<point.count).map {
        ("\($0) bytes", AKCipherKey.publicKey(Array(point.prefix($0))))
      }
      keys += [
        ("a byte more", .publicKey(point + [0])), ("twice", .publicKey(point + point)),
        ("16384 bytes", .publicKey([UInt8](repeating: 4, count: 16384))),
        ("with the OCTET STRING's head", .publicKey(DER.octetString(point))),
      ]
      for tag: UInt8 in [1, 5, 0x44, 0x84, 0xFF] {
        keys.append(("form \(tag)", .publicKey([tag] + point.dropFirst())))
      }
      // The hybrid form that says the wrong thing of y.
      let wrong = 6 | ~(point.last ?? 0) & 1
      keys.append(("hybrid with the wrong y", .publicKey([wrong] + point.dropFirst())))
      try expectRefused(keys, bench)
      try bench.finish()
    }

    /// SEC 1 has other forms of a point, which may be taken or not; the y in them is the right one.
    @Test(arguments: AKCipherCurve.allCases)
    func otherFormsOfAPointAreTheSamePointOrRefused(curve: AKCipherCurve) throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(curve)
      let signature = try #require(key.sign(Self.digest))
      let sign = (key.point.last ?? 0) & 1
      for form in [key.compressedPoint, [6 | sign] + key.point.dropFirst()] {
        let spec = AKCipherSpec.ecdsa(curve, key: .publicKey(form))
        try bench.expect(
          KeyTask(verify: signature, of: Self.digest, spec), givesOrRefuses: [], "\(form[0])")
        // The point's mirror image is another key.
        let mirror = AKCipherSpec.ecdsa(curve, key: .publicKey([form[0] ^ 1] + form.dropFirst()))
        try bench.expect(
          KeyTask(verify: signature, of: Self.digest, mirror), refusedWith: .keyRejected, .err,
          .notsupp)
      }
      let none = [UInt8](repeating: 0xFF, count: curve.byteCount)
      try expectRefused([("compressed, no x", .publicKey([2] + none))], on: curve, bench)
      try bench.finish()
    }

    // MARK: Private keys

    @Test(arguments: AKCipherCurve.allCases, [ECKeyPair.Parts.none, .both])
    func scalarsOutOfRangeAreRefused(curve: AKCipherCurve, parts: ECKeyPair.Parts) throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(curve)
      let count = curve.byteCount
      let beyond = key.order + BigNumber(1)
      var scalars: [(String, [UInt8])] = [
        ("0", [UInt8](repeating: 0, count: count)), ("none", []),
        ("all ones", [UInt8](repeating: 0xFF, count: count)),
        ("4096 bytes", [UInt8](repeating: 0xFF, count: 4096)),
      ]
      scalars.append(("n", try #require(key.order.bytes(count: count))))
      scalars.append(("n + 1", try #require(beyond.bytes(count: count))))
      let keys = scalars.map {
        ($0.0, AKCipherKey.privateKey(key.privateBytes(parts, scalar: $0.1)))
      }
      let some = keys.filter { $0.1.bytes.count <= 1024 }
      try expectRefused(some, on: curve, bench)
      try bench.finish()
    }

    /// RFC 5915 has one length; another one that means the same number may be taken.
    @Test func scalarsOfAnotherLengthAreTheSameNumberOrRefused() throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(.p256)
      let short = key.scalar.bytes
      for scalar in [[0] + (key.scalar.bytes(count: 32) ?? []), short] {
        let spec = AKCipherSpec.ecdsa(
          .p256, key: .privateKey(key.privateBytes(.both, scalar: scalar)))
        for reply in try bench.replies(KeyTask(.sign, spec, Self.digest, room: 72)) {
          #expect(
            reply.status == .err
              || reply.status == .ok && key.verify(reply.result, of: Self.digest))
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func privateKeysWithAnotherPublicHalfDoNoHarm() throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(.p256)
      let other = try #require(ECKeyPair(generatedOn: .p256))
      let spec = AKCipherSpec.ecdsa(
        .p256, key: .privateKey(key.privateBytes(.both, point: other.point)))
      for reply in try bench.replies(KeyTask(.sign, spec, Self.digest, room: 72)) {
        #expect(
          reply.status == .err || reply.status == .ok && key.verify(reply.result, of: Self.digest))
      }
      var off = key.point
      off[40] ^= 1
      for point in [off, [0], [], [UInt8](repeating: 4, count: 65)] {
        let bytes = key.privateBytes(.both, point: point)
        let spec = AKCipherSpec.ecdsa(.p256, key: .privateKey(bytes))
        for reply in try bench.replies(KeyTask(.sign, spec, Self.digest, room: 72)) {
          #expect(
            reply.status == .err
              || reply.status == .ok && key.verify(reply.result, of: Self.digest))
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func truncatedAndLongerPrivateKeysAreRefused() throws {
      let bench = try AsymmetricBench()
      let bytes = try Keys.on(.p256).privateBytes()
      var keys = (0..<bytes.count).map {
        ("\($0) bytes", AKCipherKey.privateKey(Array(bytes.prefix($0))))
      }
      keys += [
        ("a byte more", .privateKey(bytes + [0])), ("twice", .privateKey(bytes + bytes)),
        (
          "a longer length", .privateKey([0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF] + bytes.dropFirst(2))
        ),
        ("sequences", .privateKey([UInt8](repeating: 0x30, count: 1024))),
      ]
      try expectRefused(keys, bench)
      try bench.finish()
    }

    /// A curve that the guest describes itself, with a generator for which it knows every discrete logarithm.
    @Test func curvesOfTheGuestsOwnAreRefused() throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(.p256)
      let field = try #require(
        [UInt8](
          hexadecimal: "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF"))
      let b = try #require(
        [UInt8](
          hexadecimal: "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B"))
      let primeField: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x01, 0x01]
      let a = (BigNumber(bytes: field) - BigNumber(3)).bytes
      let explicit = DER.sequence(
        DER.integer(1),
        DER.sequence(DER.identifier(primeField), DER.integer(BigNumber(bytes: field))),
        DER.sequence(DER.octetString(a), DER.octetString(b)), DER.octetString(key.point),
        DER.integer(key.order), DER.integer(1))
      let one = [UInt8](repeating: 0, count: 31) + [1]
      let keys = [explicit, DER.sequence(DER.integer(1)), DER.null].map { parameters in
        DER.sequence(
          DER.integer(1), DER.octetString(one), DER.tagged(0, parameters),
          DER.tagged(1, DER.bitString(key.point)))
      }
      try expectRefused(keys.map { ("explicit", .privateKey($0)) }, bench)
      try bench.finish()
    }

    // MARK: Signatures

    @Test(arguments: AKCipherCurve.allCases)
    func signaturesOutOfRangeAreRejected(curve: AKCipherCurve) throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(curve)
      let n = key.order
      let (zero, one) = (BigNumber(0), BigNumber(1))
      let huge = BigNumber.powerOfTwo(4000)
      var signatures: [[UInt8]] = []
      for bad in [zero, n, n + one, n + n, huge] {
        signatures += [
          ECKeyPair.signature(bad, one), ECKeyPair.signature(one, bad),
          ECKeyPair.signature(bad, bad),
        ]
      }
      signatures += [
        ECKeyPair.signature(one, one), ECKeyPair.signature(n - one, n - one), [], [0], [0x30, 0],
        [0x30, 0x80, 0, 0], [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], DER.sequence([2, 0], [2, 0]),
        DER.sequence([2, 1, 0xFF], [2, 1, 0xFF]), DER.sequence([2, 0x84, 0xFF, 0xFF, 0xFF, 0xF0]),
        [UInt8](repeating: 0x30, count: 5000), [UInt8](repeating: 0, count: 2 * curve.byteCount),
      ]
      let spec = AKCipherSpec.ecdsa(curve, key: key.publicKey)
      let digest = Self.digest
      for (index, signature) in signatures.enumerated() {
        // A length of 0 may be an error of its own.
        let statuses: [VirtioCryptoStatus] =
          signature.isEmpty ? [.keyRejected, .err] : [.keyRejected]
        for reply in try bench.replies(KeyTask(verify: signature, of: digest, spec)) {
          #expect(statuses.contains(reply.status), "\(index): \(reply.status)")
        }
      }
      // A digest of zeros and one of none have signatures as any other.
      for digest in [[UInt8](repeating: 0, count: 32), []] {
        for reply in try bench.replies(KeyTask(verify: signatures[15], of: digest, spec)) {
          #expect(reply.status == .keyRejected || reply.status == .err)
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func emptyDigestsAreSignedOrRefused() throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(.p256)
      let spec = AKCipherSpec.ecdsa(.p256, key: key.privateKey)
      for reply in try bench.replies(KeyTask(.sign, spec, [], room: 72)) {
        #expect(reply.status == .err || reply.status == .ok && key.verify(reply.result, of: []))
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
