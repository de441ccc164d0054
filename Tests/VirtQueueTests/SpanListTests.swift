import GuestMemory
import LinuxSystem
import Testing
import VirtQueue

@Suite struct SpanListTests {
  @Test func runsAreMergedOnlyWhereTheyMeet() throws {
    let memory = try MappedMemory(reserving: 4096)
    let base = memory.base.assumingMemoryBound(to: UInt8.self)
    var list = try SpanList()
    func add(_ offset: Int, _ count: Int, _ list: inout SpanList) -> Bool {
      list.append(GuestSlice(pointer: base + offset, byteCount: count))
    }
    let none = list.contiguous == nil
    #expect(none)
    var added = add(0, 10, &list)
    added = add(10, 5, &list) && added
    let whole = list.contiguous?.byteCount
    #expect(whole == 15)
    // Behind a gap of one byte, and before the run: neither continues it.
    added = add(16, 4, &list) && added
    added = add(0, 16, &list) && added
    #expect(added)
    let (count, total, isOne) = (list.count, list.totalByteCount, list.contiguous != nil)
    #expect(count == 3)
    #expect(total == 35)
    #expect(!isOne)
    list.removeAll()
    let (left, leftBytes) = (list.count, list.totalByteCount)
    #expect(left == 0)
    #expect(leftBytes == 0)
  }

  @Test func gatherCopiesTheRunsInOrder() throws {
    let memory = try MappedMemory(reserving: 4096)
    let base = memory.base.assumingMemoryBound(to: UInt8.self)
    for index in 0..<256 { base[index] = UInt8(index) }
    var list = try SpanList()
    for offset in [40, 20, 0] {
      let added = list.append(GuestSlice(pointer: base + offset, byteCount: 3))
      #expect(added)
    }
    var copy = [UInt8](repeating: 0xEE, count: 10)
    copy.withUnsafeMutableBufferPointer { buffer in
      if let start = buffer.baseAddress { list.gather(into: start) }
    }
    #expect(copy == [40, 41, 42, 20, 21, 22, 0, 1, 2, 0xEE])
  }

  @Test func fullListTakesOnlyWhatItCanMerge() throws {
    let memory = try MappedMemory(reserving: 4096)
    let base = memory.base.assumingMemoryBound(to: UInt8.self)
    var list = try SpanList()
    for index in 0..<SpanList.capacity {
      let added = list.append(GuestSlice(pointer: base + 2 * (index & 1), byteCount: 1))
      guard added else {
        Issue.record("refused at \(index)")
        return
      }
    }
    let total = list.totalByteCount
    let refused = !list.append(GuestSlice(pointer: base + 100, byteCount: 1))
    #expect(refused)
    let unchanged = list.totalByteCount == total && list.count == SpanList.capacity
    #expect(unchanged)
    let merged = list.append(GuestSlice(pointer: base + 3, byteCount: 1))
    #expect(merged)
  }
}
