import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension SessionStoreTests {
  /// Sessions of an earlier process whose guest is late.
  @Suite struct HeldSessions {
    private let memory: GuestRAM
    private var random = SeededRandom.printed("held sessions")
    private let sessions: KeptSessions

    init() throws {
      memory = try GuestRAM.scattered()
      sessions = KeptSessions(&random)
    }

    @Test func areGivenUpWhenTheirGuestDoesNotComeBack() throws {
      let service = try StoringService(arguments: ["--session-patience=2"])
      var client = try service.client(memory)
      let identifiers = try sessions.specs.map { try client.openSession($0) }
      try service.end()
      try service.start()
      try sessions.expectKeys(in: service.pid)
      try waitUntil("their end") { service.log.contains("its front-end has not come back") }
      try sessions.expectNoKeys(in: service.pid)
      client = try service.client(memory)
      try sessions.expectInvalid(client, identifiers)
      // What it makes now is kept again.
      let more = try sessions.specs.map { try client.openSession($0) }
      try service.end()
      try service.start()
      client = try service.client(memory)
      try sessions.expect(client, more)
      // It came in time, and no alarm goes off any more.
      usleep(2_500_000)
      try sessions.expect(client, more)
      #expect(!service.log.contains("has not come back"))
    }
  }
}
