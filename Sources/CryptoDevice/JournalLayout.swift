import CryptoTypes

/// Where what is in a journal's file; all numbers are little-endian.
///
/// ```text
/// 0      header: "VCSESSJ1", u32 version, u32 slots, u32 bytes of a slot, u32 bytes of a long key, u64 size, u64 check
/// 64     u32 slots that were ever used, u32 its complement
/// 72     u32 which of the two owner records counts
/// 80     the control request being carried out: u64 identifier, u64 check, u32 position in its queue, u32 kind (0: none)
/// 128    two owner records of 64 bytes
/// 4096   generations: u32 for each slot, which the identifiers that it had were made of
/// …      slots of 256 bytes: u64 identifier (0: free), u64 check, u32 connection, thirteen words of the session's
///        request, its keys where they have 184 bytes at most
/// …      long keys: 20 KiB for each slot, touched only by sessions that have them
/// ```
struct JournalLayout {
  static let magic: UInt64 = 0x314A_5353_4553_4356  // "VCSESSJ1"
  static let version: UInt32 = 1
  static let pageByteCount = 4096
  static let usedOffset = 64
  static let ownerSelectorOffset = 72
  static let markOffset = 80
  static let ownerOffset = 128
  static let slotByteCount = 256
  static let checkOffset = 8
  static let connectionOffset = 16
  static let wordsOffset = 20
  static let keysOffset = wordsOffset + SessionRequest.wordsByteCount
  /// The longest keys, both together, that a slot holds itself.
  static let shortKeysByteCount = slotByteCount - keysOffset
  static let longKeysByteCount = 20 << 10
  /// More would be no table of ours; a million sessions are what is promised.
  static let maximumSlotCount = 1 << 24

  let slotCount: Int

  init(slotCount: Int) { self.slotCount = slotCount }

  private static func wholePages(_ byteCount: Int) -> Int {
    (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
  }

  var generationsOffset: Int { Self.pageByteCount }
  var slotsOffset: Int { generationsOffset + Self.wholePages(slotCount * 4) }
  var slotsByteCount: Int { Self.wholePages(slotCount * Self.slotByteCount) }
  var longKeysOffset: Int { slotsOffset + slotsByteCount }
  var byteCount: Int { longKeysOffset + slotCount * Self.longKeysByteCount }

  func generationOffset(_ index: Int) -> Int { generationsOffset + index * 4 }
  func slotOffset(_ index: Int) -> Int { slotsOffset + index * Self.slotByteCount }
  func longKeysOffset(_ index: Int) -> Int { longKeysOffset + index * Self.longKeysByteCount }
}

/// Why a journal is refused, in words.
public struct JournalError: Error, Hashable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
