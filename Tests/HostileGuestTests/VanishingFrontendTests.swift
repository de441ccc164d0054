import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension HostileGuest {
  @Suite struct VanishingFrontends {
    /// Puts requests on both queues and does not wait for them.
    private func flood(_ guest: Guest, kicks: Bool) throws {
      for queue in guest.client.dataQueues {
        for index in 0..<100 {
          var operation = guest.operation(Kind.allCases[index % 5])
          if case .hash = operation.session {
            operation.source = [UInt8](repeating: 7, count: 20000)
          }
          let placed = try PlacedRequest(
            CryptoRequestBuilder.data(operation, format: guest.format), plan: RequestPlan(),
            in: guest.memory)
          queue.post(try queue.reserve(placed.buffers, indirect: true))
        }
        _ = queue.publish()
        if kicks { try queue.kick() }
      }
    }

    @Test(arguments: [true, false])
    func twentyFrontendsThatVanishInTrafficLeaveNothing(kicks: Bool) throws {
      let stage = try Stage.current()
      for turn in 0..<20 {
        let guest = try stage.guest(turn % 2 == 0 ? .legacy : .revision1)
        for _ in 0..<10 { _ = try guest.client.openSession(Guest.spec(.aead)) }
        try flood(guest, kicks: kicks)
        if !kicks { try guest.client.dataQueues[1].kick() }
        guest.leave()
        try stage.bystander.expectServed(queue: turn % 2)
      }
      try stage.expectNothingIsLeft()
      try stage.guest().expectAllIsWell()
    }

    /// In the middle of a message: half a header, a header without its payload, a memory table with
    /// its descriptors and without the end.
    @Test func frontendsThatVanishInTheMiddleOfAMessageLeaveNothing() throws {
      let stage = try Stage.current()
      let messages: [[UInt8]] = [
        [5, 0, 0, 0, 1, 0], [5, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 0],
        [5, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0],
      ]
      for turn in 0..<21 {
        let guest = try stage.guest()
        try flood(guest, kicks: true)
        try guest.frontend.sendRaw(
          messages[turn % 3], descriptors: [guest.memory.regions[0].file.descriptor])
        guest.leave()
      }
      try stage.expectNothingIsLeft()
      try stage.guest().expectAllIsWell()
    }

    /// A front-end that is killed: the kernel closes everything that it had, wherever it was.
    @Test func killedFrontendsLeaveNothing() throws {
      let stage = try Stage.current()
      for turn in 0..<3 {
        let bench = try ChildProcess(
          program: DaemonProcess.executable("vhost-crypto"),
          arguments: [
            "bench", "--socket-path", stage.daemon.socketPath, "--seconds", "20", "--queues", "2",
          ])
        // It is connected, with guest memory shared and requests under way.
        let requests = try stage.counter("requests")
        try waitUntil("traffic", milliseconds: 10000) {
          try stage.counter("requests") > requests + 1000
        }
        #expect(bench.isRunning)
        bench.send(signal: SIGKILL)
        #expect(bench.wait(milliseconds: 5000) == .signal(SIGKILL))
        try stage.bystander.expectServed(queue: turn % 2)
      }
      try stage.expectNothingIsLeft()
      try stage.guest().expectAllIsWell()
    }

    /// Mappings of the daemon's own do not pile up either.
    @Test func mappingsDoNotPileUp() throws {
      let stage = try Stage.current()
      func visit() throws {
        let guest = try stage.guest()
        try flood(guest, kicks: true)
        guest.leave()
        try stage.expectNothingIsLeft()
      }
      for _ in 0..<3 { try visit() }
      let before = stage.daemon.mappingCount
      for _ in 0..<10 { try visit() }
      // Each visit has three regions, two workers with an io_uring, stacks and buffers: a leak of
      // any would show ten times.
      #expect(stage.daemon.mappingCount < before + 10)
    }
  }
}
