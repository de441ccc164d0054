import CryptoTypes
import Testing

@testable import CryptoDevice

/// A table whose keys always pass.
private func makeTable(capacity: Int = 8, workers: Int = 2) -> SessionTable {
  SessionTable(capacity: capacity, workerCount: workers)
}

private func create(_ table: SessionTable, key: [UInt8] = [1, 2, 3]) -> Result<UInt64, SessionError>
{
  key.withUnsafeBytes { bytes in
    table.create(
      SessionParameters(), cipherKey: bytes, authKey: UnsafeRawBufferPointer(start: nil, count: 0),
      check: { _ in .ok })
  }
}

struct SessionTableTests {
  @Test func createdSessionIsFoundWithItsKey() throws {
    let table = makeTable()
    let identifier = try create(table, key: [9, 8, 7, 6]).get()
    let block = try #require(table.view.find(identifier))
    let parameters = block.pointee.parameters
    #expect(parameters.cipherKeyByteCount == 4)
    #expect((0..<4).map { parameters.cipherKey?[$0] } == [9, 8, 7, 6])
    #expect(Int64(bitPattern: identifier) > 0)
  }

  @Test func unknownIdentifiersAreNotFound() throws {
    let table = makeTable()
    let identifier = try create(table).get()
    for wrong in [0, 1, .max, identifier ^ 1, identifier ^ (1 << 32), identifier | 1 << 63] {
      #expect(table.view.find(wrong) == nil, "\(wrong)")
    }
  }

  @Test func destroyedSessionIsGoneAndItsIndexComesBackUnderAnotherIdentifier() throws {
    let table = makeTable(capacity: 1, workers: 1)
    let first = try create(table).get()
    #expect(table.destroy(first, of: [.cipher]))
    #expect(table.view.find(first) == nil)
    #expect(!table.destroy(first, of: [.cipher]))
    let second = try create(table).get()
    #expect(second != first)
    #expect(table.view.find(first) == nil)
    #expect(table.openCount == 1 && table.createdCount == 2 && table.destroyedCount == 1)
  }

  @Test func destroyingWithAnotherServiceIsRefused() throws {
    let table = makeTable()
    let identifier = try create(table).get()
    #expect(!table.destroy(identifier, of: [.mac]))
    #expect(table.view.find(identifier) != nil)
  }

  @Test func fullTableIsSaid() throws {
    let table = makeTable(capacity: 2)
    _ = try create(table).get()
    _ = try create(table).get()
    #expect(throws: SessionError.tableFull) { try create(table).get() }
  }

  @Test func refusedKeyLeavesNoSession() throws {
    let table = makeTable(capacity: 1)
    let empty = UnsafeRawBufferPointer(start: nil, count: 0)
    let result = table.create(
      SessionParameters(), cipherKey: empty, authKey: empty, check: { _ in .failed })
    #expect(throws: SessionError.keyUnusable) { try result.get() }
    #expect(table.openCount == 0)
    _ = try create(table).get()
  }

  @Test func indexIsKeptUntilEveryRunningWorkerHasForgotten() throws {
    let table = makeTable(capacity: 1, workers: 2)
    var first = table.retirements.join(worker: 0)
    var second = table.retirements.join(worker: 1)
    let identifier = try create(table).get()
    #expect(table.destroy(identifier, of: [.cipher]))
    #expect(table.retirements.hasUnacknowledged)
    #expect(throws: SessionError.tableFull) { try create(table).get() }

    #expect(first.hasNews)
    #expect(first.nextIndex(before: first.end) == 0)
    #expect(first.nextIndex(before: first.end) == nil)
    first.acknowledge()
    #expect(throws: SessionError.tableFull) { try create(table).get() }

    #expect(second.nextIndex(before: second.end) == 0)
    second.acknowledge()
    #expect(!table.retirements.hasUnacknowledged)
    _ = try create(table).get()
  }

  @Test func workerThatLeavesHoldsNothingBack() throws {
    let table = makeTable(capacity: 1, workers: 1)
    _ = table.retirements.join(worker: 0)
    let identifier = try create(table).get()
    #expect(table.destroy(identifier, of: [.cipher]))
    #expect(table.leavingCount == 1)
    table.retirements.leave(worker: 0)
    _ = try create(table).get()
    #expect(table.leavingCount == 0)
  }

  @Test func logLongerThanItsRingLosesNothing() throws {
    let count = 10_000
    let table = makeTable(capacity: count, workers: 1)
    var reader = table.retirements.join(worker: 0)
    for _ in 0..<count { _ = try create(table).get() }
    table.destroyAll()
    #expect(table.openCount == 0)
    var seen = Set<UInt32>()
    while table.leavingCount > 0 {
      let before = seen.count
      let end = reader.end
      while let index = reader.nextIndex(before: end) { seen.insert(index) }
      reader.acknowledge()
      table.reclaim()
      try #require(seen.count > before, "the log does not move on")
    }
    #expect(seen.count == count)
  }
}
