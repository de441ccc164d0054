import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  /// That workers share nothing they write: what changes in the daemon's memory while one queue works, and what while
  /// another does.
  ///
  /// Seen from outside, by comparing the whole memory before and after. A write that leaves the value as it was does not
  /// show; so each queue works several times, with another number of requests each time. Guest memory is left out, which
  /// is each queue's own by the guest's choice.
  @Suite("Queues share no memory that they write")
  struct ScalingTests {
    /// Processors fetch lines of 64 bytes, and many of them in pairs.
    private static let blockByteCount = 128

    /// Everything writable that a process has, by address.
    private struct Image {
      var pieces: [UInt: Data] = [:]

      init(_ pid: Int32) throws {
        let file = try #require(FileHandle(forReadingAtPath: "/proc/\(pid)/mem"))
        for mapping in try ProcessMemory(pid: pid).mappings() {
          // Pages that were never touched are left out: a mapping of keys or counters is mostly those.
          for page in try Self.residentPages(pid, mapping.range) {
            try file.seek(toOffset: UInt64(page))
            if let data = try file.read(upToCount: 4096), data.count == 4096 {
              pieces[page] = data
            }
          }
        }
      }

      private static func residentPages(_ pid: Int32, _ range: Range<UInt>) throws -> [UInt] {
        let file = try #require(FileHandle(forReadingAtPath: "/proc/\(pid)/pagemap"))
        try file.seek(toOffset: UInt64(range.lowerBound / 4096 * 8))
        let count = range.count / 4096
        guard let words = try file.read(upToCount: count * 8) else { return [] }
        return words.withUnsafeBytes { words in
          (0..<words.count / 8).compactMap { index in
            let word = words.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
            return word >> 63 == 1 ? range.lowerBound + UInt(index) * 4096 : nil
          }
        }
      }

      /// Numbers of the blocks that differ; pages that are new differ where they are not zero.
      func changed(since before: Image) -> Set<UInt> {
        var blocks: Set<UInt> = []
        for (page, data) in pieces {
          let old = before.pieces[page] ?? Data(count: 4096)
          guard old != data else { continue }
          for offset in stride(from: 0, to: 4096, by: blockByteCount) {
            let range = offset..<offset + blockByteCount
            let isSame = data.withUnsafeBytes { new in
              old.withUnsafeBytes { old in new[range].elementsEqual(old[range]) }
            }
            if !isSame { blocks.insert((page + UInt(offset)) / UInt(blockByteCount)) }
          }
        }
        return blocks
      }
    }

    @Test(arguments: ["ipsec-mb", "openssl"])
    func whatOneQueueChangesNoOtherDoes(engine: String) throws {
      let daemon = try DaemonProcess(
        configuration: """
          version: 1
          workers: { poll: { mode: event } }
          algorithms: { cipher: { aes-cbc: { engine: [\(engine)] } } }

          """)
      let queueCount = 3
      let client = try daemon.client(dataQueueCount: queueCount)
      let session = try client.openSession(Samples.encryption)
      let carousels = try (0..<queueCount).map {
        try Carousel(client, [Samples.encrypt(session)], queue: $0)
      }
      // What is made at first use is made.
      for carousel in carousels {
        try carousel.run(500)
        try carousel.expectRightAnswers()
      }
      // The concurrency runtime has a thread that looks around once a second, whoever works. Before that is all, threads of
      // the start are let go after some five seconds without work, which on a busy machine come late.
      var resting: Set<UInt> = []
      for _ in 0..<8 {
        let before = try Image(daemon.pid)
        usleep(4_000_000)
        resting = try Image(daemon.pid).changed(since: before)
        if resting.count < 64 { break }
      }
      let restingPlaces = try places(resting, of: daemon)
      try #require(resting.count < 64, "what rests writes hardly anything: \(restingPlaces)")
      var changed = [Set<UInt>](repeating: [], count: queueCount)
      for (round, count) in [1, 37, 200].enumerated() {
        for index in 0..<queueCount {
          let before = try Image(daemon.pid)
          try carousels[index].run(count + index)
          usleep(100_000)
          let blocks = try Image(daemon.pid).changed(since: before)
          #expect(blocks.count > 8, "round \(round): the measure itself works")
          changed[index].formUnion(blocks)
        }
      }
      for first in 0..<queueCount {
        print("queue \(first) with \(engine) changes \(changed[first].count) blocks of 128 bytes")
        for second in 0..<first {
          let common = changed[first].intersection(changed[second]).subtracting(resting)
          let places = try places(common, of: daemon)
          #expect(common.isEmpty, "queues \(second) and \(first): \(places)")
        }
      }
    }

    private func places(_ blocks: Set<UInt>, of daemon: DaemonProcess) throws -> [String] {
      let mappings = try ProcessMemory(pid: daemon.pid).mappings()
      return blocks.sorted().map { block in
        let address = block * UInt(Self.blockByteCount)
        let mapping = mappings.first { $0.range.contains(address) }
        let owner = mapping.map { "\($0.name) + \(address - $0.range.lowerBound)" } ?? "?"
        return "0x\(String(address, radix: 16)) (\(owner))"
      }
    }
  }
}
