import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension DeviceTests.DraftV15Tests {
  /// Words of the fixed part that say how many bytes something has, by offset.
  private static func lengthOffsets(_ session: SessionSpec) -> [Int] {
    switch session {
    case .cipher: [12, 16, 20]
    case .chain: [32, 36, 40, 44, 48, 52, 56, 60, 64]
    case .hash: [4, 8]
    case .mac: [8, 12]
    case .aead: [12, 16, 20, 24, 28]
    case .akcipher: []
    }
  }

  /// Where the length of the (cipher) key is.
  private static func keyOffset(_ session: SessionSpec) -> Int? {
    switch session {
    case .cipher, .mac, .aead: 4
    case .chain: 12
    case .hash, .akcipher: nil
    }
  }

  /// No length can lead out of the chain, wherever it stands; what comes next is served as if nothing had been.
  @Test(arguments: Transport.drafts)
  func absurdLengthsAreRefused(_ transport: Transport) throws {
    let bench = try TestBench([transport])
    let guest = try bench.guest
    for var operation in Self.good where !operation.source.isEmpty {
      operation.sessionID = try guest.open(operation.session)
      let good = CryptoRequestBuilder.data(operation, format: guest.client.format)
      func check(_ offset: Int, _ value: UInt32, _ status: VirtioCryptoStatus) throws {
        var request = good
        request.fixed.set32(value, at: 24 + offset)
        var probe = try #require(Probe(reference: operation))
        probe.expected = .refused(status)
        let fault = probe.complaint(about: try guest.perform(request, plan: RequestPlan()))
        #expect(fault == nil, "\(operation.session), \(value) at \(offset): \(fault ?? "")")
      }
      for value in [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFF] as [UInt32] {
        for offset in Self.lengthOffsets(operation.session) { try check(offset, value, .err) }
        if let offset = Self.keyOffset(operation.session), !transport.hasSessions {
          try check(offset, value, .notsupp)
        }
      }
      let probe = try #require(Probe(reference: operation))
      #expect(probe.complaint(about: try guest.perform(operation)) == nil)
    }
    try bench.finish()
  }

  /// `op_type` stands at 72, and has to be that of the session.
  @Test func typeOfASymmetricRequestIsTheSessions() throws {
    let bench = try TestBench([.draftV15])
    let guest = try bench.guest
    for var operation in Self.good where operation.session.service == .cipher {
      operation.sessionID = try guest.open(operation.session)
      let good = CryptoRequestBuilder.data(operation, format: guest.client.format)
      let type = good.fixed.get32(at: 24 + 72)
      for wrong in [0, 1, 2, 3, 0xFFFF_FFFF] as [UInt32] where wrong != type {
        var request = good
        request.fixed.set32(wrong, at: 24 + 72)
        let answer = try guest.perform(request, plan: RequestPlan()).answer
        #expect(answer.status == ([1, 2].contains(wrong) ? .invsess : .notsupp), "type \(wrong)")
        #expect(answer.usedByteCount == 1)
      }
    }
    try bench.finish()
  }
}
