import Counters
import Foundation
import Testing

@Suite struct QueueCountersTests {
  @Test func newCountersAreZero() throws {
    let snapshot = try QueueCounters(rowCount: 100).snapshot()
    #expect(QueueCounter.allCases.allSatisfy { snapshot[$0] == 0 })
    #expect(QueueGauge.allCases.allSatisfy { snapshot[$0] == 0 })
    #expect(snapshot.batchSizes == Array(repeating: 0, count: 64))
    #expect(snapshot.rows.isEmpty)
  }

  @Test func everyCounterHasAPlaceOfItsOwn() throws {
    let counters = try QueueCounters(rowCount: 1)
    for (index, counter) in QueueCounter.allCases.enumerated() {
      counters.block.add(counter, UInt64(index + 1))
      counters.block.add(counter)
    }
    for value: UInt64 in [77, 78] {
      counters.block.setGauge(.inFlight, value)
      counters.block.setGauge(.inFlightMaximum, 2 * value)
    }
    let snapshot = counters.snapshot()
    for (index, counter) in QueueCounter.allCases.enumerated() {
      #expect(snapshot[counter] == UInt64(index + 2))
    }
    #expect(snapshot[.inFlight] == 78)
    #expect(snapshot[.inFlightMaximum] == 156)
    #expect(snapshot.batchSizes.allSatisfy { $0 == 0 })
    #expect(snapshot.rows.isEmpty)
  }

  @Test func batchSizesAreCountedAndClamped() throws {
    let counters = try QueueCounters(rowCount: 1)
    for size in [1, 1, 2, 63, 64, 65, 100_000, 0, -1] { counters.block.recordBatch(size: size) }
    let snapshot = counters.snapshot()
    #expect(snapshot.batchSizes[0] == 2)
    #expect(snapshot.batchSizes[1] == 1)
    #expect(snapshot.batchSizes[62] == 1)
    #expect(snapshot.batchSizes[63] == 3)
    #expect(snapshot[.batches] == 7)
    #expect(snapshot.batchSizes.reduce(0, +) == 7)
  }

  @Test func requestsCountUnderTheirRowEngineAndStatus() throws {
    let counters = try QueueCounters(rowCount: 10)
    let block = counters.block
    block.record(row: 9, engine: 3, byteCount: 100, statusCode: 0, ticks: 5)
    block.record(row: 9, engine: 3, byteCount: 50, statusCode: 1, ticks: 1000)
    block.record(row: 9, engine: 3, byteCount: 0, statusCode: 255, ticks: .max)
    block.record(row: 0, engine: 0, byteCount: 7, statusCode: 0, ticks: 0)
    let rows = counters.snapshot(nanosecondsPerTick: 0.5).rows
    #expect(rows.map(\.row) == [0, 9])
    #expect(rows.map(\.engine) == [0, 3])
    let row = try #require(rows.last)
    #expect(row.requests == 3)
    #expect(row.bytes == 150)
    #expect(row.errors == 2)
    #expect(row.statuses == [1, 1, 0, 0, 0, 0, 0, 1])
    #expect(row.latency.maximumTicks == .max)
    #expect(row.latency.nanosecondsPerTick == 0.5)
    #expect(row.latency.buckets[5] == 1)
    #expect(row.latency.buckets[LatencyBuckets.index(of: 1000)] == 1)
    #expect(row.latency.buckets.reduce(0, +) == 3)
  }

  @Test func rowsAndEnginesOutsideTheBlockAreIgnored() throws {
    let counters = try QueueCounters(rowCount: 10, engineCount: 2)
    counters.block.record(row: 10, engine: 0, byteCount: 1, statusCode: 0, ticks: 1)
    counters.block.record(row: .max, engine: .max, byteCount: 1, statusCode: 0, ticks: 1)
    counters.block.record(row: 0, engine: 2, byteCount: 1, statusCode: 0, ticks: 1)
    #expect(counters.snapshot().rows.isEmpty)
  }

  @Test func mergingAddsQueues() throws {
    let first = try QueueCounters(rowCount: 1)
    let second = try QueueCounters(rowCount: 1)
    first.block.record(row: 0, engine: 0, byteCount: 10, statusCode: 0, ticks: 3)
    second.block.record(row: 0, engine: 0, byteCount: 20, statusCode: 2, ticks: 3)
    second.block.record(row: 0, engine: 0, byteCount: 20, statusCode: 0, ticks: 9000)
    var row = try #require(first.snapshot().rows.first)
    row.merge(try #require(second.snapshot().rows.first))
    #expect(row.requests == 3)
    #expect(row.bytes == 50)
    #expect(row.errors == 1)
    #expect(row.latency.buckets[3] == 2)
    #expect(row.latency.totalTicks == 9006)
    #expect(row.latency.maximumTicks == 9000)
  }

  /// 1200 rows × 4 engines are 39 MB of address space.
  @Test func rowsWithoutRequestsTouchNoMemory() throws {
    let before = try residentPages()
    var all: [QueueCounters] = []
    for _ in 0..<16 {
      let counters = try QueueCounters(rowCount: 1200)
      counters.block.add(.requests)
      counters.block.record(row: 600, engine: 1, byteCount: 1, statusCode: 0, ticks: 100)
      _ = counters.snapshot()
      all.append(counters)
    }
    let grown = try residentPages() - before
    // A queue in use needs its hot page, up to two pages of flags and a page per row in use; the rest is the test's own.
    // Without the flags a snapshot would map every page, 9600 per queue.
    #expect(grown < 16 * 6 + 256, "\(grown) pages for \(all.count) queues")
  }

  private func residentPages() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(
      separator: " ")
    return try #require(Int(fields[1]))
  }

  @Test func readersSeeGrowingNumbersWhileAWorkerCounts() async throws {
    let counters = try QueueCounters(rowCount: 4)
    let total: UInt64 = 300_000
    let worker = Thread { [counters] in
      let block = counters.block
      for index in 0..<total {
        block.record(
          row: UInt16(index & 3), engine: 0, byteCount: 3, statusCode: 0, ticks: index & 0xfff)
        block.add(.requests, 1)
      }
    }
    worker.start()
    var last: UInt64 = 0
    var lastRows: [UInt64] = [0, 0, 0, 0]
    repeat {
      let snapshot = counters.snapshot()
      #expect(snapshot[.requests] >= last)
      last = snapshot[.requests]
      for row in snapshot.rows {
        #expect(row.requests >= lastRows[Int(row.row)])
        lastRows[Int(row.row)] = row.requests
      }
    } while last < total
    let rows = counters.snapshot().rows
    #expect(rows.map(\.requests) == Array(repeating: total / 4, count: 4))
    #expect(rows.map(\.bytes) == Array(repeating: total / 4 * 3, count: 4))
    #expect(rows.allSatisfy { $0.latency.buckets.reduce(0, +) == total / 4 })
  }

  @Test func sessionsAreCounted() {
    let counters = SessionCounters()
    for _ in 0..<5 { counters.recordCreated() }
    counters.recordDestroyed()
    counters.recordDestroyed(3)
    counters.recordDestroyed(-1)
    counters.recordRefused()
    let snapshot = counters.snapshot()
    #expect(snapshot.created == 5)
    #expect(snapshot.destroyed == 4)
    #expect(snapshot.refused == 1)
    #expect(snapshot.open == 1)
    counters.update(created: 9, destroyed: 10, refused: 2)
    #expect(counters.snapshot().refused == 2)
    #expect(counters.snapshot().open == 0)
  }
}
