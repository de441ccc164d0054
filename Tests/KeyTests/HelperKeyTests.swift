import CExitWatch
import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol

/// Helper threads have expanded keys of their own, which go when those of the workers go.
extension KeyTests {
  @Suite("Keys and helper threads")
  struct HelperKeyTests {
    /// Everything that takes such a text is a long operation.
    private static func stage(
      _ engine: EngineUnderTest, format: RequestFormat = .revision1
    ) throws -> KeyStage {
      try KeyStage(
        engine, format: format, servesStatistics: true,
        workers: "workers: { helpers: 3, helper-min-size: 1KiB }\n", textByteCount: 1024)
    }

    private static func helpedCount(_ stage: KeyStage) throws -> UInt64 {
      let body = try HTTPExchange.get("/stats", socketPath: stage.daemon.statsPath)
      let snapshot = try JSONDecoder().decode(DaemonSnapshot.self, from: body)
      return snapshot.devices.flatMap(\.queues).reduce(0) { $0 + $1.helped }
    }

    @Test(arguments: engines)
    func destroyedSessionsLeaveNoKeyWithHelpers(_ engine: EngineUnderTest) throws {
      let stage = try Self.stage(engine)
      let identifiers = try stage.open()
      for _ in 0..<3 { try stage.use(identifiers) }
      try stage.expectKeys()
      #expect((try Self.helpedCount(stage) > stage.sessions.count) == (engine.name != "kernel"))
      try stage.destroy(identifiers)
      try stage.expectNoKeys("after their sessions")
      try stage.finish()
    }

    @Test(arguments: engines)
    func statelessRequestsLeaveNoKeyWithHelpers(_ engine: EngineUnderTest) throws {
      let stage = try Self.stage(engine, format: .stateless)
      try stage.use(nil)
      #expect((try Self.helpedCount(stage) > 0) == (engine.name != "kernel"))
      try stage.expectNoKeys("after stateless requests")
      try stage.finish()
    }

    @Test(arguments: engines, [false, true])
    func helpersEndWithoutKeysInMemory(_ engine: EngineUnderTest, frontEndLeaves: Bool) throws {
      let stage = try Self.stage(engine)
      try stage.use(try stage.open())
      try stage.expectKeys()
      if frontEndLeaves {
        stage.client.frontend.disconnect()
        try stage.expectNoKeys("after their front-end")
        return try stage.finish()
      }
      var watch = exit_watch()
      try #require(exit_watch_start(stage.daemon.pid, &watch) == 0, "the daemon cannot be traced")
      stage.daemon.send(signal: SIGTERM)
      let held = exit_watch_wait(&watch, 20000)
      #expect(held == 0, "the daemon was not held at its end: errno \(held)")
      if held == 0 { stage.report(try stage.marker.hits(in: stage.daemon), "at the end") }
      exit_watch_finish(&watch)
      #expect(try stage.daemon.waitForExit() == .status(0))
    }
  }
}
