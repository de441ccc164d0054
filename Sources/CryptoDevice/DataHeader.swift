import CRingShims
import CryptoTypes
import VirtioSpec

/// The lengths of one data request, as the guest claims them.
struct RequestLengths {
  var iv: UInt32 = 0
  var source: UInt32 = 0
  var destination: UInt32 = 0
  var aad: UInt32 = 0
  /// Hash, MAC or tag.
  var result: UInt32 = 0

  @_noAllocation @_noLocks
  init() {}
}

/// The header and fixed part of a data request, copied out of guest memory once.
///
/// Every check and every use works on this copy. Fields are read by offset; the buffer is larger than any layout.
@safe
struct DataHeader: ~Copyable {
  static let capacity = 128
  let bytes: UnsafeMutablePointer<UInt8>

  init() {
    unsafe bytes = .allocate(capacity: Self.capacity)
    unsafe bytes.initialize(repeating: 0, count: Self.capacity)
  }

  deinit { unsafe bytes.deallocate() }

  /// Where the fixed part starts.
  var fixedPart: UnsafeMutablePointer<UInt8> {
    @_noAllocation @_noLocks get { unsafe bytes + VirtioCryptoWire.dataHeaderByteCount }
  }

  // `struct virtio_crypto_op_header`.
  var opcode: UInt32 { @_noAllocation @_noLocks get { load(0) } }
  /// The ASYM service's; elsewhere the session or the fixed part says which.
  var algorithm: UInt32 { @_noAllocation @_noLocks get { load(4) } }
  var sessionIdentifier: UInt64 {
    @_noAllocation @_noLocks get { UInt64(load(8)) | UInt64(load(12)) << 32 }
  }
  var flag: UInt32 { @_noAllocation @_noLocks get { load(16) } }

  /// A field of the fixed part; `offset` is a constant below `capacity - 28` at every call.
  @_noAllocation @_noLocks
  func field(_ offset: Int) -> UInt32 { load(VirtioCryptoWire.dataHeaderByteCount &+ offset) }

  @_noAllocation @_noLocks
  private func load(_ offset: Int) -> UInt32 {
    // SAFETY: offsets are constants of the layouts, all below `capacity`; the buffer is ours and initialised.
    unsafe UInt32(littleEndian: cring_load32(bytes + offset))
  }
}
