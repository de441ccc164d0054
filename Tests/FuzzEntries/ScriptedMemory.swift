import Glibc
import GuestMemory
import LinuxSystem

/// Guest memory for entries: three small regions as awkward as allowed, two of them neighbours, all of them ending and
/// beginning in the middle of a page.
///
/// What a mapping has beyond its region is nobody's: AddressSanitizer, where it is there, reports whoever touches it.
final class ScriptedMemory {
  struct Region {
    var guestAddress: UInt64
    var byteCount: Int
    /// Where it begins in its file.
    var offset: Int
    var base: UnsafeMutablePointer<UInt8>
  }

  /// Where the first region begins, and so the rings that entries lay out.
  static let start: UInt64 = 0x1_0000
  /// Where the second region begins, right behind the first.
  static let border: UInt64 = 0x1_7F00
  /// Where the third begins, above a gap.
  static let high: UInt64 = 0x4_0000
  static let highByteCount = 0x3FF8

  let map: MemoryMap
  let regions: [Region]

  init() throws {
    let layout: [(UInt64, Int, Int)] = [
      (Self.start, 0x7F00, 0x40), (Self.border, 0x20F8, 0x1000),
      (Self.high, Self.highByteCount, 0x80),
    ]
    var map = MemoryMap()
    for (address, byteCount, offset) in layout {
      let file = try MemoryFile.make(
        name: "fuzz-ram", byteCount: (offset + byteCount + 4095) / 4096 * 4096)
      map = try map.adding(
        RegionDescription(
          guestAddress: GuestAddress(rawValue: address), byteCount: UInt64(byteCount),
          frontendAddress: FrontendAddress(rawValue: 0x7000_0000 + address),
          mmapOffset: UInt64(offset)), descriptor: file)
    }
    self.map = map
    regions = try layout.map { address, byteCount, offset in
      guard let slice = map.translate(GuestAddress(rawValue: address), byteCount: byteCount) else {
        throw Finding("a region that was mapped is not there")
      }
      return Region(
        guestAddress: address, byteCount: byteCount, offset: offset, base: slice.pointer)
    }
    forEachMargin(AddressSanitizer.poison)
  }

  deinit { forEachMargin(AddressSanitizer.unpoison) }

  private func forEachMargin(_ body: (UnsafeMutableRawPointer, Int) -> Void) {
    for region in regions {
      let lead = region.offset % 4096
      body(region.base - lead, lead)
      let end = lead + region.byteCount
      body(region.base + region.byteCount, (end + 4095) / 4096 * 4096 - end)
    }
  }

  /// Zeros everywhere: one input leaves nothing to the next.
  func reset() {
    for region in regions { memset(region.base, 0, region.byteCount) }
  }

  /// Goes through a run of guest memory in pieces that lie in one region; bytes outside of memory are left out.
  private func forEachPiece(
    _ address: UInt64, _ count: Int, _ body: (UnsafeMutablePointer<UInt8>, Range<Int>) -> Void
  ) {
    for region in regions {
      let end = region.guestAddress + UInt64(region.byteCount)
      let first = max(address, region.guestAddress)
      let last = min(address.addingReportingOverflow(UInt64(count)).partialValue, end)
      guard first < last, first - address < UInt64(count) else { continue }
      let offset = Int(first - address)
      body(region.base + Int(first - region.guestAddress), offset..<offset + Int(last - first))
    }
  }

  /// Writes as a driver does; a write may cross regions.
  func write(_ bytes: [UInt8], at address: UInt64) {
    bytes.withUnsafeBufferPointer { bytes in
      guard let source = bytes.baseAddress else { return }
      forEachPiece(address, bytes.count) { memcpy($0, source + $1.lowerBound, $1.count) }
    }
  }

  func fill(_ count: Int, at address: UInt64, with value: UInt8) {
    forEachPiece(address, count) { memset($0, Int32(value), $1.count) }
  }

  func write16(_ value: UInt16, at address: UInt64) {
    write([UInt8(truncatingIfNeeded: value), UInt8(value >> 8)], at: address)
  }

  func write64(_ value: UInt64, at address: UInt64) {
    write((0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }, at: address)
  }

  /// Reads as a driver does; bytes outside of memory are zeros.
  func read(_ count: Int, at address: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBufferPointer { bytes in
      guard let target = bytes.baseAddress else { return }
      forEachPiece(address, count) { memcpy(target + $1.lowerBound, $0, $1.count) }
    }
    return bytes
  }

  /// All of it.
  var content: [UInt8] {
    regions.flatMap { Array(UnsafeBufferPointer(start: $0.base, count: $0.byteCount)) }
  }

  func read32(at address: UInt64) -> UInt32 {
    read(4, at: address).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  func slice(_ address: UInt64, _ byteCount: Int) throws -> GuestSlice {
    guard let slice = map.translate(GuestAddress(rawValue: address), byteCount: byteCount) else {
      throw Finding("a ring that lies in memory is not found there")
    }
    return slice
  }

  /// Whether a run that the device was given is the guest's.
  func holds(_ pointer: UnsafeRawPointer, _ byteCount: Int) -> Bool {
    regions.contains { region in
      let distance = pointer - UnsafeRawPointer(region.base)
      return distance >= 0 && byteCount >= 0 && distance + byteCount <= region.byteCount
    }
  }
}

/// The sanitizer's own calls, where this program was built with it.
private enum AddressSanitizer {
  private typealias Call = @convention(c) (UnsafeMutableRawPointer, Int) -> Void

  private static func find(_ name: String) -> Call? {
    dlsym(nil, name).map { unsafeBitCast($0, to: Call.self) }
  }
  private static let poisonCall = find("__asan_poison_memory_region")
  private static let unpoisonCall = find("__asan_unpoison_memory_region")

  static func poison(_ start: UnsafeMutableRawPointer, _ count: Int) { poisonCall?(start, count) }
  static func unpoison(_ start: UnsafeMutableRawPointer, _ count: Int) {
    unpoisonCall?(start, count)
  }
}
