import GuestMemory
import LinuxSystem
import Testing

@testable import CryptoDevice

/// What one daemon saves, and what the next one makes of it.
@Suite final class UndoLogTests {
  private static let maximum = 4096
  private static let dataByteCount = UndoLog.dataByteCount(maximumRequestByteCount: maximum)
  private let memory: MappedMemory

  init() throws {
    memory = try MappedMemory(reserving: UndoLog.headByteCount + Self.dataByteCount)
  }

  private var head: GuestSlice {
    GuestSlice(
      pointer: memory.base.assumingMemoryBound(to: UInt8.self), byteCount: UndoLog.headByteCount)
  }

  /// A daemon's log.
  private func log(
    resubmissionCount: Int = 0, maximum: Int = Self.maximum, hasData: Bool = true
  ) -> UndoLog {
    let data = GuestSlice(
      pointer: head.pointer + UndoLog.headByteCount, byteCount: Self.dataByteCount)
    return UndoLog(
      head: head, data: hasData ? data : nil, maximumRequestByteCount: maximum,
      resubmissionCount: resubmissionCount)
  }

  private func save(_ byte: UInt8, _ log: inout UndoLog, _ index: Int16, number: UInt64) {
    let place = log.begin(index)
    for offset in 0..<3 { place[offset] = byte }
    log.end(index, number: number, byteCount: 3)
  }

  private func saved(_ log: borrowing UndoLog, _ number: UInt64) -> [UInt8]? {
    log.saved(number).map { Array(UnsafeBufferPointer(start: $0.pointer, count: $0.byteCount)) }
  }

  @Test func theNextDaemonFindsWhatWasSaved() {
    var first = log()
    save(7, &first, 0, number: 1)
    save(8, &first, 63, number: 2)
    let next = log(resubmissionCount: 2)
    #expect(next.isOn && saved(next, 1) == [7, 7, 7] && saved(next, 2) == [8, 8, 8])
    #expect(saved(next, 3) == nil && saved(next, 0) == nil)
    next.clear()
    #expect(saved(next, 1) == nil && saved(next, 2) == nil)
  }

  /// Neither what stood there before, under its own number or the new one, nor what is not there yet.
  @Test func whatIsSavedHalfIsNotSaved() {
    var first = log()
    save(7, &first, 0, number: 1)
    _ = first.begin(0)
    let next = log(resubmissionCount: 2)
    #expect(saved(next, 1) == nil && saved(next, 2) == nil)
  }

  @Test func aPlaceIsHeldUntilTheDriverKnows() throws {
    var log = log()
    var pool = try BouncePool(maximumRequestByteCount: Self.maximum)
    let index = pool.take()
    save(7, &log, index, number: 1)
    #expect(log.holds(index) && !log.hasFinished)
    log.finish(index)
    #expect(log.holds(index) && log.hasFinished && pool.take() != index)
    #expect(saved(log, 1) == [7, 7, 7])
    pool.release(all: log.takeFinished())
    #expect(!log.holds(index) && !log.hasFinished && pool.take() == index)
  }

  /// One that begins with requests in flight cannot know whether they were begun; nor can the one after it, nor one that
  /// comes after a daemon that had no room to save anything.
  @Test func whatWasNotSavedIsNotBelieved() {
    #expect(!log(resubmissionCount: 1).isOn)
    #expect(!log(resubmissionCount: 1).isOn)
    var first = log()
    save(7, &first, 0, number: 1)
    #expect(!log(maximum: Self.maximum * 64, hasData: false).isOn)
    #expect(!log(resubmissionCount: 1).isOn)
    let anew = log()
    #expect(anew.isOn && saved(anew, 1) == nil)
  }

  /// Another `max-request`, another layout.
  @Test func anotherLayoutIsNotBelieved() {
    var first = log()
    save(7, &first, 0, number: 1)
    #expect(!log(resubmissionCount: 1, maximum: Self.maximum / 2).isOn)
    #expect(!log(resubmissionCount: 1).isOn)
    let other = log(maximum: Self.maximum / 2)
    #expect(other.isOn && saved(other, 1) == nil)
  }
}
