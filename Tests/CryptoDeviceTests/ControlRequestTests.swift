import CryptoTypes
import Testing
import VirtioSpec

@testable import CryptoDevice

private func words(_ values: UInt32...) -> [UInt8] {
  values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }
}

private func parse(_ bytes: [UInt8], revision1: Bool = false) throws -> ControlRequest {
  try ControlRequest(bytes.span.bytes, revision1: revision1)
}

/// A session request for AES-128-CBC encryption as the Linux driver writes it, with its key.
private let linuxCreate: [UInt8] =
  words(0x002, 3, 0, 0)  // opcode, algo, flag, queue number
  + words(3, 16, 1, 0)  // cipher_session_para
  + [UInt8](repeating: 0, count: 32) + words(1, 0)  // op_type
  + [UInt8](0..<16)

struct ControlRequestTests {
  @Test func linuxDriversSessionIsRead() throws {
    guard case .create(let request, let key, let authKey) = try parse(linuxCreate) else {
      Issue.record("not a creation")
      return
    }
    #expect(request.cipher == 3 && request.operation == 1 && request.cipherKeyByteCount == 16)
    #expect(Array(linuxCreate[key]) == [UInt8](0..<16))
    #expect(authKey.isEmpty)
  }

  @Test func everyTruncationIsRefusedWithoutReadingBeyond() {
    for count in 0..<linuxCreate.count {
      #expect(throws: Refusal.self, "\(count) bytes") { try parse(Array(linuxCreate[..<count])) }
    }
  }

  @Test(arguments: [UInt32.max, 0x8000_0000, 513, 1 << 16])
  func hugeKeyLengthIsUnsupported(length: UInt32) {
    var bytes = linuxCreate
    bytes.replaceSubrange(20..<24, with: words(length))
    #expect(throws: Refusal.unsupported) { try parse(bytes) }
  }

  @Test func unknownOpcodesAreUnsupported() {
    for opcode: UInt32 in [0, 1, 4, 0x104, 0x402, 0x403, 0x406, 0xffff_ffff] {
      #expect(throws: Refusal.unsupported, "\(opcode)") {
        try parse(words(opcode) + [UInt8](repeating: 0, count: 100))
      }
    }
  }

  @Test func chainHasItsFieldsAndBothKeys() throws {
    let bytes =
      words(0x002, 0, 0, 0) + words(2, 2) + words(3, 16, 1, 0) + words(2, 20, 4, 0) + words(0, 0)
      + words(2, 0) + [UInt8](repeating: 0xc1, count: 16) + [UInt8](repeating: 0xa7, count: 4)
    guard case .create(let request, let key, let authKey) = try parse(bytes, revision1: true)
    else {
      Issue.record("not a creation")
      return
    }
    #expect(request.symmetricType == 2 && request.chainOrder == 2 && request.hashMode == 2)
    #expect(request.hash == 2 && request.resultByteCount == 20 && request.authKeyByteCount == 4)
    #expect(bytes[key].allSatisfy { $0 == 0xc1 } && bytes[authKey].allSatisfy { $0 == 0xa7 })
  }

  @Test func plainHashInChainHasNoKey() throws {
    let bytes =
      words(0x002, 0, 0, 0) + words(1, 1) + words(3, 16, 1, 0) + words(4, 32, 99, 0) + words(0, 0)
      + words(2, 0) + [UInt8](repeating: 1, count: 16)
    guard case .create(let request, _, let authKey) = try parse(bytes) else {
      Issue.record("not a creation")
      return
    }
    #expect(request.authKeyByteCount == 0 && authKey.isEmpty)
  }

  @Test func revisionOneHasExactFixedParts() throws {
    let bytes = words(0x202, 0, 0, 0) + words(4, 32, 3, 0) + [7, 8, 9]
    guard case .create(_, _, let key) = try parse(bytes, revision1: true) else {
      Issue.record("not a creation")
      return
    }
    #expect(Array(bytes[key]) == [7, 8, 9])
    #expect(throws: Refusal.error) { try parse(bytes, revision1: false) }
  }

  @Test func destroyNamesItsServices() throws {
    let bytes = words(0x003, 0, 0, 0) + words(5, 1)
    #expect(
      try parse(bytes) == .destroy(identifier: 0x1_0000_0005, services: [.cipher, .chain]))
    #expect(throws: Refusal.error) { try parse(Array(bytes.dropLast())) }
  }
}

/// Engines for every length, in this order.
private func route(_ engines: UInt8...) -> EngineRoute {
  EngineRoute(engines.map { EngineRoute.Stop(engine: $0) })
}

struct SessionRequestTests {
  private let everything = AlgorithmTable(
    offered: Dictionary(uniqueKeysWithValues: CryptoAlgorithm.allCases.map { ($0, route(0)) }))

  private func cipher(_ change: (inout SessionRequest) -> Void = { _ in }) -> SessionRequest {
    var request = SessionRequest(service: .cipher)
    request.cipher = 3
    request.cipherKeyByteCount = 16
    request.operation = 1
    change(&request)
    return request
  }

  @Test func goodCipherIsResolved() throws {
    let session = try cipher().resolve(everything)
    #expect(session.service == .cipher && session.cipher == .aesCBC)
    #expect(session.direction == .encrypt && session.route == route(0))
  }

  @Test func oneWrongWordIsUnsupported() {
    let wrong: [(WritableKeyPath<SessionRequest, UInt32>, [UInt32])] = [
      (\.cipher, [0, 15, 63, 64, .max]), (\.operation, [0, 3]), (\.symmetricType, [0, 3]),
      (\.cipherKeyByteCount, [0, 17, .max]),
    ]
    for (field, values) in wrong {
      for value in values {
        #expect(throws: Refusal.unsupported, "\(value)") {
          try cipher { $0[keyPath: field] = value }.resolve(everything)
        }
      }
    }
  }

  @Test func algorithmsThatAreNotOfferedAreUnsupported() {
    let table = AlgorithmTable(offered: [.cipher(.aesCTR): route(0), .cipher(.aesCBC): route()])
    #expect(throws: Refusal.unsupported) { try cipher().resolve(table) }
    #expect(table.cipherMask == 1 << 4)
  }

  @Test func chainTakesTheEnginesThatDoBothInTheCiphersOrderAndSizes() throws {
    let cipherRoute = EngineRoute([
      EngineRoute.Stop(engine: 2), EngineRoute.Stop(engine: 1, byteCounts: 100...200),
      EngineRoute.Stop(engine: 0),
    ])
    let table = AlgorithmTable(offered: [
      .cipher(.aesCBC): cipherRoute, .mac(.hmacSHA1): route(0, 1), .hash(.sha256): route(3),
    ])
    var request = cipher {
      $0.symmetricType = 2
      $0.chainOrder = 1
      $0.hashMode = 2
      $0.hash = 2
      $0.authKeyByteCount = 20
      $0.resultByteCount = 20
    }
    #expect(
      try request.resolve(table).route.stops == [
        EngineRoute.Stop(engine: 1, byteCounts: 100...200), EngineRoute.Stop(engine: 0),
      ])
    request.hashMode = 1
    request.hash = 4
    #expect(throws: Refusal.unsupported) { try request.resolve(table) }
  }

  @Test(arguments: [0 as UInt32, 33, .max])
  func resultLongerThanTheAlgorithmsIsAnError(length: UInt32) {
    var request = SessionRequest(service: .hash)
    request.hash = 4
    request.resultByteCount = length
    #expect(throws: Refusal.error) { try request.resolve(everything) }
  }

  @Test func masksCarryTheSpecificationsNumbers() {
    #expect(everything.cipherMask == 0x7ffe)
    #expect(everything.hashMask == 0x1ffe)
    #expect(everything.macMask == 0x0066_0600_1e00_007e)
    #expect(everything.aeadMask == 0xe)
  }
}
