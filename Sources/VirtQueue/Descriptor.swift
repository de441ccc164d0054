import CRingShims

/// One descriptor, copied out of guest memory.
///
/// Split rings have flags, then the number of the next descriptor; packed ones have the buffer identifier, then flags,
/// and the next descriptor is the one behind.
struct Descriptor {
  var address: UInt64
  var byteCount: UInt32
  var flags: UInt16
  /// What a linked descriptor goes on with; without meaning in a sequential one.
  var next: UInt16

  /// `VIRTQ_DESC_F_NEXT`, `VIRTQ_DESC_F_INDIRECT`.
  static var nextFlag: UInt16 { 1 }
  static var indirectFlag: UInt16 { 4 }

  /// `VIRTQ_DESC_F_NEXT`.
  var hasNext: Bool { @_noAllocation @_noLocks get { flags & 1 != 0 } }
  /// `VIRTQ_DESC_F_WRITE`.
  var isWritable: Bool { @_noAllocation @_noLocks get { flags & 2 != 0 } }
  /// `VIRTQ_DESC_F_INDIRECT`.
  var isIndirect: Bool { @_noAllocation @_noLocks get { flags & 4 != 0 } }

  /// 0 where it is readable, `writableFlag` where it is writable, more where it is indirect.
  var directionFlags: UInt16 { @_noAllocation @_noLocks @inline(__always) get { flags & 6 } }
  static var writableFlag: UInt16 { @_noAllocation @_noLocks @inline(__always) get { 2 } }

  /// Reads a descriptor, each of its two words exactly once.
  ///
  /// `flagsShift`: where the flags are in the second word.
  @_noAllocation @_noLocks
  @inline(__always)
  init(at pointer: UnsafePointer<UInt8>, flagsShift: UInt64) {
    // SAFETY: the caller has checked that 16 bytes are there.
    unsafe address = UInt64(littleEndian: cring_load64(pointer))
    let rest = unsafe UInt64(littleEndian: cring_load64(pointer + 8))
    byteCount = UInt32(truncatingIfNeeded: rest)
    flags = UInt16(truncatingIfNeeded: rest &>> flagsShift)
    next = UInt16(truncatingIfNeeded: rest >> 48)
  }

  /// A sequential descriptor whose second word was read before.
  @_noAllocation @_noLocks
  init(address: UInt64, packedWord: UInt64) {
    self.address = address
    byteCount = UInt32(truncatingIfNeeded: packedWord)
    flags = UInt16(truncatingIfNeeded: packedWord >> 48)
    next = 0
  }
}
