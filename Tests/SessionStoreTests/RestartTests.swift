import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

@testable import CryptoDevice

extension SessionStoreTests {
  /// The daemon ends, and another takes its place.
  @Suite struct Restart {
    private let memory: GuestRAM
    private var random = SeededRandom.printed("sessions across restarts")
    private let sessions: KeptSessions

    init() throws {
      memory = try GuestRAM.scattered()
      sessions = KeptSessions(&random)
    }

    private func open(_ client: CryptoClient, _ specs: [SessionSpec]? = nil) throws -> [UInt64] {
      try (specs ?? sessions.specs).map { try client.openSession($0) }
    }

    @Test(arguments: [SIGKILL, SIGTERM], [true, false])
    func sessionsOfAllServicesSurvive(signal: Int32, isActivated: Bool) throws {
      let service = try StoringService(isActivated: isActivated)
      #expect(service.storedNames == ["sessions-vm1"])
      var client = try service.client(memory)
      var identifiers = try open(client)
      try sessions.expect(client, identifiers)
      let closed = try client.openSession(sessions.specs[0])
      #expect(try client.destroySession(closed, service: .cipher) == .ok)
      for round in 0..<3 {
        try service.end(signal)
        try service.start()
        #expect(service.storedNames == ["sessions-vm1"])
        // Held, and shown to nobody yet.
        #expect(try service.device().sessions.open == 0)
        client = try service.client(memory)
        try sessions.expect(client, identifiers)
        try sessions.expectInvalid(client, [sessions.specs[0]], [closed])
        #expect(try service.device().sessions.open == UInt64(identifiers.count))
        // Made since, they survive the next one; ended since, they do not.
        let more = try open(client)
        #expect(Set(more).isDisjoint(with: identifiers + [closed]))
        for (id, spec) in zip(identifiers, sessions.specs) {
          #expect(try client.destroySession(id, service: spec.service) == .ok)
        }
        try sessions.expectInvalid(client, identifiers)
        identifiers = more
        #expect(service.log.contains("the guest has its sessions again"), "round \(round)")
      }
      client.frontend.disconnect()
      try waitUntil("their end") { try service.device().sessions.open == 0 }
      try sessions.expectNoKeys(in: service.pid)
      // The front-end has left while the daemon lived: nothing is kept.
      try service.end(signal)
      try service.start()
      client = try service.client(memory)
      try sessions.expectInvalid(client, identifiers)
      try service.end(SIGTERM)
    }

    @Test func sessionsByMessageSurvive() throws {
      let service = try StoringService()
      let specs = sessions.symmetric.filter { $0.cipherKey.count <= 64 && $0.authKey.count <= 512 }
      var client = try service.client(memory, messages: .current)
      let identifiers = try open(client, specs)
      try service.end()
      try service.start()
      client = try service.client(memory, messages: .current)
      try sessions.expect(client, specs, identifiers)
      for id in identifiers { #expect(try client.destroySession(id, service: .cipher) == .ok) }
      try sessions.expectInvalid(client, specs, identifiers)
    }

    /// Front-ends that share memory region by region are known, too.
    @Test func memorySlotsAreOneGuestsToo() throws {
      let service = try StoringService()
      var options = Frontend.Options(format: .revision1)
      options.usesMemorySlots = true
      var client = try CryptoClient.start(
        path: service.socketPath, options: options, memory: memory)
      let identifiers = try open(client)
      try service.end()
      try service.start()
      client = try CryptoClient.start(path: service.socketPath, options: options, memory: memory)
      try sessions.expect(client, identifiers)
      // Those that it makes belong to the same guest.
      let more = try open(client)
      try service.end()
      try service.start()
      client = try service.client(memory)
      try sessions.expect(client, identifiers)
      try sessions.expect(client, more)
    }

    /// Makes the journal another guest's.
    private func changeOwner(
      _ service: StoringService, _ change: (inout SessionOwner) -> Void
    ) throws {
      let header = try service.storedBytes(256)
      // Which of the two records counts.
      let place = JournalLayout.ownerOffset + Int(header[JournalLayout.ownerSelectorOffset]) * 64
      var bytes = Array(header[place..<place + OwnerRecord.byteCount])
      var record: OwnerRecord?
      try bytes.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { record = try OwnerRecord.load(base) }
      }
      var changed = try #require(record)
      change(&changed.owner)
      bytes.withUnsafeMutableBytes { bytes in
        if let base = bytes.baseAddress { OwnerRecord.store(changed, to: base) }
      }
      try service.changeStored(at: place, to: bytes)
    }

    // MARK: Nobody let in

    @Test func anotherGuestGetsNothingAndTheKeysAreGone() throws {
      let service = try StoringService()
      let client = try service.client(memory)
      let identifiers = try open(client)
      try sessions.expect(client, identifiers)
      try service.end()
      try service.start()
      try sessions.expectKeys(in: service.pid)
      // The same process, but other memory.
      let stranger = try service.client(try GuestRAM.scattered())
      try sessions.expectInvalid(stranger, identifiers)
      #expect(try service.device().sessions.open == 0)
      try sessions.expectNoKeys(in: service.pid)
      #expect(service.log.contains("another guest came"))
      // And the guest that they were of comes too late.
      stranger.frontend.disconnect()
      try sessions.expectInvalid(try service.client(memory), identifiers)
    }

    @Test func theSameMemoryInAnotherProcessIsAnotherGuest() throws {
      let service = try StoringService()
      let client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      // As the journal would be of another process.
      try changeOwner(service) { owner in
        #expect(owner.peer.number == getpid() && owner.peer.startTime > 0)
        owner.peer.startTime += 1
      }
      try service.start()
      try sessions.expectInvalid(try service.client(memory), identifiers)
      try sessions.expectNoKeys(in: service.pid)
    }

    @Test func aFrontEndThatComesAndGoesTakesNothing() throws {
      let service = try StoringService()
      var client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      try service.start()
      // It negotiates, shares other memory, tries to close and to make sessions, and starts no queue.
      let visitor = try Frontend.connect(path: service.socketPath)
      try visitor.negotiate()
      try visitor.shareMemory(try GuestRAM(byteCount: 1 << 20))
      for id in identifiers { #expect(throws: FrontendError.self) { try visitor.closeSession(id) } }
      let own = try visitor.createSession(sessions.specs[0])
      #expect(own.statusWord == 0 && !identifiers.contains(own.sessionID))
      visitor.disconnect()
      client = try service.client(memory)
      try sessions.expect(client, identifiers)
      try sessions.expectInvalid(client, [sessions.specs[0]], [own.sessionID])
    }

    @Test func aGuestWhoseProcessHasEndedIsNotWaitedFor() throws {
      let service = try StoringService()
      let client = try service.client(memory)
      _ = try open(client)
      try service.end()
      let ended = try ChildProcess(program: "/bin/true", arguments: [])
      #expect(ended.wait(milliseconds: 5000) != nil)
      try changeOwner(service) { $0.peer.number = ended.pid }
      try service.start()
      #expect(service.log.contains("its front-end has ended"))
      try sessions.expectNoKeys(in: service.pid)
    }

    @Test func aResetEndsThem() throws {
      let service = try StoringService()
      var client = try service.client(memory)
      let identifiers = try open(client)
      try client.frontend.resetDevice()
      try service.end()
      try service.start()
      client = try service.client(memory)
      try sessions.expectInvalid(client, identifiers)
    }

    // MARK: What can go wrong

    @Test func aDamagedJournalIsRefusedWholeInOneLine() throws {
      let service = try StoringService()
      var client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      let layout = JournalLayout(slotCount: DeviceCore.slotCount(capacity: 65536))
      // A bit of the third session's.
      try service.changeStored(at: layout.slotOffset(2) + JournalLayout.wordsOffset, to: [0xFF])
      try service.start()
      let lines = service.log.split(separator: "\n").filter { $0.contains("damaged") }
      #expect(lines.count == 1 && lines[0].contains("session 2 is damaged"), "\(service.log)")
      // The store has a new one, in which new sessions are kept.
      #expect(service.storedNames == ["sessions-vm1"])
      client = try service.client(memory)
      try sessions.expectInvalid(client, identifiers)
      let more = try open(client)
      try service.end()
      try service.start()
      try sessions.expect(try service.client(memory), more)
    }

    @Test func algorithmsThatAreGoneAnswerThatTheSessionIsInvalid() throws {
      let service = try StoringService()
      var client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      let file = try service.directory.write(
        "version: 1\nalgorithms: { cipher: { aes-cbc: off } }\n", to: "less.yaml")
      try service.start(arguments: ["--config=\(file)"])
      client = try service.client(memory)
      try sessions.expectInvalid(client, [sessions.specs[0]], [identifiers[0]])
      try sessions.expect(
        client, Array(sessions.specs.dropFirst()), Array(identifiers.dropFirst()))
    }

    @Test func withoutAStoreSessionsEndWithTheDaemon() throws {
      let service = try StoringService(keepsDescriptors: false)
      var client = try service.client(memory)
      let identifiers = try open(client)
      try sessions.expect(client, identifiers)
      try service.end()
      try service.start()
      client = try service.client(memory)
      // Nor does a new session get a number that the guest knows.
      let more = try open(client)
      #expect(Set(more).isDisjoint(with: identifiers))
      try sessions.expectInvalid(client, identifiers)
    }

    @Test func theOptionGivesUpWhatIsInTheStore() throws {
      let service = try StoringService()
      var client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      try service.start(arguments: ["--no-session-store"])
      service.listen()
      #expect(service.storedNames == [])
      client = try service.client(memory)
      try sessions.expectInvalid(client, identifiers)
      try service.end(SIGTERM)
    }

    @Test func anotherNumberOfSessionsLosesNone() throws {
      let service = try StoringService(configuration: "version: 1\ndevice: { max-sessions: 100 }\n")
      var client = try service.client(memory)
      let identifiers = try open(client)
      try service.end()
      let file = try service.directory.write(
        "version: 1\ndevice: { max-sessions: 5000 }\n", to: "more.yaml")
      try service.start(arguments: ["--config=\(file)"])
      client = try service.client(memory)
      try sessions.expect(client, identifiers)
      client.frontend.disconnect()
      try waitUntil("their end") { try service.device().sessions.open == 0 }
      try service.end(SIGTERM)
      // Without sessions the journal is made anew.
      try service.start()
      client = try service.client(memory, controlQueueSize: 256)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 32)
      #expect(try pipeline.create(0..<3000).count == 3000)
    }

    // MARK: Many

    @Test(arguments: [10_000, 100_000])
    func manySessionsAreRestored(count: Int) throws {
      let service = try StoringService(
        configuration: "version: 1\ndevice: { max-sessions: \(count) }\n")
      var client = try service.client(memory, controlQueueSize: 256)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 32)
      let made = ContinuousClock.now
      let identifiers = try pipeline.create(0..<count)
      let making = made.duration(to: .now)
      try service.end()
      let started = ContinuousClock.now
      try service.start()
      let ready = started.duration(to: .now)
      client = try service.client(memory)
      let connected = started.duration(to: .now)
      let line = service.log.split(separator: "\n").first { $0.contains("wait for their guest") }
      print(
        "\(count) sessions: made in \(making / .milliseconds(1)) ms, ready again after \(ready / .milliseconds(1)) ms,"
          + " with a guest after \(connected / .milliseconds(1)) ms; \(line ?? "")")
      for number in (0..<count).shuffled().prefix(500) {
        let operation = OperationSpec(
          SessionPipeline.spec(Samples.encryption, number: number),
          sessionID: identifiers[number], iv: Samples.bytes(16), source: Samples.bytes(64))
        let answer = try client.perform(operation)
        try #require(answer.status == .ok)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
      #expect(try service.device().sessions.open == UInt64(count))
    }
  }
}
