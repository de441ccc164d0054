import GuestMemory
import LinuxSystem
import Testing

@testable import CryptoDevice

/// What one daemon saves, and what the next one makes of it.
@Suite final class UndoLogTests {
  private static let dataByteCount = UndoLog.dataByteCount(maximumRequestByteCount: 4096)
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
    resubmissionCount: Int = 0, maximum: Int = 4096, hasData: Bool = true
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
    let found = (0..<4 as Range<UInt64>).map { saved(next, $0) }
    #expect(found == [nil, [7, 7, 7], [8, 8, 8], nil])
    next.clear()
    let left = (0..<4 as Range<UInt64>).compactMap { saved(next, $0) }
    #expect(left.isEmpty)
  }

  /// Neither what stood there before, under its own number or the new one, nor what is not there yet.
  @Test func whatIsSavedHalfIsNotSaved() {
    var first = log()
    save(7, &first, 0, number: 1)
    _ = first.begin(0)
    let next = log(resubmissionCount: 2)
    let found = [1, 2].compactMap { saved(next, $0) }
    #expect(found.isEmpty)
  }

  @Test func aPlaceIsHeldUntilTheDriverKnows() throws {
    var log = log()
    var pool = try BouncePool(maximumRequestByteCount: 4096)
    let index = pool.take()
    save(7, &log, index, number: 1)
    log.finish(index)
    let (isHeld, isFinished, other) = (log.holds(index), log.hasFinished, pool.take())
    #expect(isHeld && isFinished && other != index)
    let found = saved(log, 1)
    #expect(found == [7, 7, 7])
    pool.release(all: log.takeFinished())
    let (isStillHeld, next) = (log.holds(index) || log.hasFinished, pool.take())
    #expect(!isStillHeld && next == index)
  }

  /// One that begins with requests in flight cannot know whether they were begun; nor can the one after it, nor one that
  /// comes after a daemon that had no room to save anything.
  @Test func whatWasNotSavedIsNotBelieved() {
    var areOn = [log(resubmissionCount: 1).isOn, log(resubmissionCount: 1).isOn]
    #expect(areOn == [false, false])
    var first = log()
    save(7, &first, 0, number: 1)
    areOn = [log(maximum: 4096 * 64, hasData: false).isOn, log(resubmissionCount: 1).isOn]
    #expect(areOn == [false, false])
    let anew = log()
    let (isOn, found) = (anew.isOn, saved(anew, 1))
    #expect(isOn && found == nil)
  }

  /// Another `max-request`, another layout.
  @Test func anotherLayoutIsNotBelieved() {
    var first = log()
    save(7, &first, 0, number: 1)
    let areOn = [log(resubmissionCount: 1, maximum: 2048).isOn, log(resubmissionCount: 1).isOn]
    #expect(areOn == [false, false])
    let other = log(maximum: 2048)
    let (isOn, found) = (other.isOn, saved(other, 1))
    #expect(isOn && found == nil)
  }
}
