import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What the service does not have, and what a session cannot do.
extension AsymmetricTests {
  @Suite("Refusals")
  struct RefusedSessionTests {
    static let digest = [UInt8](repeating: 5, count: 32)

    @Test func unknownNumbersAreNotSupported() throws {
      let bench = try AsymmetricBench()
      let rsa = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa512.publicKey)
      let curve = AKCipherSpec.ecdsa(.p256, key: try Keys.on(.p256).publicKey)
      var specs: [(String, AKCipherSpec)] = []
      func add(_ name: String, _ spec: AKCipherSpec, _ change: (inout AKCipherSpec) -> Void) {
        var changed = spec
        change(&changed)
        specs.append((name, changed))
      }
      for hash: UInt32 in [2, 10, 255, .max] {
        add("hash \(hash)", rsa) { $0.parameters[1] = hash }
      }
      for padding: UInt32 in [2, 3, 1 << 31, .max] {
        add("padding \(padding)", rsa) { $0.parameters[0] = padding }
      }
      for number: UInt32 in [0, 6, 256 + 3, .max] {
        add("curve \(number)", curve) { $0.parameters[0] = number }
      }
      for type: UInt32 in [0, 3, 256 + 1, .max] {
        add("key type \(type)", rsa) { $0.keyType = type }
        add("key type \(type)", curve) { $0.keyType = type }
      }
      for algorithm: UInt32 in [0, 3, 31, 32 + 1, .max] {
        add("algorithm \(algorithm)", rsa) { $0.algorithm = algorithm }
      }
      for (name, spec) in specs {
        let task = KeyTask(verify: [UInt8](repeating: 1, count: 64), of: Self.digest, spec)
        try bench.expect(task, refusedWith: .notsupp, ofSession: true, comment: name)
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func rawRSAHasNoSignatures() throws {
      let bench = try AsymmetricBench()
      let text = [UInt8](repeating: 1, count: 64)
      let (open, secret) = (Keys.rsa512.publicKey, Keys.rsa512.privateKey)
      for task in [
        KeyTask(.sign, .rsa(.raw, key: secret), text, room: 64),
        KeyTask(verify: text, of: Self.digest, .rsa(.raw, key: open)),
        KeyTask(verify: text, of: Self.digest, .rsa(.raw, key: secret)),
      ] { try bench.expect(task, refusedWith: .notsupp, ofSession: false) }
      try bench.finish()
    }

    @Test func publicKeysNeitherDecipherNorSign() throws {
      let bench = try AsymmetricBench()
      let text = [UInt8](repeating: 1, count: 64)
      let rsa = Keys.rsa512.publicKey
      for task in [
        KeyTask(.decrypt, .rsa(.raw, key: rsa), text, room: 64),
        KeyTask(.decrypt, .rsa(.pkcs1, key: rsa), text, room: 64),
        KeyTask(.sign, .rsa(.pkcs1, .sha256, key: rsa), Self.digest, room: 64),
        KeyTask(
          .sign, .ecdsa(.p256, key: try Keys.on(.p256).publicKey), Self.digest, room: 100),
      ] { try bench.expect(task, refusedWith: .err, .notsupp, ofSession: false) }
      try bench.finish()
    }

    @Test func curvesDoNotEncipher() throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(.p256)
      for operation in [AKCipherOperation.encrypt, .decrypt] {
        for key in [key.publicKey, key.privateKey] {
          let task = KeyTask(operation, .ecdsa(.p256, key: key), Self.digest, room: 100)
          try bench.expect(task, refusedWith: .notsupp, ofSession: false)
        }
      }
      try bench.finish()
    }

    /// Opcodes of the service that no request has, those of its control requests among them.
    @Test(arguments: [0x404, 0x405, 0x4FF, 0x410] as [UInt32])
    func unknownOperationIsNotSupported(opcode: UInt32) throws {
      let bench = try AsymmetricBench()
      let spec = AKCipherSpec.rsa(.raw, key: Keys.rsa512.publicKey)
      for guest in bench.guests {
        let session =
          guest.way == .stateless ? nil : try guest.client.openSession(.akcipher(spec))
        let operation = OperationSpec(
          .encrypt, spec, sessionID: session, source: [1], room: 64)
        var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        request.fixed.set32(opcode, at: 0)
        let reply = try guest.perform(request)
        #expect(reply.status == .notsupp, "\(guest.way)")
        #expect(reply.fault == nil, "\(guest.way)")
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func publicAndPrivateKeysAreNotTakenForEachOther() throws {
      let bench = try AsymmetricBench()
      let rsa = Keys.rsa512
      let curve = try Keys.on(.p256)
      let signature = [UInt8](repeating: 1, count: 64)
      for spec in [
        AKCipherSpec.rsa(.pkcs1, key: .publicKey(rsa.privateBytes)),
        .rsa(.pkcs1, key: .privateKey(rsa.publicBytes)),
        .ecdsa(.p256, key: .publicKey(curve.privateBytes())),
        .ecdsa(.p256, key: .privateKey(curve.point)),
        .rsa(.pkcs1, key: .privateKey(curve.privateBytes())),
        .ecdsa(.p256, key: .privateKey(rsa.privateBytes)),
      ] {
        try bench.expect(
          KeyTask(verify: signature, of: Self.digest, spec), refusedWith: .err, ofSession: true)
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
