import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Lengths that disagree with each other, with the chain, or with reason.
extension AsymmetricTests {
  @Suite("Hostile lengths")
  struct HostileLengthTests {
    static let digest = [UInt8](repeating: 5, count: 32)

    /// `key_len` of a session's fixed fields, and of a stateless request's.
    @Test func keyLengthsThatAreNoneAreRefused() throws {
      let bench = try AsymmetricBench()
      let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa512.privateKey)
      let count = UInt32(spec.key.count)
      let lengths: [UInt32] = [
        0, 1, count - 1, count + 1, 1024, 16384, 16385, 65536, .max, .max - 15, 1 << 31,
      ]
      let refusals: [VirtioCryptoStatus] = [.err, .notsupp]
      for guest in bench.guests {
        for length in lengths {
          switch guest.way {
          case .legacy, .revision1:
            var request = CryptoRequestBuilder.createSession(
              .akcipher(spec), format: guest.client.format)
            request.fixed.set32(length, at: 24)
            let status = try guest.client.create(request).status
            #expect(refusals.contains(status), "\(guest.way) \(length): \(status)")
          case .stateless:
            let operation = OperationSpec(
              .sign, spec, sessionID: nil, source: Self.digest, room: 64)
            var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
            request.fixed.set32(length, at: 32)
            let reply = try guest.perform(request)
            #expect(refusals.contains(reply.status), "stateless \(length): \(reply.status)")
            #expect(reply.fault == nil)
          case .messages:
            // Longer ones are malformed messages.
            guard length <= 1024 else { continue }
            var payload = WireBytes(
              try #require(SessionSpec.akcipher(spec).message(.current).encoded))
            payload.set32(length, at: 16)
            let status = try guest.client.frontend.createSession(payload: payload.bytes).status
            #expect(refusals.contains(status), "message \(length): \(status)")
          }
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// A message's key length beyond its field costs the guest its session or its connection, nothing else.
    @Test func messagesWithLongerKeysThanTheyHaveRoomForAreRefused() throws {
      for length: UInt32 in [1025, 1190, 65536, .max] {
        let bench = try AsymmetricBench([.revision1, .messages])
        let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa512.privateKey)
        var payload = WireBytes(try #require(SessionSpec.akcipher(spec).message(.current).encoded))
        payload.set32(length, at: 16)
        let guest = bench.guests[1]
        do {
          let answer = try guest.client.frontend.createSession(payload: payload.bytes)
          #expect(answer.status != .ok, "\(length)")
        } catch FrontendError.disconnected {
          #expect(bench.daemon.isRunning)
        }
        let digest = Self.digest
        let task = KeyTask(
          .sign, .rsa(.pkcs1, .sha256, key: Keys.rsa1024.privateKey), digest, room: 128)
        let reply = try bench.guest.run(task)
        #expect(reply.result == Keys.rsa1024.sign(digest, .sha256))
        try bench.finish()
      }
    }

    /// `src_data_len` and `dst_data_len`: each at its ends, and pairs whose sum overflows 32 bits.
    @Test(arguments: AKCipherOperation.allCases)
    func dataLengthsThatDoNotFitAreRefused(operation: AKCipherOperation) throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      let isPublic = operation == .encrypt || operation == .verify
      let spec = AKCipherSpec.rsa(
        .pkcs1, .sha256, key: isPublic ? key.publicKey : key.privateKey)
      let signature = try #require(key.sign(Self.digest, .sha256))
      let task =
        operation == .verify
        ? KeyTask(verify: signature, of: Self.digest, spec)
        : KeyTask(operation, spec, operation == .decrypt ? signature : Self.digest, room: 128)
      let pairs: [(UInt32, UInt32)] = [
        (.max, 128), (128, .max), (.max, .max), (.max - 15, 16), (16, .max - 15),
        (1 << 31, 1 << 31),
        (0, .max), (.max, 0), (1 << 24, 128), (129, 1 << 24), (0x1_0000, 0x1_0000), (0, 0),
        (128, 0),
        (129, 128), (300, 300),
      ]
      let refusals: [VirtioCryptoStatus] = [.err, .keyRejected]
      for guest in bench.guests {
        let session = guest.way == .stateless ? nil : try guest.client.openSession(.akcipher(spec))
        for (source, destination) in pairs {
          var request = CryptoRequestBuilder.data(
            task.request(session), format: guest.client.format)
          let offset = session == nil ? 44 : 24
          request.fixed.set32(source, at: offset)
          request.fixed.set32(destination, at: offset + 4)
          let reply = try guest.perform(request)
          #expect(
            refusals.contains(reply.status),
            "\(guest.way) \(source), \(destination): \(reply.status)")
          #expect(reply.fault == nil, "\(guest.way) \(source), \(destination)")
        }
        if let session {
          #expect(try guest.client.destroySession(session, service: .akcipher) == .ok)
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// Stateless lengths of key and data that overflow together.
    @Test func statelessLengthsThatOverflowAreRefused() throws {
      let bench = try AsymmetricBench([.stateless])
      let guest = try bench.guest
      let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa512.privateKey)
      for (key, source, destination): (UInt32, UInt32, UInt32) in [
        (.max, 1, 64), (.max - 31, 32, 64), (1 << 31, 1 << 31, 64), (.max, .max, .max),
        (16384, .max - 16383, 64),
      ] {
        let operation = OperationSpec(.sign, spec, sessionID: nil, source: Self.digest, room: 64)
        var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        request.fixed.set32(key, at: 32)
        request.fixed.set32(source, at: 44)
        request.fixed.set32(destination, at: 48)
        let reply = try guest.perform(request)
        #expect([.err, .notsupp].contains(reply.status), "\(reply.status)")
        #expect(reply.fault == nil)
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// Chains that end in the middle of a request.
    @Test func requestsThatEndEarlyAreRefused() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa512
      let spec = AKCipherSpec.rsa(.raw, key: key.privateKey)
      for guest in bench.guests {
        let session = guest.way == .stateless ? nil : try guest.client.openSession(.akcipher(spec))
        let whole = CryptoRequestBuilder.data(
          OperationSpec(
            .decrypt, spec, sessionID: session, source: Array(1...20), room: 64),
          format: guest.client.format)
        for count in [0, 4, 23, 24, 28, 31, whole.fixed.count - 1] {
          var request = whole
          request.fixed.bytes = Array(whole.fixed.bytes.prefix(count))
          request.fields = []
          #expect(try guest.perform(request).status == .err, "\(guest.way): \(count) bytes")
        }
        for index in whole.fields.indices {
          var request = whole
          request.fields[index].bytes.removeLast()
          #expect(try guest.perform(request).status == .err, "\(guest.way): field \(index)")
        }
        var request = whole
        request.destinationByteCount -= 1
        #expect(try guest.perform(request).status == .err, "\(guest.way): no room")
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
