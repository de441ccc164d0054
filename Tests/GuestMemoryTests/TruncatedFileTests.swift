import Foundation
import Glibc
import GuestMemory
import LinuxSystem
import Testing

/// Whoever shares memory may truncate its file: what we then touch is a SIGBUS, and this process is still there.
@Suite struct TruncatedFileTests {
  private static let page = MemoryFixture.page
  private static let guestAddress = GuestAddress(rawValue: 0x10000)

  /// A map of one region, and the file that it is in.
  private struct Mapped: ~Copyable {
    let map: MemoryMap
    let file: FileDescriptor

    func truncate(toPages count: UInt64) throws {
      try file.truncate(to: Int(count * TruncatedFileTests.page))
    }
  }

  /// A region that is full of 0x55.
  private func mapped(pages: UInt64 = 8) throws -> Mapped {
    let file = try MemoryFixture.file(pages * Self.page)
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: Self.guestAddress.rawValue, pages * Self.page),
      descriptor: try file.duplicate())
    let all = try #require(
      map.translate(Self.guestAddress, byteCount: Int(pages * Self.page)))
    memset(all.pointer, 0x55, all.byteCount)
    return Mapped(map: map, file: file)
  }

  private func byte(_ map: MemoryMap, page index: UInt64) throws -> UInt8 {
    let address = GuestAddress(rawValue: Self.guestAddress.rawValue + index * Self.page)
    return try #require(map.translate(address, byteCount: 1)).pointer.pointee
  }

  @Test(arguments: [0, 1, 4, 7] as [UInt64])
  func whatIsTruncatedReadsAsZerosAndTheMapIsLost(left: UInt64) throws {
    let mapped = try mapped()
    let map = mapped.map
    let other = try self.mapped().map
    try mapped.truncate(toPages: left)
    for page in 0..<left { #expect(try byte(map, page: page) == 0x55) }
    #expect(!map.isLost && !map.view.isLost)
    let count = LostMappings.count
    #expect(try byte(map, page: 7) == 0)
    #expect(map.isLost && map.view.isLost)
    #expect(LostMappings.count == count + 1)
    // Nothing is shared any more, and all of it can be touched.
    for page in 0..<8 as Range<UInt64> { #expect(try byte(map, page: page) == 0) }
    let all = try #require(map.translate(Self.guestAddress, byteCount: 8 * Int(Self.page)))
    memset(all.pointer, 0xAA, all.byteCount)
    #expect(LostMappings.count == count + 1)
    let fileByteCount = try mapped.file.byteCount()
    #expect(fileByteCount == left * Self.page)
    #expect(!other.isLost && !other.view.isLost)
    #expect(try byte(other, page: 7) == 0x55)
  }

  /// A map that shares a lost mapping is lost; one from which the region was removed is not.
  @Test func lossIsTheRegions() throws {
    let mapped = try mapped()
    let map = mapped.map
    let further = MemoryFixture.region(at: 0x100000, Self.page)
    let both = try map.adding(further, descriptor: try MemoryFixture.file(Self.page))
    try mapped.truncate(toPages: 0)
    #expect(try byte(map, page: 0) == 0)
    #expect(both.isLost && both.view.isLost)
    let rest = try both.removing(MemoryFixture.region(at: 0x10000, 8 * Self.page))
    #expect(!rest.isLost && !rest.view.isLost)
  }

  /// The kernel's copies end with an error, which is no loss yet.
  @Test func systemCallsFailInstead() throws {
    let mapped = try mapped()
    let map = mapped.map
    try mapped.truncate(toPages: 0)
    let start = try #require(map.translate(Self.guestAddress, byteCount: 64))
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    let count = write(ends[1], start.pointer, 64)
    let code = errno
    #expect(count == -1 && code == EFAULT)
    #expect(!map.isLost)
  }

  @Test func manyThreadsFaultAtOnce() throws {
    for _ in 0..<50 {
      let mapped = try mapped(pages: 64)
      let map = mapped.map
      let count = LostMappings.count
      let ready = DispatchSemaphore(value: 0)
      let go = DispatchSemaphore(value: 0)
      let done = DispatchGroup()
      for thread in 0..<4 {
        done.enter()
        Thread.detachNewThread {
          ready.signal()
          go.wait()
          var sum = 0
          for page in 0..<64 as Range<UInt64> {
            let place = Self.guestAddress.rawValue + (page * 17 + UInt64(thread)) % 64 * Self.page
            let slice = map.translate(GuestAddress(rawValue: place), byteCount: 4096)
            sum += slice.map { Int($0.pointer.pointee) } ?? 1
          }
          if sum != 0 { Issue.record("a lost page is not zero") }
          done.leave()
        }
      }
      for _ in 0..<4 { ready.wait() }
      try mapped.truncate(toPages: 0)
      for _ in 0..<4 { go.signal() }
      done.wait()
      #expect(map.isLost)
      #expect(LostMappings.count == count + 1)
    }
  }

  /// Places in the table of mappings are given back: there are 16384.
  @Test func manyMappingsComeAndGo() throws {
    let file = try MemoryFixture.file(Self.page)
    for turn in 0..<20_000 {
      let map = try MemoryMap().adding(
        MemoryFixture.region(at: 0x10000), descriptor: try file.duplicate())
      #expect(!map.isLost, "turn \(turn)")
    }
  }

  /// A place that a lost mapping had is a new one's, which is whole.
  @Test func lossEndsWithTheMapping() throws {
    for _ in 0..<10 {
      let mapped = try mapped()
      let map = mapped.map
      #expect(!map.isLost)
      try mapped.truncate(toPages: 0)
      #expect(try byte(map, page: 3) == 0)
      #expect(map.isLost)
    }
  }
}
