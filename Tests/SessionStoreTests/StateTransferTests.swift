import CryptoTypes
import Foundation
import LinuxSystem
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

extension SessionStoreTests {
  /// A device's sessions go from one daemon to another.
  @Suite struct StateTransfer {
    private var random = SeededRandom.printed("device state")
    private let sessions: KeptSessions

    /// Daemons run until the test is over.
    private final class Daemons {
      var all: [DaemonProcess] = []
    }
    private let daemons = Daemons()

    init() throws { sessions = KeptSessions(&random) }

    private func daemon(_ configuration: String? = nil) throws -> DaemonProcess {
      let daemon = try DaemonProcess(configuration: configuration)
      daemons.all.append(daemon)
      return daemon
    }

    private func client(
      _ daemon: DaemonProcess, _ memory: GuestRAM? = nil, messages: SessionLayout? = nil,
      controlQueueSize: UInt16 = 64
    ) throws -> CryptoClient {
      try CryptoClient.start(
        path: daemon.socketPath, options: Frontend.Options(format: .revision1), memory: memory,
        controlQueueSize: controlQueueSize, messageLayout: messages)
    }

    /// Stops all rings, as a guest that is about to move.
    private func stop(_ client: CryptoClient) throws {
      try client.frontend.stopQueue(0)
      if case .queue = client.control {
        try client.frontend.stopQueue(Int(client.frontend.readConfiguration().maxDataQueues))
      }
    }

    /// A front-end that has negotiated and shared memory, and waits for a state.
    private func destination(_ daemon: DaemonProcess, _ memory: GuestRAM) throws -> Frontend {
      var options = Frontend.Options(format: .revision1)
      // It answers when it has looked at all sessions.
      options.timeoutMilliseconds *= sanitizerSlack
      let frontend = try Frontend.connect(path: daemon.socketPath, options: options)
      try frontend.negotiate()
      try frontend.shareMemory(memory)
      return frontend
    }

    private func run(_ frontend: Frontend, _ memory: GuestRAM) throws -> CryptoClient {
      let data = try frontend.makeQueue(size: 256)
      try frontend.startQueue(0, data)
      let control = try frontend.makeQueue(size: 64)
      try frontend.startQueue(Int(frontend.readConfiguration().maxDataQueues), control)
      return CryptoClient(
        frontend: frontend, memory: memory, dataQueues: [data], control: .queue(control))
    }

    private func state(_ count: Int = 1) throws -> ([UInt8], [UInt64]) {
      let client = try client(try daemon())
      let identifiers = try (0..<count).flatMap { _ in
        try sessions.specs.map { try client.openSession($0) }
      }
      try stop(client)
      return (try client.frontend.saveDeviceState(), identifiers)
    }

    @Test func sessionsOfAllServicesMove() throws {
      let first = try daemon()
      let source = try client(first)
      let identifiers = try sessions.specs.map { try source.openSession($0) }
      try sessions.expect(source, identifiers)
      let closed = try source.openSession(sessions.specs[0])
      try source.destroySession(closed, service: .cipher)
      try stop(source)
      let state = try source.frontend.saveDeviceState()
      let daemon = try DaemonProcess()
      let memory = try GuestRAM.scattered()
      let frontend = try destination(daemon, memory)
      try frontend.loadDeviceState(state)
      let arrived = try run(frontend, memory)
      try sessions.expect(arrived, identifiers)
      try sessions.expectInvalid(arrived, [sessions.specs[0]], [closed])
      let more = try sessions.specs.map { try arrived.openSession($0) }
      #expect(Set(more).isDisjoint(with: identifiers + [closed]))
      try sessions.expect(arrived, more)
      for (id, spec) in zip(identifiers, sessions.specs) {
        #expect(try arrived.destroySession(id, service: spec.service) == .ok)
      }
      // The migration failed after all: the source goes on with the sessions that it had.
      let again = try run(source.frontend, source.memory)
      try sessions.expect(again, identifiers)
      // What a front-end leaves has no keys in it, on either side, and neither have the logs.
      source.frontend.disconnect()
      frontend.disconnect()
      for daemon in [first, daemon] {
        try sessions.expectNoKeys(in: daemon.pid)
        sessions.expectNoKeys(inText: daemon.standardError)
      }
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func sessionsByMessageMove() throws {
      let source = try client(try daemon(), messages: .current)
      let specs = sessions.symmetric
      let identifiers = try specs.map { try source.openSession($0) }
      try stop(source)
      let state = try source.frontend.saveDeviceState()
      let memory = try GuestRAM.scattered()
      let daemon = try DaemonProcess()
      let frontend = try destination(daemon, memory)
      try frontend.loadDeviceState(state)
      try sessions.expect(try run(frontend, memory), specs, identifiers)
    }

    @Test(arguments: [10_000, 100_000])
    func manySessionsMove(count: Int) throws {
      let configuration = "version: 1\ndevice: { max-sessions: \(count) }\n"
      let source = try client(try daemon(configuration), controlQueueSize: 256)
      var pipeline = try SessionPipeline.over(
        source, template: Samples.encryption, depth: 64, batch: 32)
      let identifiers = try pipeline.create(0..<count)
      try stop(source)
      let begin = ContinuousClock.now
      let state = try source.frontend.saveDeviceState()
      let saved = ContinuousClock.now
      let memory = try GuestRAM.scattered()
      let daemon = try DaemonProcess(configuration: configuration)
      let frontend = try destination(daemon, memory)
      let ready = ContinuousClock.now
      try frontend.loadDeviceState(state)
      let loaded = ContinuousClock.now
      print(
        "\(count) sessions, \(state.count) bytes: saved in \(begin.duration(to: saved) / .milliseconds(1)) ms,"
          + " loaded in \(ready.duration(to: loaded) / .milliseconds(1)) ms")
      let arrived = try run(frontend, memory)
      for number in (0..<count).shuffled().prefix(300) {
        let operation = OperationSpec(
          SessionPipeline.spec(Samples.encryption, number: number),
          sessionID: identifiers[number], iv: Samples.bytes(16), source: Samples.bytes(64))
        let answer = try arrived.perform(operation)
        try #require(answer.status == .ok)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
    }

    // MARK: Refused whole

    @Test func damagedStatesLeaveTheDeviceAsItWas() throws {
      let (state, identifiers) = try state()
      let daemon = try DaemonProcess()
      let memory = try GuestRAM.scattered()
      let frontend = try destination(daemon, memory)
      var flipped = state
      flipped[state.count / 2] ^= 1
      var newer = state
      newer[8] = 2
      for wrong in [
        [], Array(state.prefix(1)), Array(state.prefix(64)), state.dropLast(), state + [0], flipped,
        newer, [UInt8](repeating: 7, count: 1 << 20),
      ] {
        #expect(throws: FrontendError.refused(message: "CHECK_DEVICE_STATE", value: 1)) {
          try frontend.loadDeviceState(Array(wrong))
        }
      }
      let client = try run(frontend, memory)
      try sessions.expectInvalid(client, identifiers)
      try sessions.expectNoKeys(in: daemon.pid)
      // And takes a sound one afterwards.
      try stop(client)
      try frontend.loadDeviceState(state)
      try sessions.expect(try run(frontend, memory), identifiers)
    }

    @Test func algorithmsThatAreNotOfferedAreRefusedWhole() throws {
      let (state, identifiers) = try state()
      let daemon = try DaemonProcess(
        configuration: "version: 1\nalgorithms: { aead: { aes-gcm: off } }\n")
      let memory = try GuestRAM.scattered()
      let frontend = try destination(daemon, memory)
      #expect(throws: FrontendError.refused(message: "CHECK_DEVICE_STATE", value: 1)) {
        try frontend.loadDeviceState(state)
      }
      #expect(daemon.standardError.contains("of a kind that is not offered here"))
      try sessions.expectInvalid(try run(frontend, memory), identifiers)
    }

    // MARK: The messages

    @Test func theAnswersAreTheProtocols() throws {
      let daemon = try DaemonProcess()
      let client = try client(daemon)
      let frontend = client.frontend
      let ok: UInt64 = 0x100
      let refused: UInt64 = 0x101
      func begin(_ direction: UInt32, _ phase: UInt32, _ descriptor: Int32) throws -> UInt64 {
        try frontend.setDeviceState(
          StateTransferPayload(direction: direction, phase: phase), descriptor: descriptor)
      }
      var ends: [Int32] = [-1, -1]
      #expect(pipe(&ends) == 0)
      defer { for end in ends where end >= 0 { close(end) } }
      #expect(frontend.offeredProtocolFeatures & 1 << 19 != 0)
      // Rings run.
      #expect(try begin(0, 0, ends[1]) == refused)
      #expect(try frontend.checkDeviceState() == 1)
      try stop(client)
      #expect(try frontend.checkDeviceState() == 1, "nothing was begun")
      #expect(try begin(2, 0, ends[1]) == refused)
      #expect(try begin(0, 1, ends[1]) == refused)
      let event = try EventFile()
      #expect(try begin(0, 0, event.descriptor) == refused, "it is no channel")
      #expect(try begin(0, 0, ends[0]) == refused && begin(1, 0, ends[1]) == refused, "wrong ends")
      // A save whose reader goes.
      #expect(try begin(0, 0, ends[1]) == ok)
      close(ends[0])
      ends[0] = -1
      _ = try frontend.checkDeviceState()
      // The daemon has survived all of it.
      #expect(try frontend.saveDeviceState().count == 96)
      // Over a socket and in a file it goes as well.
      let file = try OwnedFile.memory(byteCount: 0, name: "state")
      #expect(try begin(0, 0, file.descriptor) == ok)
      #expect(try frontend.checkDeviceState() == 0)
      #expect(lseek(file.descriptor, 0, SEEK_END) == 96)
      lseek(file.descriptor, 0, SEEK_SET)
      #expect(try begin(1, 0, file.descriptor) == ok)
      #expect(try frontend.checkDeviceState() == 0)
    }

    /// A pipe that nobody empties, or nobody writes to.
    @Test func aChannelThatStandsStillHoldsUpNobody() throws {
      let daemon = try DaemonProcess(servesStatistics: true)
      let source = try client(daemon, controlQueueSize: 256)
      var pipeline = try SessionPipeline.over(
        source, template: Samples.encryption, depth: 64, batch: 32)
      _ = try pipeline.create(0..<3000)
      try stop(source)
      var ends: [Int32] = [-1, -1]
      #expect(pipe(&ends) == 0)
      for direction in [StateTransferDirection.save, .load] {
        let end = direction == .save ? ends[1] : ends[0]
        let answer = try source.frontend.setDeviceState(
          StateTransferPayload(direction: direction.rawValue), descriptor: end)
        #expect(answer == StateTransferPayload.noDescriptor)
        // The device's thread answers at once.
        let start = ContinuousClock.now
        try source.frontend.synchronize()
        _ = try HTTPExchange.get("/sessions", socketPath: daemon.statsPath)
        #expect(start.duration(to: .now) < .seconds(1))
      }
      // A new transfer takes the place of one that stands still.
      let state = try source.frontend.saveDeviceState()
      #expect(state.count > 3000 * 72)
      // With the front-end the thread goes, too.
      var others: [Int32] = [-1, -1]
      #expect(pipe(&others) == 0)
      _ = try source.frontend.setDeviceState(
        StateTransferPayload(direction: 1), descriptor: others[0])
      try waitUntil("the thread") { daemon.threadNames.contains("vcrypto-state") }
      #expect(daemon.threadNames.contains("vcrypto-state"))
      source.frontend.disconnect()
      try waitUntil("the thread's end") { !daemon.threadNames.contains("vcrypto-state") }
      for end in ends + others { close(end) }
      #expect(try daemon.terminate() == .status(0))
    }
  }
}
