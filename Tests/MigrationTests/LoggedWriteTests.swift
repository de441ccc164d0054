import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension MigrationTests {
  /// Every kind of write is made after all of memory was copied; then the logged pages, and they alone, are copied again.
  @Suite("Logged writes")
  struct LoggedWriteTests {
    private static func plans(indirect: Bool) -> [(String, RequestPlan)] {
      var contiguous = RequestPlan()
      contiguous.isIndirect = indirect
      var scattered = contiguous
      scattered.source = .count(3)
      scattered.destination = .count(4)
      // The result and the status in a last buffer of their own.
      scattered.status = .tailOfLastBuffer
      var inPlace = contiguous
      inPlace.isInPlace = true
      return [("contiguous", contiguous), ("scattered", scattered), ("in place", inPlace)]
    }

    @Test(arguments: RingKind.allCases)
    func everyByteThatADataQueueWritesIsLogged(_ ring: RingKind) throws {
      let daemon = try DaemonProcess()
      for format in [RequestFormat.legacy, .stateless] {
        let guest = try LoggedGuest(daemon, format: format, ring: ring)
        let items = try LoggedItems(guest.client, hasSessions: format != .stateless)
        try guest.client.startLogging(guest.bitmap)
        for isIndirect in [true, false] {
          for (name, plan) in Self.plans(indirect: isIndirect) {
            let what = "\(ring), \(isIndirect ? "indirect" : "direct"), \(name)"
            try guest.expectEverythingIsLogged(items.list, plan: plan, what)
            // One at a time, so that each is the last one before the ring stops.
            for item in items.list where name == "scattered" {
              try guest.expectEverythingIsLogged([item], plan: plan, "\(what), \(item.name)")
            }
          }
        }
        guest.frontend.disconnect()
      }
      #expect(try daemon.terminate() == .status(0))
    }

    /// What an engine finishes later, and what it finishes at once.
    @Test func everyByteOfEachEngineIsLogged() throws {
      for engine in try EngineUnderTest.all().map(\.name) {
        let names = engine == "openssl" ? engine : "\(engine), openssl"
        let list = "{ default: { engine: [\(names)] } }"
        let daemon = try DaemonProcess(
          arguments: ["--calibration-cache=none"],
          configuration: """
            version: 1
            algorithms: { cipher: \(list), hash: \(list), mac: \(list), aead: \(list) }

            """)
        let guest = try LoggedGuest(daemon, format: .revision1, ring: .packed)
        let items = try LoggedItems(guest.client, hasSessions: true)
        try guest.client.startLogging(guest.bitmap)
        for (name, plan) in Self.plans(indirect: true) {
          try guest.expectEverythingIsLogged(items.list, plan: plan, "\(engine), \(name)")
        }
        guest.frontend.disconnect()
        #expect(try daemon.terminate() == .status(0))
      }
    }

    @Test func everyByteOfTheASYMServiceIsLogged() throws {
      let daemon = try DaemonProcess(
        configuration: "version: 1\ndevice:\n  dialect: rfc-asym-v3\n")
      let key = try #require(RSAKeyPair.ofKnownPrimes(bitCount: 4096))
      let n = try #require(key.modulus.bytes(count: 512))
      let e: [UInt8] = [1, 0, 1]
      var random = SeededRandom.printed()
      let items = [
        LoggedGuest.Item(
          name: "RSA", request: ASYMRequest.rsaEncrypt(n: n, e: e, [1, 2, 3], padding: 1)),
        LoggedGuest.Item(
          name: "a message that is too long",
          request: ASYMRequest.rsaEncrypt(n: n, e: e, random.bytes(513), padding: 1), status: .err),
        LoggedGuest.Item(
          name: "no such padding",
          request: ASYMRequest.rsaEncrypt(n: n, e: e, [1], padding: 99), status: .notsupp),
      ]
      for ring in RingKind.allCases {
        let guest = try LoggedGuest(daemon, format: .rfcAsymV3, ring: ring)
        try guest.client.startLogging(guest.bitmap)
        for (name, plan) in Self.plans(indirect: true).prefix(2) {
          try guest.expectEverythingIsLogged(items, plan: plan, "\(ring), \(name)")
          for item in items {
            try guest.expectEverythingIsLogged([item], plan: plan, "\(ring), \(item.name)")
          }
        }
        guest.frontend.disconnect()
      }
      #expect(try daemon.terminate() == .status(0))
    }

    @Test(arguments: [RingKind.split, .packed])
    func everyByteThatTheControlQueueWritesIsLogged(_ ring: RingKind) throws {
      let daemon = try DaemonProcess()
      let guest = try LoggedGuest(daemon, format: .legacy, ring: ring)
      let format = guest.client.format
      let session = SessionSpec.cipher(.aesCBC, .encrypt, key: [UInt8](repeating: 7, count: 16))
      let wrong = SessionSpec.cipher(.aesCBC, .encrypt, key: [1])
      let requests = [
        CryptoRequestBuilder.createSession(session, format: format),
        CryptoRequestBuilder.createSession(wrong, format: format),
        CryptoRequestBuilder.destroySession(.max, service: .cipher, format: format),
      ]
      try guest.client.startLogging(guest.bitmap)
      // All of them, and each by itself.
      for list in [requests] + requests.map({ [$0] }) {
        var pages = Set<UInt64>()
        var outcomes: [ChainBuffer] = []
        try guest.expectEverythingIsLogged(
          "\(ring)", on: guest.control, index: guest.controlIndex,
          // The data queue's worker may go to sleep meanwhile.
          allowed: { pages.union(guest.ringPages(guest.queue)) },
          prepare: {
            for request in list {
              let placed = try PlacedRequest(request, in: guest.memory)
              outcomes += placed.result
              for buffer in placed.result {
                pages.formUnion(
                  GuestRAM.pages(buffer.guestAddress, byteCount: Int(buffer.byteCount)))
              }
              guest.control.post(try guest.control.reserve(placed.buffers, indirect: true))
            }
            _ = guest.control.publish()
          },
          wait: {
            for _ in list { _ = try guest.control.pollUsed(timeoutMilliseconds: 5000) }
          })
        for outcome in outcomes {
          let byte = try guest.memory.read(outcome.guestAddress, byteCount: 1)
          #expect(byte != [PlacedRequest.untouched])
        }
      }
      #expect(try daemon.terminate() == .status(0))
    }

    /// Without a request, a queue still says whether it wants kicks.
    @Test(arguments: RingKind.allCases, ["adaptive", "event", "always"])
    func notificationWishesOfAnIdleQueueAreLogged(_ ring: RingKind, _ poll: String) throws {
      let daemon = try DaemonProcess(
        configuration: "version: 1\nworkers: { poll: { mode: \(poll) } }\n")
      let guest = try LoggedGuest(daemon, format: .legacy, ring: ring)
      try guest.client.startLogging(guest.bitmap)
      for _ in 0..<3 {
        try guest.expectEverythingIsLogged(
          "\(ring), \(poll)", on: guest.queue, index: 0, allowed: { [] },
          prepare: {
            // As nobody would leave them.
            let byteCount = ring.isPacked ? 4 : 2
            try guest.memory.fill(guest.queue.layout.used, byteCount: byteCount, with: 0x5A)
          }, wait: { usleep(20_000) })
      }
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func usedRingIsLoggedWhereTheFrontendSays() throws {
      let daemon = try DaemonProcess()
      let guest = try LoggedGuest(daemon, format: .legacy, ring: .split)
      // Beyond all memory, but not beyond the log.
      let address: UInt64 = 8 << 30
      let bitmap = try DirtyBitmap(covering: guest.memory, guestEnd: address + (1 << 20))
      try guest.client.startLogging(bitmap)
      try guest.frontend.setVringAddress(0, guest.queue, isLogged: true, logAddress: address)
      bitmap.clear()
      _ = try guest.client.perform(
        OperationSpec(.hash(.sha1, resultByteCount: 20), sessionID: 0, source: [1]))
      try guest.frontend.stopQueue(0)
      let pages = Set(bitmap.take())
      #expect(pages.isSuperset(of: GuestRAM.pages(address, byteCount: 6 + 8 * 512)))
      #expect(pages.isDisjoint(with: guest.ringPages(guest.queue)))
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func eventSaysThatPagesWereLogged() throws {
      let daemon = try DaemonProcess()
      let guest = try LoggedGuest(daemon, format: .legacy, ring: .split)
      let event = try EventFile()
      try guest.frontend.setLogEvent(event)
      let hash = SessionSpec.hash(.sha1, resultByteCount: 20)
      let id = try guest.client.openSession(hash)
      let operation = OperationSpec(hash, sessionID: id, source: [1])
      #expect(try guest.client.perform(operation).status == .ok)
      #expect(try event.drain() == 0)
      try guest.client.startLogging(guest.bitmap)
      #expect(try guest.client.perform(operation).status == .ok)
      #expect(try event.wait(milliseconds: 2000))
      #expect(try daemon.terminate() == .status(0))
    }

    /// The front-end's log may be shorter than memory, or be none at all: nothing is written outside of it.
    @Test func shortLogHarmsNobody() throws {
      let daemon = try DaemonProcess()
      let guest = try LoggedGuest(daemon, format: .legacy, ring: .split)
      // Bits for the first 64 pages alone, where no region is.
      let small = try DirtyBitmap(
        covering: try GuestRAM(regions: [
          GuestRegionSpec(guestAddress: 0, byteCount: 64 * 4096)
        ]))
      try guest.client.startLogging(small)
      let hash = SessionSpec.hash(.sha1, resultByteCount: 20)
      let id = try guest.client.openSession(hash)
      for _ in 0..<100 {
        let answer = try guest.client.perform(OperationSpec(hash, sessionID: id, source: [1]))
        #expect(answer.status == .ok)
      }
      #expect(small.take().isEmpty)
      #expect(daemon.standardError.contains("shorter than guest memory"))
      #expect(try daemon.terminate() == .status(0))
    }
  }
}
