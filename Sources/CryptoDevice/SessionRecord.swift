import CryptoTypes
import VirtioSpec

// A session as it is written down: in the journal that outlives the daemon, and in the device's state that goes to
// another host. Both hold the guest's own words rather than what they were resolved to, so that a reader checks them
// exactly as it checks a guest's request, against what it offers itself.
//
// Format, version 1: thirteen little-endian words of 32 bits in the order below, then the cipher's key, then the
// authentication key.

extension SessionRequest {
  /// Words of a record.
  static var wordCount: Int { 13 }
  static var wordsByteCount: Int { wordCount * 4 }

  /// The words in their order.
  var words: InlineArray<13, UInt32> {
    [
      service.rawValue, symmetricType, cipher, cipherKeyByteCount, operation, hash, hashMode,
      chainOrder, authKeyByteCount, resultByteCount, keyType, firstParameter, secondParameter,
    ]
  }

  init(words: InlineArray<13, UInt32>) {
    self.init(service: VirtioCryptoService(rawValue: words[0]))
    symmetricType = words[1]
    cipher = words[2]
    cipherKeyByteCount = words[3]
    operation = words[4]
    hash = words[5]
    hashMode = words[6]
    chainOrder = words[7]
    authKeyByteCount = words[8]
    resultByteCount = words[9]
    keyType = words[10]
    firstParameter = words[11]
    secondParameter = words[12]
  }

  /// Writes the words, `wordsByteCount` bytes, at an address of any alignment.
  func store(to target: UnsafeMutableRawPointer) {
    let words = words
    for index in 0..<Self.wordCount {
      // SAFETY: the caller has room for all of them.
      unsafe target.storeBytes(
        of: words[index].littleEndian, toByteOffset: index * 4, as: UInt32.self)
    }
  }

  /// Reads words, `wordsByteCount` bytes, at an address of any alignment.
  init(loading source: UnsafeRawPointer) {
    var words = InlineArray<13, UInt32>(repeating: 0)
    for index in 0..<Self.wordCount {
      // SAFETY: the caller has all of them.
      words[index] = unsafe UInt32(
        littleEndian: source.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
    }
    self.init(words: words)
  }

  /// Bytes of both keys; nil where no session has so many.
  var keyByteCount: Int? {
    guard cipherKeyByteCount <= UInt32(AsymmetricAlgorithm.maximumKeyByteCount),
      authKeyByteCount <= UInt32(Self.maximumAuthKeyByteCount)
    else { return nil }
    return Int(cipherKeyByteCount) + Int(authKeyByteCount)
  }

  /// The longest that any session has; engines take no longer ones.
  private static var maximumAuthKeyByteCount: Int { 1024 }
}

/// A checksum that notices every change within eight bytes, wherever it is; no proof against whoever means harm.
struct RecordCheck {
  private var state: UInt64

  init(_ number: UInt64) { state = number ^ 0x9E37_79B9_7F4A_7C15 }

  mutating func add(_ word: UInt64) {
    // Each step is one to one, so that two states that differ stay different.
    state = (state ^ word) &* 0xD6E8_FEB8_6659_FD93
    state ^= state >> 32
  }

  /// Adds bytes, the last ones filled up with zeros.
  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    var offset = 0
    while offset + 8 <= bytes.count {
      // SAFETY: the eight bytes lie inside, as the condition says.
      add(unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian)
      offset += 8
    }
    guard offset < bytes.count else { return }
    var last: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count {
      last |= UInt64(unsafe bytes[offset]) << shift
      shift += 8
      offset += 1
    }
    add(last)
  }

  /// Never 0, which is what nothing was written to.
  var value: UInt64 { state == 0 ? 1 : state }
}
