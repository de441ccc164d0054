import Testing
import VhostUserBackend
import VhostUserProtocol

extension OneAtATime {
  @Suite("Session messages")
  struct SessionTests {
    static let cipherKey = [UInt8](0..<16)
    static let authKey = [UInt8](100..<120)

    static func chain(_ layout: SessionLayout) -> SessionRequest {
      var request = SessionRequest(
        kind: .chain, layout: layout, cipherKey: SecretBytes(cipherKey),
        authKey: SecretBytes(authKey)
      )
      request.cipherAlgorithm = 3
      request.hashAlgorithm = 2
      request.hashResultByteCount = 20
      request.additionalByteCount = 0
      request.direction = SessionRequest.decrypt
      request.hashMode = 2
      request.chainOrder = 1
      return request
    }

    static func parse(_ payload: [UInt8]) throws -> SessionRequest {
      try SessionRequest(parsing: payload.span)
    }

    static func sessionID(_ answer: [UInt8]) throws -> Int64 {
      try SessionReply(parsing: answer.span).sessionID
    }

    static func bytes(of secret: SecretBytes) -> [UInt8] { secret.withUnsafeBytes { Array($0) } }

    @Test(arguments: SessionLayout.allCases)
    func chainSurvivesEachLayout(layout: SessionLayout) throws {
      let payload = try #require(Self.chain(layout).encoded)
      #expect(payload.count == (layout == .current ? 1072 : 632))
      let parsed = try SessionRequest(parsing: payload.span)
      #expect(parsed.kind == .chain && parsed.layout == layout)
      #expect(parsed.cipherAlgorithm == 3 && parsed.hashAlgorithm == 2)
      #expect(parsed.hashResultByteCount == 20 && parsed.direction == SessionRequest.decrypt)
      #expect(parsed.hashMode == 2 && parsed.chainOrder == 1)
      #expect(Self.bytes(of: parsed.cipherKey) == Self.cipherKey)
      #expect(Self.bytes(of: parsed.authKey) == Self.authKey)
    }

    /// AES-CBC-128 encryption, written out as QEMU's structures lay it out.
    @Test(arguments: SessionLayout.allCases)
    func cipherIsReadFromTheOffsetsOnTheWire(layout: SessionLayout) throws {
      var payload = [UInt8](repeating: 0, count: layout.byteCount)
      let words = layout == .opcodeFirst ? 12 : 8
      if layout == .current { payload[0] = 2 }
      if layout == .opcodeFirst { payload[8] = 2 }
      payload[words] = 3
      payload[words + 4] = 16
      payload[words + 24] = 1
      payload[words + 25] = 1
      // QEMU's own pointers mean nothing here.
      for offset in 40..<56 { payload[offset] = 0xEE }
      for index in 0..<16 { payload[56 + index] = UInt8(index) }
      let parsed = try SessionRequest(parsing: payload.span)
      #expect(parsed.kind == .cipher && parsed.layout == layout)
      #expect(parsed.cipherAlgorithm == 3 && parsed.direction == SessionRequest.encrypt)
      #expect(Self.bytes(of: parsed.cipherKey) == Self.cipherKey)
      #expect(parsed.authKey.count == 0)
    }

    @Test func uninitializedPaddingDoesNotHideTheLayout() throws {
      for algorithm in UInt32(1)...14 {
        var request = Self.chain(.withoutOpcode)
        request.cipherAlgorithm = algorithm
        var payload = try #require(request.encoded)
        // The padding behind the operation happens to look like an operation.
        payload[36] = 1
        payload[37] = 1
        #expect(try Self.parse(payload).layout == .withoutOpcode)

        request.layout = .opcodeFirst
        // The additional length happens to look like one.
        request.additionalByteCount = 0x0101
        payload = try #require(request.encoded)
        let parsed = try SessionRequest(parsing: payload.span)
        #expect(parsed.layout == .opcodeFirst)
        #expect(parsed.cipherAlgorithm == algorithm && parsed.additionalByteCount == 0x0101)
      }
    }

    @Test func hashMACAndAEADHaveTheirPlaces() throws {
      for (kind, opcode) in [(SessionRequest.Kind.hash, 0x102), (.mac, 0x202), (.aead, 0x302)] {
        var request = Self.chain(.current)
        request.kind = kind
        let payload = try #require(request.encoded)
        #expect(Int(payload[0]) | Int(payload[1]) << 8 == opcode)
        let parsed = try SessionRequest(parsing: payload.span)
        #expect(parsed.kind == kind)
        #expect(parsed.hashAlgorithm == 2 && parsed.cipherAlgorithm == 3)
        request.layout = .withoutOpcode
        #expect(request.encoded == nil)
      }
    }

    @Test func asymmetricSessionIsCarried() throws {
      let key = [UInt8]((0..<300).map { UInt8(truncatingIfNeeded: $0) })
      var request = SessionRequest(kind: .asymmetric, cipherKey: SecretBytes(key))
      request.asymmetricAlgorithm = 1
      request.asymmetricKeyType = 2
      request.asymmetricParameters = (1, 3)
      let payload = try #require(request.encoded)
      #expect(payload.count == 1072 && payload[0] == 0x04 && payload[1] == 0x04)
      let parsed = try SessionRequest(parsing: payload.span)
      #expect(parsed.kind == .asymmetric)
      #expect(parsed.asymmetricAlgorithm == 1 && parsed.asymmetricKeyType == 2)
      #expect(parsed.asymmetricParameters == (1, 3))
      #expect(Self.bytes(of: parsed.cipherKey) == key)
      request.layout = .opcodeFirst
      #expect(request.encoded == nil)
    }

    @Test func keysBeyondTheirFieldsAreRefused() throws {
      for (offset, limit) in [(12, 64), (24, 512)] {
        var payload = try #require(Self.chain(.current).encoded)
        for value in [limit + 1, 0xFFFF_FFFF] {
          for index in 0..<4 { payload[offset + index] = UInt8(value >> (8 * index) & 0xFF) }
          #expect(throws: PayloadError.keyByteCount(UInt32(value), limit: limit)) {
            _ = try Self.parse(payload)
          }
        }
      }
      var payload = [UInt8](repeating: 0, count: 1072)
      payload[0] = 0x04
      payload[1] = 0x04
      payload[16] = 0x01
      payload[17] = 0x04
      #expect(throws: PayloadError.keyByteCount(1025, limit: 1024)) {
        _ = try Self.parse(payload)
      }
    }

    @Test func secretsDoNotPrint() {
      let secret = SecretBytes(Self.cipherKey)
      var dumped = ""
      dump(secret, to: &dumped)
      for text in ["\(secret)", String(reflecting: secret), dumped, "\(Self.chain(.current))"] {
        #expect(!text.contains("1, 2, 3") && !text.contains("0x"))
      }
      #expect("\(secret)" == "16 secret bytes")
    }

    @Test(arguments: SessionLayout.allCases)
    func serverAnswersInTheRequestsSize(layout: SessionLayout) throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.send(.createCryptoSession, try #require(Self.chain(layout).encoded))
      let answer = try frontend.answer(to: .createCryptoSession)
      #expect(answer.count == layout.byteCount)
      #expect(try Self.sessionID(answer) == 41)
      // Nothing of the request, which holds keys, comes back.
      #expect(answer.filter { $0 != 0 }.count == 1)
      let seen = try #require(harness.device.state.withLock { $0.sessions.first })
      #expect(Self.bytes(of: seen.cipherKey) == Self.cipherKey)
      #expect(try frontend.acknowledged(.closeCryptoSession, NumberPayload(41).encoded) == 0)
      #expect(try frontend.acknowledged(.closeCryptoSession, NumberPayload(.max).encoded) == 1)
      // Not acknowledged, an unknown session is no reason to part.
      frontend.send(.closeCryptoSession, NumberPayload(.max).encoded)
      try frontend.settle()
    }

    @Test(arguments: [(0, 0x99, Int64(-3)), (32, 7, -1), (33, 0, -1), (13, 1, -1)])
    func serverAnswersMalformedRequestsWithAStatus(offset: Int, byte: UInt8, status: Int64) throws {
      let lines = LogLines()
      let (harness, frontend) = try Harness.connected(lines: lines)
      try frontend.negotiate()
      var payload = try #require(Self.chain(.current).encoded)
      payload[offset] = byte
      frontend.send(.createCryptoSession, payload, needsReply: true)
      let answer = try frontend.answer(to: .createCryptoSession)
      #expect(try Self.sessionID(answer) == status)
      #expect(harness.device.state.withLock { $0.sessions.isEmpty })
      #expect(!lines.all.contains { $0.contains("100, 101") })
      try frontend.settle()
    }
  }
}
