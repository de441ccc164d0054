import CExitWatch
import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// A private key, and the parts of it that nobody else may have in memory.
struct AsymmetricSecret {
  var name: String
  var spec: AKCipherSpec
  /// The longest result.
  var room: Int
  /// Each secret number by its name.
  private var numbers: [(name: String, bytes: [UInt8])]

  static func rsa(bitCount: Int) -> AsymmetricSecret {
    let key = RSAKeyPair.generated(bitCount: bitCount)
    return AsymmetricSecret(
      name: "RSA-\(bitCount)", spec: .rsa(.pkcs1, .sha256, key: key.privateKey),
      room: key.modulusByteCount,
      numbers: [
        ("p", key.prime1), ("q", key.prime2), ("d", key.privateExponent), ("dP", key.exponent1),
        ("dQ", key.exponent2), ("qInv", key.coefficient),
      ].map { ($0.0, $0.1.bytes) })
  }

  static func on(_ curve: AKCipherCurve) throws -> AsymmetricSecret {
    let key = try #require(ECKeyPair(generatedOn: curve))
    return AsymmetricSecret(
      name: "\(curve)", spec: .ecdsa(curve, key: key.privateKey),
      room: curve.maximumSignatureByteCount, numbers: [("the scalar", key.scalar.bytes)])
  }

  /// Pieces from the middle of each number: as they are encoded, and as libcrypto holds them, lowest byte first.
  var needles: [(name: String, bytes: [UInt8])] {
    numbers.flatMap { number in
      let start = number.bytes.count / 4
      let piece = Array(number.bytes[start..<min(start + 20, number.bytes.count)])
      return [
        ("\(name): \(number.name), encoded", piece),
        ("\(name): \(number.name), in words", Array(piece.reversed())),
      ]
    }
  }

  func operation(_ session: UInt64?) -> OperationSpec {
    OperationSpec(
      .sign, spec, sessionID: session, source: [UInt8](repeating: 0x22, count: 32), room: room)
  }
}

/// When private keys leave the daemon's memory.
extension KeyTests {
  @Suite("Private keys and the daemon's memory")
  struct AsymmetricKeyTests {
    /// A daemon with one guest.
    private struct Stage {
      let daemon: DaemonProcess
      let client: CryptoClient
      let secrets: [AsymmetricSecret]

      init(_ format: RequestFormat = .revision1, layout: SessionLayout? = nil) throws {
        daemon = try DaemonProcess()
        client = try CryptoClient.start(
          path: daemon.socketPath, options: Frontend.Options(format: format), messageLayout: layout)
        #expect(client.format == format)
        // A message has room for 1024 bytes of key.
        secrets = try [.rsa(bitCount: layout == nil ? 2048 : 1024), .on(.p256), .on(.p521)]
      }

      func open() throws -> [UInt64] {
        try secrets.map { try client.openSession(.akcipher($0.spec)) }
      }

      func use(_ sessions: [UInt64]?) throws {
        for _ in 0..<3 {
          for (index, secret) in secrets.enumerated() {
            let answer = try client.perform(secret.operation(sessions?[index]))
            #expect(answer.status == .ok, "\(secret.name)")
          }
        }
      }

      func destroy(_ sessions: [UInt64]) throws {
        for session in sessions {
          #expect(try client.destroySession(session, service: .akcipher) == .ok)
        }
      }

      /// The names of what is found.
      func found() throws -> [(name: String, place: ProcessMemory.Hit)] {
        let needles = secrets.flatMap(\.needles)
        return try ProcessMemory(pid: daemon.pid).search(needles.map(\.bytes)).map {
          (needles[$0.needle].name, $0)
        }
      }

      /// Every key is somewhere: proof that the search finds what is there.
      func expectKeys() throws {
        let names = Set(try found().map(\.name))
        for secret in secrets {
          #expect(!names.isDisjoint(with: secret.needles.map(\.name)), "\(secret.name) is nowhere")
        }
      }

      /// No part of any key, at once or as soon as sleeping workers have been woken.
      func expectNoKeys(_ when: String) throws {
        var hits = try found()
        let end = ContinuousClock.now + .milliseconds(3000)
        while !hits.isEmpty && ContinuousClock.now < end { hits = try found() }
        report(hits, when)
      }

      func report(_ hits: [(name: String, place: ProcessMemory.Hit)], _ when: String) {
        let memory = ProcessMemory(pid: daemon.pid)
        let texts = hits.prefix(20).map { hit in
          let thread = memory.thread(onStack: hit.place.mapping).map { ", the stack of \($0)" }
          return "\(hit.name) at \(hit.place)\(thread ?? "")"
        }
        let isClean = hits.isEmpty
        #expect(isClean, "\(hits.count) parts \(when):\n\(texts.joined(separator: "\n"))")
      }

      func finish() throws {
        client.frontend.disconnect()
        #expect(try daemon.terminate() == .status(0), "\(daemon.standardError.suffix(500))")
      }
    }

    @Test func destroyedSessionsLeaveNoPrivateKeyInMemory() throws {
      let stage = try Stage()
      let sessions = try stage.open()
      try stage.use(sessions)
      try stage.expectKeys()
      try stage.destroy(sessions)
      try stage.expectNoKeys("after their sessions")
      try stage.finish()
    }

    @Test func sessionsByMessageLeaveNoPrivateKeyInMemory() throws {
      let stage = try Stage(.legacy, layout: .current)
      let sessions = try stage.open()
      try stage.use(sessions)
      try stage.expectKeys()
      try stage.destroy(sessions)
      try stage.expectNoKeys("after their sessions")
      try stage.finish()
    }

    /// Made and ended without a request.
    @Test func unusedSessionsLeaveNoPrivateKeyInMemory() throws {
      let stage = try Stage()
      try stage.destroy(try stage.open())
      try stage.expectNoKeys("after unused sessions")
      try stage.finish()
    }

    @Test func statelessRequestsLeaveNoPrivateKeyInMemory() throws {
      let stage = try Stage(.statelessAKCipher)
      try stage.use(nil)
      try stage.expectNoKeys("after stateless requests")
      try stage.finish()
    }

    @Test func frontEndThatLeavesLeavesNoPrivateKeyInMemory() throws {
      let stage = try Stage()
      try stage.use(try stage.open())
      try stage.expectKeys()
      stage.client.frontend.disconnect()
      try stage.expectNoKeys("after their front-end")
      try stage.finish()
    }

    /// Keys that are refused after they were read: garbage behind them, a wrong number in them, no such padding or curve.
    @Test(arguments: [RequestFormat.revision1, .statelessAKCipher])
    func refusedPrivateKeysAreNotKept(format: RequestFormat) throws {
      let stage = try Stage(format)
      for secret in stage.secrets {
        var longer = secret.spec
        longer.key += [0]
        var shorter = secret.spec
        shorter.key.removeLast()
        var spoilt = secret.spec
        spoilt.key[spoilt.key.count - 3] ^= 0x10
        var unknown = secret.spec
        unknown.parameters[0] = 99
        for spec in [longer, shorter, spoilt, unknown] {
          if format == .revision1 {
            let answer = try stage.client.createSession(.akcipher(spec))
            if answer.status == .ok {
              try stage.client.destroySession(answer.sessionID, service: .akcipher)
            }
          } else {
            var operation = secret.operation(nil)
            operation.session = .akcipher(spec)
            _ = try stage.client.perform(operation)
          }
        }
      }
      try stage.expectNoKeys("after refusals")
      try stage.finish()
    }

    /// What the daemon holds at its end, with and without sessions.
    @Test(arguments: [true, false])
    func daemonEndsWithoutPrivateKeysInMemory(hasSessions: Bool) throws {
      let stage = try Stage(hasSessions ? .revision1 : .statelessAKCipher)
      try stage.use(hasSessions ? try stage.open() : nil)
      if hasSessions { try stage.expectKeys() }
      var watch = exit_watch()
      try #require(exit_watch_start(stage.daemon.pid, &watch) == 0, "the daemon cannot be traced")
      stage.daemon.send(signal: SIGTERM)
      let held = exit_watch_wait(&watch, 20000)
      #expect(held == 0, "the daemon was not held at its end: errno \(held)")
      if held == 0 { stage.report(try stage.found(), "at the end") }
      exit_watch_finish(&watch)
      #expect(try stage.daemon.waitForExit() == .status(0))
    }
  }
}
