import Foundation
import GuestMemory
import LinuxSystem
import Testing

@Suite struct DirtyLogTests {
  private let page = MemoryFixture.page

  /// A log in a file of its own, whose bytes the test sees.
  final class Fixture {
    let file: FileDescriptor
    let view: MappedMemory
    let log: DirtyLog
    let offset: Int

    init(byteCount: Int, offset: Int = 0, fileByteCount: Int? = nil) throws {
      let size = fileByteCount ?? (offset + byteCount + 4095) / 4096 * 4096
      file = try MemoryFixture.file(UInt64(size), name: "log-test")
      view = try MappedMemory(sharing: file, offset: 0, byteCount: size)
      log = try DirtyLog(file: file, offset: UInt64(offset), byteCount: UInt64(byteCount))
      self.offset = offset
    }

    /// Every byte of the file.
    var bytes: [UInt8] {
      Array(UnsafeRawBufferPointer(start: view.base, count: view.byteCount))
    }

    /// Numbers of the bits that are set, from the log's start.
    var pages: [Int] {
      bytes.dropFirst(offset).enumerated().flatMap { index, byte in
        (0..<8).filter { byte >> UInt8($0) & 1 == 1 }.map { 8 * index + $0 }
      }
    }

    func clear() { memset(view.base, 0, view.byteCount) }

    func dirty(
      _ memory: MemoryMap = MemoryMap(), ring: [LoggedRange] = [], includesBuffers: Bool = true
    ) -> DirtyPages {
      DirtyPages(
        DirtyLogging(log: log, includesBuffers: includesBuffers, ring: ring), memory: memory)
    }
  }

  private func range(_ address: UInt64, _ byteCount: UInt64) -> LoggedRange {
    LoggedRange(address: GuestAddress(rawValue: address), byteCount: byteCount)
  }

  /// What a log is refused with; nil when it is mapped.
  private func refusal(
    fileByteCount: UInt64, offset: UInt64, byteCount: UInt64
  ) throws -> MemoryError? {
    let file = try MemoryFixture.file(fileByteCount)
    do throws(MemoryError) {
      _ = try DirtyLog(file: file, offset: offset, byteCount: byteCount)
      return nil
    } catch { return error }
  }

  // MARK: - Refusals

  @Test func logWithoutBytesIsRefused() throws {
    #expect(try refusal(fileByteCount: 4096, offset: 0, byteCount: 0) == .empty)
  }

  @Test(arguments: [(4096, 4096, 1), (4096, 0, 4097), (8192, 4095, 4098), (0, 0, 1)])
  func logLongerThanItsFileIsRefused(_ file: UInt64, _ offset: UInt64, _ byteCount: UInt64) throws {
    #expect(
      try refusal(fileByteCount: file, offset: offset, byteCount: byteCount)
        == .fileTooShort(needed: offset + byteCount, actual: file))
  }

  @Test(
    arguments: [
      (UInt64.max, 4096), (UInt64.max - 4095, 4096), (4096, UInt64.max), (1 << 52, 4096),
      (0, 1 << 52), (UInt64.max, UInt64.max),
    ] as [(UInt64, UInt64)])
  func offsetAndSizeThatOverflowAreRefused(_ offset: UInt64, _ byteCount: UInt64) throws {
    let refusal = try refusal(fileByteCount: 4096, offset: offset, byteCount: byteCount)
    guard case .addressOverflow = refusal else {
      Issue.record("\(String(describing: refusal))")
      return
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    let event = try EventFD().release()
    do throws(MemoryError) {
      _ = try DirtyLog(file: event, offset: 0, byteCount: 1)
      Issue.record("an eventfd is a log")
    } catch {}
  }

  // MARK: - Bits

  @Test func pageHasTheBitThatTheProtocolGivesIt() throws {
    let fixture = try Fixture(byteCount: 4096)
    for pageNumber in [0, 1, 7, 8, 9, 63, 64, 4095, 32767] {
      fixture.clear()
      let dirty = fixture.dirty(ring: [range(UInt64(pageNumber) * page + 17, 1)])
      dirty.markRing()
      #expect(fixture.pages == [pageNumber])
      #expect(fixture.bytes[pageNumber / 8] == 1 << UInt8(pageNumber % 8))
    }
  }

  @Test func runHasAllItsPages() throws {
    let fixture = try Fixture(byteCount: 4096)
    var random = SeededRandom(seed: 7)
    for _ in 0..<60 {
      fixture.clear()
      let address = UInt64.random(in: 0..<(1 << 24), using: &random)
      let count = UInt64.random(in: 1...(1 << 18), using: &random)
      let dirty = fixture.dirty(ring: [range(address, count)])
      dirty.markRing()
      #expect(fixture.pages == Array(Int(address / page)...Int((address + count - 1) / page)))
    }
  }

  @Test func bitsOfOthersStay() throws {
    let fixture = try Fixture(byteCount: 64)
    memset(fixture.view.base, 0b1010_0000, 64)
    let dirty = fixture.dirty(ring: [range(0, 3 * page)])
    dirty.markRing()
    #expect(fixture.bytes[0] == 0b1010_0111)
    #expect(fixture.bytes[1..<64].allSatisfy { $0 == 0b1010_0000 })
  }

  /// Two threads take turns in clearing and two set bits of the same bytes: none of a neighbour's is lost.
  @Test func bitsAreSetWhileOthersSetTheirs() throws {
    let fixture = try Fixture(byteCount: 8)
    let log = fixture.log
    DispatchQueue.concurrentPerform(iterations: 2) { thread in
      // Even pages, and odd ones.
      for round in 0..<20_000 {
        let page = UInt64(round % 32 * 2 + thread)
        let dirty = DirtyPages(
          DirtyLogging(
            log: log, includesBuffers: false,
            ring: [LoggedRange(address: GuestAddress(rawValue: page << 12), byteCount: 1)]),
          memory: MemoryMap())
        dirty.markRing()
      }
    }
    #expect(fixture.pages == Array(0..<64))
  }

  @Test func nothingIsWrittenOutsideOfTheLog() throws {
    // Eight bytes at an odd place in the middle of a file: bits for 64 pages.
    let fixture = try Fixture(byteCount: 8, offset: 4099)
    let ranges: [LoggedRange] = [
      range(64 * page, 1), range(63 * page + 4095, 2), range(0, UInt64.max),
      range(UInt64.max, 1), range(UInt64.max - 5, 100), range(1 << 63, 1 << 63),
      range(62 * page, 1 << 40),
    ]
    for range in ranges {
      fixture.clear()
      let dirty = fixture.dirty(ring: [range])
      dirty.markRing()
      let outside = fixture.bytes[..<4099] + fixture.bytes[4107...]
      #expect(outside.allSatisfy { $0 == 0 }, "\(range)")
      #expect(fixture.pages.allSatisfy { $0 < 64 })
    }
    #expect(fixture.pages == [62, 63])
  }

  // MARK: - Guest memory

  private func memory() throws -> MemoryMap {
    try MemoryMap()
      .adding(
        MemoryFixture.region(at: 0x10_0000, 16 * page, offset: page),
        descriptor: MemoryFixture.file(17 * page)
      ).adding(
        MemoryFixture.region(at: 0x10_0000 + 16 * page, 16 * page),
        descriptor: MemoryFixture.file(16 * page)
      ).adding(
        MemoryFixture.region(at: 1 << 30, 16 * page), descriptor: MemoryFixture.file(16 * page))
  }

  private func pointer(
    _ memory: MemoryMap, _ address: UInt64, _ byteCount: Int = 1
  ) throws -> UnsafeMutablePointer<UInt8> {
    try #require(memory.translate(GuestAddress(rawValue: address), byteCount: byteCount)).pointer
  }

  @Test func writesAreLoggedAtTheirGuestAddresses() throws {
    let memory = try memory()
    let fixture = try Fixture(byteCount: 1 << 16)
    #expect(fixture.log.covers(memory))
    var dirty = fixture.dirty(memory)
    var random = SeededRandom(seed: 8)
    for _ in 0..<10 {
      fixture.clear()
      var expected = Set<Int>()
      // More runs than are taken down at once.
      for _ in 0..<600 {
        let bases: [UInt64] = [0x10_0000, 0x10_0000 + 16 * page, 1 << 30]
        let base = try #require(bases.randomElement(using: &random))
        let offset = UInt64.random(in: 0..<16 * page, using: &random)
        let count = UInt64.random(in: 1...min(16 * page - offset, 9000), using: &random)
        let start = base + offset
        dirty.note(try pointer(memory, start, Int(count)), byteCount: Int(count))
        expected.formUnion(Int(start / page)...Int((start + count - 1) / page))
        dirty.noteStatus(try pointer(memory, base + offset % 777))
        expected.insert(Int((base + offset % 777) / page))
      }
      dirty.flush()
      #expect(fixture.pages == expected.sorted())
    }
  }

  /// Requests that write close to each other, with their status bytes elsewhere, in regions that share pages, or whose
  /// pages are the guest's.
  @Test(arguments: [100, 0] as [UInt64])
  func writesCloseToEachOtherAreLoggedAllTheSame(shift: UInt64) throws {
    let bases: [UInt64] = [
      0x10_0000 + shift, 0x10_0000 + shift + 3 * page, 0x20_0000 - shift / 2,
    ]
    var memory = MemoryMap()
    for base in bases {
      memory = try memory.adding(
        MemoryFixture.region(at: base, 3 * page), descriptor: MemoryFixture.file(3 * page))
    }
    let fixture = try Fixture(byteCount: 1 << 16)
    var dirty = fixture.dirty(memory)
    #expect(dirty.isPageAligned == (shift == 0))
    var random = SeededRandom(seed: 9)
    for round in 0..<24 {
      fixture.clear()
      var expected = Set<Int>()
      func at(_ stream: inout UInt64, _ most: UInt64) throws -> (UInt64, Int) {
        let base = try #require(bases.last { $0 <= stream })
        let count = UInt64.random(in: 1...min(most, base + 3 * page - stream), using: &random)
        let place = stream
        // Mostly on, at times back, and at times to another region.
        let next: UInt64 =
          switch UInt64.random(in: 0..<10, using: &random) {
          case 0: base
          case 1: bases[Int.random(in: 0..<3, using: &random)]
          default: place + count + UInt64.random(in: 0..<1200, using: &random)
          }
        stream = next < base + 3 * page || bases.contains(next) ? next : base
        expected.formUnion(Int(place / page)...Int((place + count - 1) / page))
        return (place, Int(count))
      }
      var outputs = bases[round % 3]
      var statuses = bases[round / 3 % 3]
      var written: [(UnsafeMutablePointer<UInt8>, Int, UnsafeMutablePointer<UInt8>)] = []
      for request in 0..<1 + 20 * round {
        let (address, byteCount) = try at(&outputs, 3000)
        let output = try pointer(memory, address, byteCount)
        let behind = address + UInt64(byteCount)
        // At times right behind the output, where that is in the same region.
        let base = try #require(bases.last { $0 <= address })
        let isBehind = request.isMultiple(of: 3) && behind < base + 3 * page
        let status = try isBehind ? output + byteCount : pointer(memory, at(&statuses, 1).0)
        if isBehind { expected.insert(Int(behind / page)) }
        written.append((output, byteCount, status))
      }
      // As requests are marked that say themselves where they have written, or by way of notes.
      if round.isMultiple(of: 2) {
        for (output, byteCount, status) in written {
          dirty.note(output, byteCount: byteCount)
          dirty.noteStatus(status)
        }
        dirty.flush()
      } else {
        dirty.beginMarking()
        var pages = (dirty.unmarked, dirty.unmarked)
        for (output, byteCount, status) in written {
          if !pages.0.contains(output, byteCount: UInt32(byteCount)) {
            pages.0 = dirty.mark(output, byteCount: UInt32(byteCount))
          }
          if !pages.1.contains(status, byteCount: 1) && !pages.0.contains(status, byteCount: 1) {
            pages.1 = dirty.mark(status, byteCount: 1)
          }
        }
      }
      #expect(fixture.pages == expected.sorted())
    }
  }

  /// What need not be marked again behind a mark: its page, or where they are all set, the eight pages of its byte of the log;
  /// none of the region's other pages.
  @Test(arguments: [0, 100] as [UInt64])
  func pagesThatAreSetAlreadyNeedNoMark(shift: UInt64) throws {
    // Pages 5 to 24, in four bytes of the log.
    let base = 5 * page + shift
    let memory = try MemoryMap().adding(
      MemoryFixture.region(at: base, 20 * page), descriptor: MemoryFixture.file(20 * page))
    let fixture = try Fixture(byteCount: 1 << 16)
    let places = (0..<20).flatMap { [base + $0 * page, base + ($0 + 1) * page - 1] }
    for full in 0..<16 {
      func isFull(_ address: UInt64) -> Bool { full >> (address / page / 8) & 1 == 1 }
      for marked in places {
        fixture.clear()
        for index in 0..<4 where full >> index & 1 == 1 {
          memset(fixture.view.base + index, 0xFF, 1)
        }
        var dirty = fixture.dirty(memory)
        dirty.beginMarking()
        let window = dirty.mark(try pointer(memory, marked), byteCount: 1)
        let unit = isFull(marked) ? 8 * page : page
        for place in places {
          let isInside = window.contains(try pointer(memory, place), byteCount: 1)
          #expect(isInside == (place / unit == marked / unit), "\(full): \(marked), \(place)")
        }
      }
    }
  }

  @Test func nothingIsSetBeforeTheFlushAndAllOfItThen() throws {
    let memory = try memory()
    let fixture = try Fixture(byteCount: 1 << 16)
    var dirty = fixture.dirty(memory)
    dirty.note(try pointer(memory, 0x10_0000, 5), byteCount: 5)
    dirty.note(try pointer(memory, 1 << 30, 5), byteCount: 5)
    dirty.note(try pointer(memory, 0x10_0000), byteCount: 0)
    #expect(fixture.pages == [])
    dirty.flush()
    #expect(fixture.pages == [0x100, 1 << 18])
    // What was taken is set again, by later writes only.
    fixture.clear()
    dirty.flush()
    #expect(fixture.pages == [])
    dirty.note(try pointer(memory, 0x10_0000), byteCount: 1)
    dirty.flush()
    #expect(fixture.pages == [0x100])
  }

  @Test func whatIsOutsideOfGuestMemoryIsNotLogged() throws {
    let memory = try memory()
    let fixture = try Fixture(byteCount: 1 << 16)
    var dirty = fixture.dirty(memory)
    let own = UnsafeMutablePointer<UInt8>.allocate(capacity: 8192)
    defer { own.deallocate() }
    dirty.note(own, byteCount: 8192)
    dirty.noteStatus(own)
    dirty.flush()
    #expect(fixture.pages == [])
  }

  @Test func logThatIsTooShortIsKnownAndKeepsItsBounds() throws {
    let memory = try memory()
    let fixture = try Fixture(byteCount: 36)
    #expect(!fixture.log.covers(memory))
    var dirty = fixture.dirty(memory)
    for address in [0x10_0000, 0x10_0000 + 31 * page, 1 << 30, (1 << 30) + 15 * page] as [UInt64] {
      dirty.note(try pointer(memory, address), byteCount: 1)
    }
    dirty.flush()
    #expect(fixture.pages == [0x100, 0x11F])
    #expect(fixture.bytes[36...].allSatisfy { $0 == 0 })
  }

  @Test func buffersAreLoggedOnlyWhereThatIsAsked() throws {
    let memory = try memory()
    let fixture = try Fixture(byteCount: 1 << 16)
    var dirty = fixture.dirty(memory, ring: [range(3 * page, 1)], includesBuffers: false)
    let isOn = dirty.isOn
    #expect(isOn)
    dirty.note(try pointer(memory, 0x10_0000), byteCount: 1)
    dirty.noteStatus(try pointer(memory, 0x10_0000))
    dirty.flush()
    #expect(fixture.pages == [])
    dirty.markRing()
    #expect(fixture.pages == [3])
    var off = DirtyPages()
    let isOff = !off.isOn
    #expect(isOff)
    off.note(try pointer(memory, 0x10_0000), byteCount: 1)
    off.noteStatus(try pointer(memory, 0x10_0000))
    off.flush()
    off.markRing()
    #expect(fixture.pages == [3])
  }

  @Test func frontendAddressesHaveTheGuestAddressOfTheirRegion() throws {
    let memory = try memory()
    let base: UInt64 = 0x7000_0000_0000
    for address in [0x10_0000, 0x10_0000 + 20 * page, (1 << 30) + 16 * page - 1] as [UInt64] {
      #expect(
        memory.guestAddress(of: FrontendAddress(rawValue: base + address))?.rawValue == address)
    }
    for address in [0, base, base + (1 << 30) + 16 * page, .max] as [UInt64] {
      #expect(memory.guestAddress(of: FrontendAddress(rawValue: address)) == nil)
    }
  }
}
