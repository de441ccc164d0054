import CryptoTypes
import Testing
import VhostUserFrontend
import VirtioSpec

/// The front-end's requests of draft v15 word for word, so that device and front-end cannot agree on a wrong offset.
@Suite("Layouts of draft v15")
struct DraftV15LayoutTests {
  private static let key: [UInt8] = Array(1...16)
  private static let iv: [UInt8] = Array(101...116)
  private static let source: [UInt8] = Array(51...98)

  /// The words behind the header that are not 0, by offset.
  private func words(_ request: DataRequest) -> [Int: UInt32] {
    var words: [Int: UInt32] = [:]
    for offset in stride(from: 0, to: 80, by: 4) {
      let word = request.fixed.get32(at: 24 + offset)
      if word != 0 { words[offset] = word }
    }
    return words
  }

  private func check(
    _ operation: OperationSpec, parameters: [Int: UInt32], lengths: [Int: UInt32],
    keys: [[UInt8]], payload: [[UInt8]]
  ) {
    var operation = operation
    for id in [nil, 7 as UInt64] {
      operation.sessionID = id
      let request = CryptoRequestBuilder.data(operation, format: .draftV15)
      #expect(request.fixed.count == 104)
      #expect(request.fixed.get64(at: 8) == id ?? 0)
      #expect(request.fixed.get32(at: 16) == (id == nil ? 2 : 1))
      let expected = id == nil ? parameters.merging(lengths) { $1 } : lengths
      #expect(words(request) == expected)
      #expect(request.fields.map(\.bytes) == (id == nil ? keys : []) + payload)
    }
  }

  @Test func cipher() {
    let operation = OperationSpec(
      .cipher(.aesCBC, .decrypt, key: Self.key), sessionID: nil, iv: Self.iv, source: Self.source)
    check(
      operation, parameters: [0: 3, 4: 16, 8: 2], lengths: [12: 16, 16: 48, 20: 48, 72: 1],
      keys: [Self.key], payload: [Self.iv, Self.source])
  }

  @Test func chain() {
    let chain = SessionSpec.Chain(
      .aesCBC, .encrypt, key: Self.key, order: .cipherThenHash,
      second: .authenticated(.hmacSHA256, key: [9, 8, 7]), resultByteCount: 20)
    let operation = OperationSpec(
      .chain(chain), sessionID: nil, iv: Self.iv, source: Self.source, aad: [5, 6],
      ranges: ChainRanges(cipher: 16..<48, hash: 4..<40))
    check(
      operation,
      parameters: [0: 2, 4: 2, 8: 3, 12: 16, 16: 1, 20: 4, 24: 3, 28: 2],
      lengths: [
        32: 16, 36: 48, 40: 48, 44: 16, 48: 32, 52: 4, 56: 36, 60: 2, 64: 20, 72: 2,
      ],
      keys: [Self.key, [9, 8, 7]], payload: [Self.iv, Self.source, [5, 6]])
  }

  @Test func hashAndMAC() {
    check(
      OperationSpec(.hash(.sha256, resultByteCount: 32), sessionID: nil, source: Self.source),
      parameters: [0: 4], lengths: [4: 48, 8: 32], keys: [], payload: [Self.source])
    check(
      OperationSpec(
        .mac(.hmacSHA1, key: Self.key, resultByteCount: 20), sessionID: nil, source: Self.source),
      parameters: [0: 2, 4: 16], lengths: [8: 48, 12: 20], keys: [Self.key],
      payload: [Self.source])
  }

  @Test func aead() {
    let iv = Array(Self.iv.prefix(12))
    let operation = OperationSpec(
      .aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16), sessionID: nil, iv: iv,
      source: Self.source, aad: [5, 6, 7])
    check(
      operation, parameters: [0: 1, 4: 16, 8: 1],
      lengths: [12: 12, 16: 16, 20: 3, 24: 48, 28: 64], keys: [Self.key],
      payload: [iv, Self.source, [5, 6, 7]])
  }

  @Test func sessionsHaveTheOldControlRequests() {
    for spec in [
      SessionSpec.hash(.sha256, resultByteCount: 32),
      .cipher(.aesCBC, .decrypt, key: Self.key),
      .aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16),
    ] {
      let request = CryptoRequestBuilder.createSession(spec, format: .draftV15)
      #expect(request == CryptoRequestBuilder.createSession(spec, format: .legacy))
      #expect(request.fixed.count == 72)
    }
  }
}
