import Glibc
import LinuxSystem

/// A session journal's file as an earlier process could have left it, or somebody who meant harm.
///
/// The layout and the check are written down here once more, so that inputs can have right numbers where they want them;
/// `JournalLayout` has the description.
final class JournalImage {
  static let headerByteCount = 64
  static let ownerByteCount = 64
  static let slotByteCount = 256
  static let longKeysByteCount = 20 << 10
  static let pageByteCount = 4096
  /// Where a slot's words begin, and its keys.
  static let connectionOffset = 16
  static let wordsOffset = 20
  static let keysOffset = 72
  static let shortKeysByteCount = slotByteCount - keysOffset

  let slotCount: Int
  let file: FileDescriptor
  private let memory: MappedMemory

  /// A journal without sessions; `surplusByteCount`: behind its end.
  init(slotCount: Int, surplusByteCount: Int, isSealed: Bool) throws {
    self.slotCount = slotCount
    let byteCount = Self.longKeysOffset(slotCount, slotCount) + surplusByteCount
    file = try MemoryFile.make(name: "fuzz-journal", byteCount: byteCount)
    if isSealed { try file.sealSize() }
    memory = try MappedMemory(sharing: file, offset: 0, byteCount: byteCount)
    put(Array("VCSESSJ1".utf8), at: 0)
    put(UInt64(1) | UInt64(slotCount) << 32, at: 8)
    put(UInt64(Self.slotByteCount) | UInt64(Self.longKeysByteCount) << 32, at: 16)
    put(UInt64(byteCount), at: 24)
    checkHeader()
    setUsed(0)
  }

  /// A journal that a device has.
  init(of descriptor: Int32, slotCount: Int) throws {
    self.slotCount = slotCount
    file = try FileDescriptor.duplicate(of: descriptor)
    memory = try MappedMemory(
      sharing: file, offset: 0, byteCount: Self.longKeysOffset(slotCount, slotCount))
  }

  // MARK: - Places

  private static func wholePages(_ byteCount: Int) -> Int {
    (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
  }

  static let ownerSelectorOffset = 72
  static let ownersOffset = 128
  func generationOffset(_ index: Int) -> Int { Self.pageByteCount + 4 * index }
  private static func slotsOffset(_ slotCount: Int) -> Int {
    pageByteCount + wholePages(4 * slotCount)
  }
  func slotOffset(_ index: Int) -> Int {
    Self.slotsOffset(slotCount) + Self.slotByteCount * index
  }
  private static func longKeysOffset(_ index: Int, _ slotCount: Int) -> Int {
    slotsOffset(slotCount) + wholePages(slotByteCount * slotCount) + longKeysByteCount * index
  }
  func longKeysOffset(_ index: Int) -> Int { Self.longKeysOffset(index, slotCount) }

  // MARK: - Bytes

  func put(_ bytes: [UInt8], at offset: Int) {
    precondition(offset >= 0 && offset + bytes.count <= memory.byteCount, "behind the file")
    bytes.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      (memory.base + offset).copyMemory(from: base, byteCount: bytes.count)
    }
  }
  func put(_ word: UInt64, at offset: Int) { put(bytes64(word), at: offset) }

  func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
    precondition(offset >= 0 && offset + count <= memory.byteCount, "behind the file")
    return Array(UnsafeRawBufferPointer(start: memory.base + offset, count: count))
  }
  func word(_ offset: Int) -> UInt64 {
    bytes(offset, 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
  func word32(_ offset: Int) -> UInt32 {
    bytes(offset, 4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  // MARK: - Right numbers

  func checkHeader() {
    var check = Check(1)
    check.add(bytes(0, 32))
    put(check.value, at: 32)
  }

  func setUsed(_ count: UInt32) {
    put(UInt64(count) | UInt64(~count) << 32, at: Self.headerByteCount)
  }
  var usedCount: Int { Int(word32(Self.headerByteCount)) }

  func checkOwner(_ number: Int) {
    let offset = Self.ownersOffset + number * Self.ownerByteCount
    var check = Check(0)
    check.add(bytes(offset, Self.ownerByteCount - 8))
    put(check.value, at: offset + Self.ownerByteCount - 8)
  }

  func identifier(_ index: Int) -> UInt64 { word(slotOffset(index)) }

  /// Bytes of a session's keys, by its words.
  func keyByteCount(_ index: Int) -> Int {
    let words = slotOffset(index) + Self.wordsOffset
    return Int(word32(words + 3 * 4)) + Int(word32(words + 8 * 4))
  }

  /// Makes a slot's words and keys a session of the slot's generation, with the check that it needs.
  func checkSlot(_ index: Int) {
    let keyByteCount = keyByteCount(index)
    guard keyByteCount <= Self.longKeysByteCount else { return }
    let identifier = UInt64(word32(generationOffset(index))) << 32 | UInt64(index)
    let slot = slotOffset(index)
    var check = Check(identifier)
    check.add(bytes(slot + Self.connectionOffset, Self.keysOffset - Self.connectionOffset))
    let keys =
      keyByteCount <= Self.shortKeysByteCount ? slot + Self.keysOffset : longKeysOffset(index)
    check.add(bytes(keys, keyByteCount))
    put(check.value, at: slot + 8)
    put(identifier, at: slot)
  }

  func isZero(_ offset: Int, _ count: Int) -> Bool { bytes(offset, count).allSatisfy { $0 == 0 } }

  /// The journal's checksum.
  private struct Check {
    private var state: UInt64

    init(_ number: UInt64) { state = number ^ 0x9E37_79B9_7F4A_7C15 }

    mutating func add(_ bytes: [UInt8]) {
      for start in stride(from: 0, to: bytes.count, by: 8) {
        let word = bytes[start..<min(start + 8, bytes.count)].reversed()
          .reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        state = (state ^ word) &* 0xD6E8_FEB8_6659_FD93
        state ^= state >> 32
      }
    }

    var value: UInt64 { state == 0 ? 1 : state }
  }
}

extension FileDescriptor {
  /// Another descriptor of a file that somebody else owns.
  static func duplicate(of rawValue: Int32) throws -> FileDescriptor {
    let number = fcntl(rawValue, F_DUPFD_CLOEXEC, 0)
    guard number >= 0 else { throw Finding("no descriptor: errno \(errno)") }
    return FileDescriptor(owning: number)
  }
}
