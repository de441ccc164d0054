import GuestMemory
import LinuxSystem

/// Regions over small files, and what `/proc` says about them.
enum MemoryFixture {
  static let page: UInt64 = 4096

  static func file(_ byteCount: UInt64, name: String = "region-test") throws -> FileDescriptor {
    try MemoryFile.make(name: name, byteCount: Int(byteCount))
  }

  /// A region whose front-end addresses are far from all others of another guest address.
  static func region(
    at guestAddress: UInt64, _ byteCount: UInt64 = page, frontend: UInt64? = nil, offset: UInt64 = 0
  ) -> RegionDescription {
    RegionDescription(
      guestAddress: GuestAddress(rawValue: guestAddress), byteCount: byteCount,
      frontendAddress: FrontendAddress(rawValue: frontend ?? 0x7000_0000_0000 &+ guestAddress),
      mmapOffset: offset)
  }

  /// The refusal of a region; nil when it is mapped.
  static func refusal(
    _ region: RegionDescription, fileByteCount: UInt64 = page, in map: MemoryMap = MemoryMap()
  ) throws -> MemoryError? {
    let file = try file(fileByteCount)
    do throws(MemoryError) {
      _ = try map.adding(region, descriptor: file)
      return nil
    } catch { return error }
  }
}

/// A generator whose sequence a printed seed replays (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
