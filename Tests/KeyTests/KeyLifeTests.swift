import CExitWatch
import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol

/// When keys leave the daemon's memory.
extension KeyTests {
  @Suite("Keys and the daemon's memory")
  struct KeyLifeTests {
    @Test(arguments: engines)
    func destroyedSessionsLeaveNoKeyInMemory(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine)
      let identifiers = try stage.open()
      try stage.use(identifiers)
      try stage.expectKeys()
      try stage.destroy(identifiers)
      try stage.expectNoKeys("after their sessions")
      try stage.finish()
    }

    @Test(arguments: engines)
    func statelessRequestsLeaveNoKeyInMemory(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine, format: .stateless)
      try stage.use(nil)
      try stage.expectNoKeys("after stateless requests")
      try stage.finish()
    }

    /// Messages carry keys of up to 64 and 512 bytes; the oldest layout knows ciphers and chains only.
    @Test(arguments: engines, SessionLayout.allCases)
    func sessionsByMessageLeaveNoKeyInMemory(
      _ engine: EngineUnderTest, _ layout: SessionLayout
    ) throws {
      let stage = try KeyStage(engine, format: .legacy, layout: layout)
      let some = stage.sessions.filter {
        layout != .withoutOpcode || $0.spec.service == .cipher
      }
      let identifiers = try stage.open(some)
      try stage.use(identifiers, some)
      try stage.expectKeys(of: some)
      try stage.destroy(identifiers, some)
      try stage.expectNoKeys("after their sessions")
      try stage.finish()
    }

    @Test(arguments: engines)
    func frontEndThatLeavesLeavesNoKeyInMemory(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine)
      try stage.use(try stage.open())
      try stage.expectKeys()
      stage.client.frontend.disconnect()
      try stage.expectNoKeys("after their front-end")
      try stage.finish()
    }

    /// One session at a time, so that no later work covers up what stays on a stack.
    @Test(arguments: engines)
    func eachKeyAloneLeavesNothing(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine)
      var residues: [String] = []
      for session in stage.sessions {
        let identifiers = try stage.open([session])
        try stage.use(identifiers, [session])
        try stage.destroy(identifiers, [session])
        if let residue = try stage.residue(of: session) { residues.append(residue) }
      }
      #expect(residues.isEmpty, "\(residues.joined(separator: "\n"))")
      try stage.finish()
    }

    @Test(arguments: engines)
    func eachStatelessKeyAloneLeavesNothing(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine, format: .stateless)
      var residues: [String] = []
      for session in stage.sessions {
        try stage.use(nil, [session])
        if let residue = try stage.residue(of: session) { residues.append(residue) }
      }
      #expect(residues.isEmpty, "\(residues.joined(separator: "\n"))")
      try stage.finish()
    }

    /// The search for expanded keys finds some where a key lives: AES-CBC's schedule, GHASH's key.
    @Test(arguments: engines.filter { $0.name != "kernel" })
    func expandedKeysAreFoundWhileTheirSessionLives(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine)
      let session = try #require(
        stage.sessions.first {
          if case .cipher(.aesCBC, .encrypt, _) = $0.spec { true } else { false }
        })
      let identifiers = try stage.open([session])
      try stage.use(identifiers, [session])
      let forms = Set(try stage.marker.hits(in: stage.daemon, session).map(\.form))
      #expect(forms.contains("as its last round key"), "\(forms)")
      try stage.finish()
    }

    /// Keys that are refused after they were read: a wrong length, equal halves, an algorithm that is not there.
    @Test(arguments: engines)
    func refusedSessionsLeaveNoKeyInMemory(_ engine: EngineUnderTest) throws {
      let stage = try KeyStage(engine)
      let half = stage.marker.key(1001, 16)
      for spec: SessionSpec in [
        .cipher(.aesCBC, .encrypt, key: stage.marker.key(1000, 20)),
        .cipher(.aesXTS, .encrypt, key: half + half),
        .cipher(.tripleDESECB, .encrypt, key: stage.marker.key(1002, 64)),
        .mac(.hmacSHA1, key: stage.marker.key(1003, 512), resultByteCount: 99),
        .aead(.gcm, .decrypt, key: stage.marker.key(1004, 64), tagByteCount: 16),
      ] {
        #expect(try stage.client.createSession(spec).status != .ok, "\(spec)")
      }
      try stage.expectNoKeys("after refusals")
      try stage.finish()
    }

    /// The last bytes of a session message never come.
    private func sendHalfAMessage(_ stage: KeyStage) throws {
      let spec = SessionSpec.mac(
        .hmacSHA1, key: stage.marker.key(9, 512), resultByteCount: 20)
      let payload = try #require(spec.message(.current).encoded)
      let header = MessageHeader(
        .createCryptoSession, needsReply: false, payloadByteCount: payload.count)
      try stage.client.frontend.sendRaw(header.encoded + payload.dropLast(40))
      try waitUntil("the daemon to read half a message") {
        try !stage.marker.hits(in: stage.daemon).isEmpty
      }
    }

    @Test func halfAMessageLeavesNoKeyInMemory() throws {
      let stage = try KeyStage(try #require(engines.first))
      try sendHalfAMessage(stage)
      stage.client.frontend.disconnect()
      try stage.expectNoKeys("after half a message")
      try stage.finish()
    }

    /// How the daemon is doing when it is asked to end.
    enum Ending: CaseIterable {
      case withSessions, afterSessions, afterStatelessRequests, inAMessage, afterItsFrontEnd
    }

    @Test(arguments: engines, Ending.allCases)
    func daemonEndsWithoutKeysInMemory(_ engine: EngineUnderTest, _ ending: Ending) throws {
      let isStateless = ending == .afterStatelessRequests
      let stage = try KeyStage(engine, format: isStateless ? .stateless : .revision1)
      if isStateless {
        try stage.use(nil)
      } else {
        let identifiers = try stage.open()
        try stage.use(identifiers)
        try stage.expectKeys()
        if ending == .afterSessions { try stage.destroy(identifiers) }
      }
      if ending == .inAMessage { try sendHalfAMessage(stage) }
      if ending == .afterItsFrontEnd { stage.client.frontend.disconnect() }

      var watch = exit_watch()
      try #require(exit_watch_start(stage.daemon.pid, &watch) == 0, "the daemon cannot be traced")
      stage.daemon.send(signal: SIGTERM)
      let held = exit_watch_wait(&watch, 20000)
      #expect(held == 0, "the daemon was not held at its end: errno \(held)")
      if held == 0 { stage.report(try stage.marker.hits(in: stage.daemon), "at the end") }
      exit_watch_finish(&watch)
      #expect(try stage.daemon.waitForExit() == .status(0))
    }

    /// What is held at its end would show its keys if there were any.
    @Test func endOfADaemonThatIsKilledShowsItsKeys() throws {
      let stage = try KeyStage(try #require(engines.first))
      let identifiers = try stage.open()
      try stage.use(identifiers)
      var watch = exit_watch()
      try #require(exit_watch_start(stage.daemon.pid, &watch) == 0, "the daemon cannot be traced")
      // Nothing of the daemon's own runs on this signal.
      stage.daemon.send(signal: SIGALRM)
      let held = exit_watch_wait(&watch, 20000)
      #expect(held == 0, "the daemon was not held at its end: errno \(held)")
      if held == 0 { try stage.expectKeys() }
      exit_watch_finish(&watch)
      #expect(try stage.daemon.waitForExit() == .signal(SIGALRM))
    }
  }
}
