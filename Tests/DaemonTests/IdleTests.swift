import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("What waiting costs")
  struct IdleTests {
    /// Ticks of processor time (10 ms each) that the daemon uses in a time.
    private func ticks(_ daemon: DaemonProcess, milliseconds: UInt32) -> Int {
      let before = daemon.processorTicks
      usleep(milliseconds * 1000)
      return daemon.processorTicks - before
    }

    /// What the kernel says of a thread, whose directory in `/proc` is given.
    private struct WorkerTime {
      /// On a processor.
      let runSeconds: Double
      /// The same, and waiting for one that others have.
      let wantedSeconds: Double
      /// Times that it gave its processor away.
      let voluntarySwitches: Int

      init?(_ task: String) {
        let times = DaemonProcess.text(task + "/schedstat").split(separator: " ")
          .compactMap { Double($0) }
        let switches = DaemonProcess.text(task + "/status").split(separator: "\n")
          .first { $0.hasPrefix("voluntary_ctxt_switches:") }?.split(separator: "\t").last
        guard times.count >= 2, let switches, let count = Int(switches) else { return nil }
        runSeconds = times[0] / 1e9
        wantedSeconds = (times[0] + times[1]) / 1e9
        voluntarySwitches = count
      }
    }

    private func configuration(_ poll: String) -> String {
      "version: 1\nworkers: { poll: { \(poll) } }\n"
    }

    @Test(arguments: ["mode: adaptive", "mode: adaptive, spin-us: 20000", "mode: event"])
    func anIdleDaemonUsesNoProcessorTime(poll: String) throws {
      let daemon = try DaemonProcess.withStatistics(configuration(poll))
      let client = try daemon.client(dataQueueCount: 4)
      try waitUntil("four workers") { daemon.workerNames.count == 4 }
      usleep(100_000)
      #expect(ticks(daemon, milliseconds: 1000) <= 1)
      let session = try client.openSession(Samples.encryption)
      let busy = daemon.processorTicks
      defer { #expect(daemon.processorTicks > busy, "the measure itself works") }
      for queue in client.dataQueues.indices {
        let carousel = try Carousel(client, [Samples.encrypt(session)], queue: queue)
        try carousel.run(20_000)
        try carousel.expectRightAnswers()
      }
      usleep(100_000)
      #expect(ticks(daemon, milliseconds: 1000) <= 1)
      let queues = try daemon.device().queues
      for queue in queues { #expect(queue.sleeps > 0) }
      if poll == "mode: event" {
        for queue in queues { #expect(queue.spins == 0) }
      } else {
        #expect(queues.contains { $0.spins > 0 })
      }
    }

    @Test func anIdleDaemonWithoutFrontEndUsesNoProcessorTime() throws {
      let daemon = try DaemonProcess.withStatistics()
      usleep(200_000)
      #expect(ticks(daemon, milliseconds: 1000) <= 1)
    }

    @Test func alwaysPollingNeverSleeps() throws {
      let daemon = try DaemonProcess.withStatistics(configuration("mode: always"))
      let client = try daemon.client()
      try client.expectService()
      let task = try #require(Self.task("vcrypto-q0", of: daemon))
      let before = try #require(WorkerTime(task))
      let clock = ContinuousClock()
      let start = clock.now
      usleep(500_000)
      let after = try #require(WorkerTime(task))
      let elapsed = start.duration(to: clock.now) / .seconds(1)
      // Who never sleeps has the processor or waits for it, however busy the host is.
      #expect(after.voluntarySwitches == before.voluntarySwitches)
      #expect(after.wantedSeconds - before.wantedSeconds >= elapsed / 2)
      #expect(after.runSeconds > before.runSeconds)
      #expect(try daemon.device().queues[0].sleeps == 0)
      client.frontend.disconnect()
      try waitUntil("the end of the worker") { daemon.workerNames.isEmpty }
      #expect(ticks(daemon, milliseconds: 500) <= 1)
    }

    @Test func thereIsOneThreadPerEnabledDataQueue() throws {
      let daemon = try DaemonProcess()
      #expect(daemon.workerNames == [])
      let client = try daemon.client(dataQueueCount: 3)
      let names = ["vcrypto-q0", "vcrypto-q1", "vcrypto-q2"]
      try waitUntil("three workers") { daemon.workerNames == names }
      try client.frontend.setEnabled(1, false)
      try waitUntil("two workers") { daemon.workerNames == ["vcrypto-q0", "vcrypto-q2"] }
      try client.frontend.setEnabled(1, true)
      try waitUntil("three workers again") { daemon.workerNames == names }
      for queue in 0..<3 { try client.expectService(queue: queue) }
      try client.frontend.stopQueue(2)
      try waitUntil("the last one's end") { daemon.workerNames.count == 2 }
    }

    @Test func workersRunOnTheirProcessors() throws {
      let allowed = try #require(Self.allowedProcessors("/proc/self/status"))
      let list = allowed.split { $0 == "," || $0 == "-" }.compactMap { Int($0) }
      let cpus = [try #require(list.last), try #require(list.first)]
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\nworkers: { cpus: [\(Set(cpus).count == 1 ? "\(cpus[0])" : "\(cpus[0]), \(cpus[1])")] }\n"
      )
      let client = try daemon.client(dataQueueCount: 2)
      for queue in 0..<2 {
        try client.expectService(queue: queue)
        let task = try #require(Self.task("vcrypto-q\(queue)", of: daemon))
        #expect(Self.allowedProcessors(task + "/status") == "\(cpus[queue])")
        #expect(try daemon.device().queues[queue].cpu == cpus[queue])
      }
      let control = try #require(Self.task("vcrypto-ctl", of: daemon))
      #expect(Self.allowedProcessors(control + "/status") == allowed)
    }

    static func task(_ name: String, of daemon: DaemonProcess) -> String? {
      let folder = "/proc/\(daemon.pid)/task"
      let tasks = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return tasks.map { folder + "/" + $0 }.first {
        (try? String(contentsOfFile: $0 + "/comm", encoding: .utf8)) == name + "\n"
      }
    }

    static func allowedProcessors(_ path: String) -> String? {
      let text = try? String(contentsOfFile: path, encoding: .utf8)
      let line = text?.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
      return line?.split(separator: "\t").last.map(String.init)
    }
  }
}
