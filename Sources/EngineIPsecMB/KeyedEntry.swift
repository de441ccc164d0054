import CIPsecMB
import CryptoTypes

/// What is known of one session's keys in one lane; the expanded keys lie behind it in memory.
///
/// All bytes zero is a valid, empty value: tables of it are made by mapping memory.
@safe
struct KeyedEntry {
  var isExpanded: Bool
  /// The generation of the session that the keys belong to.
  var generation: UInt32
  /// Of ciphers, AEADs and chains.
  var cipherMode: IMB_CIPHER_MODE
  var cipherKeyByteCount: UInt32
  /// Of hashes, MACs and chains: the library's job for it.
  var hash: IMB_HASH_ALG
  var authKeyByteCount: UInt32

  /// Bytes from one entry to the next: this, then one key's room for the cipher and one for the MAC.
  static var stride: Int { @_noAllocation @_noLocks get { 64 + 2 * keyRoom } }
  static var keyRoom: Int { @_noAllocation @_noLocks get { 1024 } }
}

/// One operation's own memory while it is a job: where the library finds IVs and leaves the tag.
///
/// Behind it lies an entry for the keys of a stateless request.
@safe
struct JobSlot {
  var operation: UnsafeMutablePointer<CryptoOperation>
  /// The call of `submit` that brought the operation.
  var batch: UInt64
  /// The next free slot, or the next one completed; -1 at the end.
  var next: Int32
  var usesOwnKeys: Bool

  // Offsets from the start of the slot. The library wants blocks aligned to 16 bytes.
  static var tagOffset: Int { @_noAllocation @_noLocks get { 64 } }
  static var ivOffset: Int { @_noAllocation @_noLocks get { 128 } }
  static var authIVOffset: Int { @_noAllocation @_noLocks get { 144 } }
  static var entryOffset: Int { @_noAllocation @_noLocks get { 192 } }
  static var stride: Int { @_noAllocation @_noLocks get { entryOffset + KeyedEntry.stride } }
}

extension UnsafeMutablePointer<KeyedEntry> {
  /// The expanded key of the cipher or AEAD.
  var cipherKey: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get {
      // SAFETY: every entry has its keys' room behind it.
      unsafe (UnsafeMutableRawPointer(self) + 64).assumingMemoryBound(to: UInt8.self)
    }
  }
  /// The expanded key of the MAC.
  var authKey: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get { unsafe cipherKey + KeyedEntry.keyRoom }
  }
  /// What the library wants as the key for encryption; AES, DES and 3DES differ in it.
  var encryptionKey: UnsafeRawPointer {
    @_noAllocation @_noLocks get {
      let isTriple = unsafe pointee.cipherMode == IMB_CIPHER_DES3
      return unsafe UnsafeRawPointer(cipherKey) + (isTriple ? Int(CIPSECMB_POINTERS) : 0)
    }
  }
  var decryptionKey: UnsafeRawPointer {
    @_noAllocation @_noLocks get {
      let mode = unsafe pointee.cipherMode
      let hasOwn = mode == IMB_CIPHER_CBC || mode == IMB_CIPHER_ECB
      return unsafe hasOwn
        ? UnsafeRawPointer(cipherKey) + Int(CIPSECMB_DECRYPTION) : encryptionKey
    }
  }
}

extension UnsafeMutablePointer<JobSlot> {
  /// 64 bytes for a tag, digest or MAC.
  var tag: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get { unsafe bytes(at: JobSlot.tagOffset) }
  }
  /// 16 bytes for the cipher's IV.
  var iv: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get { unsafe bytes(at: JobSlot.ivOffset) }
  }
  /// 16 bytes for the MAC's IV.
  var authIV: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get { unsafe bytes(at: JobSlot.authIVOffset) }
  }
  /// For the keys of a stateless request.
  var entry: UnsafeMutablePointer<KeyedEntry> {
    @_noAllocation @_noLocks get {
      unsafe (UnsafeMutableRawPointer(self) + JobSlot.entryOffset)
        .assumingMemoryBound(to: KeyedEntry.self)
    }
  }

  @_noAllocation @_noLocks
  private func bytes(at offset: Int) -> UnsafeMutablePointer<UInt8> {
    // SAFETY: slots are spaced by JobSlot.stride, which these offsets are inside of.
    unsafe (UnsafeMutableRawPointer(self) + offset).assumingMemoryBound(to: UInt8.self)
  }
}
