public import LinuxSystem

/// Whose sessions they are: the guest's, known by the file of its memory and by the process that connected for it.
///
/// A front-end that comes back is the same one only if both are what they were.
public struct SessionOwner: Hashable, Sendable {
  /// The file behind the lowest region of guest memory.
  public var memory: FileIdentity
  public var peer: PeerProcess

  public init(memory: FileIdentity, peer: PeerProcess) {
    self.memory = memory
    self.peer = peer
  }
}

/// What the journal says of an owner: who, and which connections' sessions are theirs.
struct OwnerRecord: Hashable {
  static let byteCount = 64

  var owner: SessionOwner
  /// Connections are numbered; sessions carry the number of theirs.
  var connections: ClosedRange<UInt32>

  init(owner: SessionOwner, connections: ClosedRange<UInt32>) {
    self.owner = owner
    self.connections = connections
  }

  /// Reads one; nil where nobody owns anything.
  ///
  /// Throws where it is damaged.
  static func load(_ source: UnsafeRawPointer) throws(JournalError) -> OwnerRecord? {
    func word(_ index: Int) -> UInt64 {
      // SAFETY: the record has eight words.
      unsafe UInt64(littleEndian: source.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }
    var check = RecordCheck(0)
    for index in 0..<7 { check.add(word(index)) }
    if (0..<8).allSatisfy({ word($0) == 0 }) { return nil }
    let first = UInt32(truncatingIfNeeded: word(5))
    let last = UInt32(truncatingIfNeeded: word(5) >> 32)
    guard word(7) == check.value, word(4) <= UInt64(UInt32.max), word(6) <= 1, first <= last else {
      throw JournalError("the owner's record is damaged")
    }
    guard word(6) == 1 else { return nil }
    return OwnerRecord(
      owner: SessionOwner(
        memory: FileIdentity(device: word(0), inode: word(1)),
        peer: PeerProcess(
          number: Int32(bitPattern: UInt32(truncatingIfNeeded: word(3))),
          user: UInt32(truncatingIfNeeded: word(4)), startTime: word(2))),
      connections: first...last)
  }

  /// Writes one, `byteCount` bytes; nil: nobody.
  static func store(_ record: OwnerRecord?, to target: UnsafeMutableRawPointer) {
    var words = InlineArray<8, UInt64>(repeating: 0)
    if let record {
      words[0] = record.owner.memory.device
      words[1] = record.owner.memory.inode
      words[2] = record.owner.peer.startTime
      words[3] = UInt64(UInt32(bitPattern: record.owner.peer.number))
      words[4] = UInt64(record.owner.peer.user)
      words[5] =
        UInt64(record.connections.lowerBound) | UInt64(record.connections.upperBound) << 32
      words[6] = 1
    }
    var check = RecordCheck(0)
    for index in 0..<7 { check.add(words[index]) }
    words[7] = check.value
    for index in 0..<8 {
      // SAFETY: the caller has room for eight words.
      unsafe target.storeBytes(
        of: words[index].littleEndian, toByteOffset: index * 8, as: UInt64.self)
    }
  }
}
