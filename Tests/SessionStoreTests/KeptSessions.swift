import CryptoTypes
import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Sessions of every service, with keys that nothing else in the world has, and requests that show whether they work.
struct KeptSessions {
  let specs: [SessionSpec]
  private let rsa = RSAKeyPair.generated(bitCount: 1024)

  init(_ random: inout SeededRandom) {
    specs = [
      .cipher(.aesCBC, .encrypt, key: random.bytes(16)),
      .cipher(.aesXTS, .decrypt, key: random.bytes(64)),
      .hash(.sha256, resultByteCount: 32),
      .mac(.hmacSHA256, key: random.bytes(200), resultByteCount: 20),
      .aead(.gcm, .encrypt, key: random.bytes(32), tagByteCount: 16),
      .chain(
        .init(
          .aesCTR, .encrypt, key: random.bytes(32), order: .cipherThenHash,
          second: .authenticated(.hmacSHA1, key: random.bytes(20)))),
      .akcipher(.rsa(.pkcs1, .sha256, key: rsa.privateKey)),
    ]
  }

  /// Those that session messages can carry, too.
  var symmetric: [SessionSpec] { specs.filter { $0.service != .akcipher } }

  /// The first 32 bytes of each key.
  var needles: [[UInt8]] {
    specs.flatMap { [$0.cipherKey, $0.authKey] }.filter { !$0.isEmpty }.map {
      // An RSA key begins as all of them do.
      $0.count > 300 ? Array($0[100..<132]) : Array($0.prefix(32))
    }
  }

  func operation(_ spec: SessionSpec, _ id: UInt64) -> OperationSpec {
    let text = Samples.bytes(64, 3)
    switch spec {
    case .cipher, .chain:
      return OperationSpec(spec, sessionID: id, iv: Samples.bytes(16), source: text)
    case .aead: return OperationSpec(spec, sessionID: id, iv: Samples.bytes(12), source: text)
    case .hash, .mac: return OperationSpec(spec, sessionID: id, source: text)
    case .akcipher(let akcipher):
      return OperationSpec(
        .sign, akcipher, sessionID: id, source: Samples.bytes(32), room: rsa.modulusByteCount)
    }
  }

  /// Sees each session do its work.
  func expect(
    _ client: CryptoClient, _ identifiers: [UInt64],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws { try expect(client, specs, identifiers, sourceLocation: sourceLocation) }

  func expect(
    _ client: CryptoClient, _ specs: [SessionSpec], _ identifiers: [UInt64],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (spec, id) in zip(specs, identifiers) {
      let operation = operation(spec, id)
      let answer = try client.perform(operation)
      #expect(answer.status == .ok, "\(spec.service)", sourceLocation: sourceLocation)
      if case .akcipher = spec {
        #expect(
          answer.writtenOutput == rsa.sign(Samples.bytes(32), .sha256),
          sourceLocation: sourceLocation)
      } else {
        let expected = try #require(ReferenceCrypto.answer(to: operation))
        #expect(
          answer.output == expected.output && answer.result == expected.result,
          "\(spec.service)", sourceLocation: sourceLocation)
      }
    }
  }

  func expectInvalid(
    _ client: CryptoClient, _ identifiers: [UInt64],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws { try expectInvalid(client, specs, identifiers, sourceLocation: sourceLocation) }

  func expectInvalid(
    _ client: CryptoClient, _ specs: [SessionSpec], _ identifiers: [UInt64],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (spec, id) in zip(specs, identifiers) {
      #expect(
        try client.perform(operation(spec, id)).status == .invsess, "\(spec.service)",
        sourceLocation: sourceLocation)
    }
  }

  /// Sees no key in a process's memory, at once or soon.
  func expectNoKeys(in pid: Int32, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var hits: [ProcessMemory.Hit] = []
    for _ in 0..<100 {
      hits = try ProcessMemory(pid: pid).search(needles)
      if hits.isEmpty { return }
      usleep(20_000)
    }
    Issue.record("\(hits.count) keys: \(hits.prefix(5))", sourceLocation: sourceLocation)
  }

  /// Sees no key in what a process has said, in hexadecimal or as Swift prints bytes.
  func expectNoKeys(inText text: String, sourceLocation: SourceLocation = #_sourceLocation) {
    let text = text.lowercased()
    for needle in needles {
      let hexadecimal = needle.prefix(8).map { String(format: "%02x", $0) }.joined()
      let list = needle.prefix(8).map(String.init).joined(separator: ", ")
      #expect(
        !text.contains(hexadecimal) && !text.contains(list), sourceLocation: sourceLocation)
    }
  }

  /// Sees each key in a process's memory: proof that the search finds what is there.
  func expectKeys(in pid: Int32, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let found = Set(try ProcessMemory(pid: pid).search(needles).map(\.needle))
    #expect(found.count == needles.count, sourceLocation: sourceLocation)
  }
}

extension StoringService {
  /// A front-end whose driver speaks the whole text.
  func client(
    _ memory: GuestRAM, messages: SessionLayout? = nil, controlQueueSize: UInt16 = 64
  ) throws -> CryptoClient {
    let client = try CryptoClient.start(
      path: socketPath, options: Frontend.Options(format: .revision1), memory: memory,
      controlQueueSize: controlQueueSize, messageLayout: messages)
    client.timeoutMilliseconds = 20_000
    return client
  }

  func device() throws -> DeviceSnapshot {
    let body = try HTTPExchange.get("/stats", socketPath: directory.file("stats.sock"))
    let all = try JSONDecoder().decode(DaemonSnapshot.self, from: body).devices
    return try #require(all.first)
  }
}
