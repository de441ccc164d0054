import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What was tampered with is refused, and its plaintext is nowhere to be seen.
extension DeviceTests {
  @Suite("Tampering")
  struct TamperingTests {
    @Test(arguments: AEADAlgorithm.allCases, Transport.everyLayout)
    func tamperedMessageGivesNoPlaintext(
      _ aead: AEADAlgorithm, _ transport: Transport
    ) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      let guest = try bench.guest
      var faults: [String] = []
      for byteCount in [0, 1, 16, 100, 4096, 40000] {
        let (key, iv, aad) = (
          maker.random.bytes(32), maker.random.bytes(12), maker.random.bytes(21)
        )
        let text = maker.random.bytes(byteCount)
        let session = SessionSpec.aead(aead, .decrypt, key: key, tagByteCount: 16)
        let id = try guest.open(session)
        let sealed = try #require(
          ReferenceCrypto.seal(aead, key: key, iv: iv, aad: aad, source: text, tagByteCount: 16))
        for shape in Shape.allCases {
          let good = OperationSpec(session, sessionID: id, iv: iv, source: sealed, aad: aad)
          var spoiled = [good, good, good, good, good]
          spoiled[0].source[maker.below(sealed.count)] ^= 1 << UInt8(maker.below(8))
          spoiled[1].source[sealed.count - 1] ^= 0x80
          spoiled[2].aad[maker.below(aad.count)] ^= 1
          spoiled[3].iv[maker.below(12)] ^= 4
          spoiled[4].aad.removeLast()
          for (index, operation) in spoiled.enumerated() {
            let probe = Probe(session: session, source: [], expected: .refused(.badmsg))
            let outcome = try guest.perform(operation, shape)
            if let fault = probe.complaint(about: outcome) {
              faults.append("\(byteCount) bytes, \(shape), spoil \(index): \(fault)")
            }
          }
          // The same session serves what is right.
          let probe = try #require(Probe(reference: good))
          if let fault = probe.complaint(about: try guest.perform(good, shape)) {
            faults.append("\(byteCount) bytes, \(shape): \(fault)")
          }
        }
        // Shorter than a tag: there is nothing to verify.
        for count in [0, 1, 15] {
          let operation = OperationSpec(
            session, sessionID: id, iv: iv, source: Array(sealed.prefix(count)), aad: aad)
          let status = try guest.perform(operation).answer.status
          if status != .err { faults.append("a source of \(count) bytes: \(status)") }
        }
        try guest.close(id, session)
      }
      #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(5).joined(separator: "\n"))")
      try bench.finish()
    }

    /// CCM counts its text in the bytes that the nonce leaves: 65536 are too many beside 13.
    @Test(arguments: Transport.everyLayout)
    func textTooLongForItsNonceIsAnError(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let key = [UInt8](repeating: 5, count: 16)
      for (byteCount, nonceByteCount, isServed) in [
        (65535, 13, true), (65536, 13, false), (65536, 12, true),
      ] {
        let text = [UInt8](repeating: 6, count: byteCount)
        let nonce = [UInt8](repeating: 7, count: nonceByteCount)
        let seal = SessionSpec.aead(.ccm, .encrypt, key: key, tagByteCount: 8)
        let sealID = try guest.open(seal)
        let operation = OperationSpec(seal, sessionID: sealID, iv: nonce, source: text)
        let answer = try guest.perform(operation).answer
        #expect(answer.status == (isServed ? .ok : .err))
        #expect(answer.usedByteCount == (isServed ? byteCount + 9 : 1))
        if isServed { #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output) }
        let open = SessionSpec.aead(.ccm, .decrypt, key: key, tagByteCount: 8)
        let openID = try guest.open(open)
        let sealed = isServed ? answer.output : text + [1, 2, 3, 4, 5, 6, 7, 8]
        let back = try guest.perform(
          OperationSpec(open, sessionID: openID, iv: nonce, source: sealed)
        ).answer
        #expect(back.status == (isServed ? .ok : .err))
        if isServed { #expect(back.output == text) }
      }
      try bench.finish()
    }
  }
}
