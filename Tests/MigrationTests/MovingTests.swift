import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

extension MigrationTests {
  /// A guest that works all the time moves from one daemon to another.
  @Suite("Moving guests")
  struct MovingTests {
    private static func sessions() -> [MovingGuest.Session] {
      let key = [UInt8](0..<32)
      let specs: [SessionSpec] = [
        .cipher(.aesCBC, .encrypt, key: Array(key.prefix(16))),
        .hash(.sha256, resultByteCount: 32),
        .mac(.hmacSHA1, key: key, resultByteCount: 20),
        .aead(.gcm, .encrypt, key: key, tagByteCount: 16),
      ]
      return specs.map { MovingGuest.Session(spec: $0, identifier: nil) }
    }

    @Test(arguments: RingKind.allCases)
    func movesUnderLoadAndLosesNothing(_ ring: RingKind) throws {
      let (first, second) = (try DaemonProcess(), try DaemonProcess())
      let options = LoggedGuest.options(.stateless, ring)
      let source = try LoggedGuest(first, options: options)
      let target = try Frontend.connect(path: second.socketPath, options: options)
      try target.negotiate()
      let guest = try MovingGuest(source.client, sessions: Self.sessions(), requestCount: 64)
      guest.start()
      usleep(100_000)
      var move = Move(from: source.client, to: target, sessions: .none)
      try move.run(guest)
      source.frontend.disconnect()
      usleep(200_000)
      try guest.end()
      try expectNothingIsLost(move, guest, "\(ring)")
      target.disconnect()
      for daemon in [first, second] { #expect(try daemon.terminate() == .status(0)) }
    }

    @Test(arguments: RingKind.allCases)
    func tenThousandSessionsMoveUnderLoad(_ ring: RingKind) throws {
      let file = "version: 1\ndevice: { max-sessions: 16384 }\n"
      let (first, second) = (
        try DaemonProcess(configuration: file), try DaemonProcess(configuration: file)
      )
      let options = LoggedGuest.options(.legacy, ring, movesSessions: true)
      let source = try LoggedGuest(first, options: options)
      let target = try Frontend.connect(path: second.socketPath, options: options)
      try target.negotiate()
      let count = 10_000
      let template = SessionSpec.cipher(.aesCBC, .encrypt, key: [UInt8](0..<16))
      var pipeline = try SessionPipeline.over(
        source.client, template: template, depth: 16, batch: 8)
      let identifiers = try pipeline.create(0..<count)
      pipeline.dispose()
      let sessions = identifiers.enumerated().map { number, identifier in
        MovingGuest.Session(
          spec: SessionPipeline.spec(template, number: number), identifier: identifier)
      }
      let guest = try MovingGuest(source.client, sessions: sessions, requestCount: 64)
      guest.start()
      usleep(100_000)
      var move = Move(from: source.client, to: target, sessions: .deviceState)
      try move.run(guest)
      source.frontend.disconnect()
      // Long enough to have used most of them.
      try waitUntil("twenty thousand requests", milliseconds: 60000) {
        guest.finishedCount > 20_000
      }
      try guest.end()
      try expectNothingIsLost(move, guest, "\(ring), \(count) sessions")
      #expect(move.stateByteCount > 16 * count)
      target.disconnect()
      for daemon in [first, second] { #expect(try daemon.terminate() == .status(0)) }
    }

    private func expectNothingIsLost(
      _ move: Move, _ guest: MovingGuest, _ what: String,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      #expect(move.lostPages.isEmpty, "\(what)", sourceLocation: sourceLocation)
      // Every answer was right, or the guest had thrown; each came once.
      #expect(guest.finishedCount == guest.postedCount, "\(what)", sourceLocation: sourceLocation)
      #expect(guest.inFlightCount == 0, "\(what)", sourceLocation: sourceLocation)
      #expect(move.pageCounts.dropLast().allSatisfy { $0 > 0 }, sourceLocation: sourceLocation)
      func milliseconds(_ nanoseconds: UInt64) -> String {
        String(format: "%.1f ms", Double(nanoseconds) / 1e6)
      }
      print(
        "migration, \(what): \(guest.finishedCount) requests, 0 lost; pages by round "
          + "\(move.pageCounts); in flight \(move.inFlightCount); state \(move.stateByteCount) bytes; "
          + "logging begins in \(milliseconds(move.logStart)); standstill "
          + "\(milliseconds(move.standstill)); first answer after \(milliseconds(move.downtime)); "
          + "longest request \(milliseconds(guest.longest))")
    }

    /// A migration that is given up, again and again: nothing is lost when logging begins and ends.
    @Test(arguments: RingKind.allCases)
    func loggingBeginsAndEndsWhileTheGuestWorks(_ ring: RingKind) throws {
      let daemon = try DaemonProcess()
      let source = try LoggedGuest(daemon, format: .stateless, ring: ring)
      let guest = try MovingGuest(source.client, sessions: Self.sessions(), requestCount: 64)
      guest.start()
      for _ in 0..<5 {
        let bitmap = try DirtyBitmap(covering: source.memory)
        try source.client.startLogging(bitmap)
        usleep(30_000)
        #expect(!bitmap.take().isEmpty)
        try source.frontend.setLogging(false, queues: try source.client.startedQueues())
        bitmap.clear()
        let before = guest.finishedCount
        usleep(30_000)
        #expect(bitmap.take().isEmpty)
        #expect(guest.finishedCount > before)
      }
      try guest.end()
      #expect(guest.finishedCount == guest.postedCount)
      #expect(try daemon.terminate() == .status(0))
    }
  }
}
