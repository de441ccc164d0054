import CKcapi
import CryptoTypes

/// One operation on its way through the kernel.
@safe
struct KernelJob {
  /// The message and the read of the step that is in flight.
  var exchange: ckcapi_exchange
  var operation: UnsafeMutablePointer<CryptoOperation>
  /// The next free job; -1 at the end.
  var next: Int32
  /// The entry that holds the session's transforms.
  var entry: Int32
  /// The operation socket of the step in flight (negative: widened; `min`: none), and the part that it belongs to.
  var socket: Int32
  var part: Int32
  /// The step in flight in the lowest byte, those to come above it.
  var steps: UInt32
}

/// What an operation takes: each is one message to a socket and one read from it.
enum KernelStep: UInt8 {
  // 0 ends a list of steps.
  case cipher = 1
  /// A hash or MAC of the whole source, or of a chain's range.
  case digest
  /// A nested hash: over the inner prefix and the range, then over the outer prefix and the first digest.
  case innerDigest, outerDigest
  /// A MAC that an AEAD makes of associated data alone.
  case gmac
  case seal, open
  /// AES-F8: the IV under the masked key, then the key stream.
  case f8Vector, f8Stream
  /// GCM that the kernel's own cannot do, put together: E(0) and E(J0); the text, in two parts where the counter wraps; the
  /// tag.
  case counterBlocks, counterStream, counterStreamRest, counterTag

  /// Its byte in a list of steps; debug builds see no other file's `rawValue` on the data path.
  var code: UInt32 { @_noAllocation @_noLocks get { UInt32(rawValue) } }

  /// The first of a list of steps; nil at its end.
  @_noAllocation @_noLocks
  static func first(of steps: UInt32) -> KernelStep? {
    KernelStep(rawValue: UInt8(truncatingIfNeeded: steps))
  }
}

/// Sockets under one session's keys.
@safe
struct KeyedEntry {
  /// The session, or `CryptoOperation.transientSession`.
  var sessionIndex: UInt32
  var generation: UInt32
  var isOpen: Bool
  /// Operations in flight that use it.
  var userCount: Int32
  /// When it was last used, in operations begun.
  var lastUse: UInt64

  // What the parts are for.
  static var cipherPart: Int32 { @_noAllocation @_noLocks get { 0 } }
  static var authPart: Int32 { @_noAllocation @_noLocks get { 1 } }
  static var blockPart: Int32 { @_noAllocation @_noLocks get { 2 } }
  static var counterPart: Int32 { @_noAllocation @_noLocks get { 3 } }
  static var hashPart: Int32 { @_noAllocation @_noLocks get { 4 } }
  static var partCount: Int32 { @_noAllocation @_noLocks get { 5 } }
}

/// A transform's socket, and its operation sockets that wait to be used again.
@safe
struct KeyedPart {
  /// One more than the descriptor; 0: none.
  var socketPlusOne: Int32
  /// Of the lane's table.
  var transformIndex: Int32
  var idleCount: Int32
  /// The idle sockets; those that were widened have a negative number.
  var idle:
    (
      Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32,
      Int32, Int32, Int32
    )
  static var idleCapacity: Int32 { @_noAllocation @_noLocks get { 16 } }
}
