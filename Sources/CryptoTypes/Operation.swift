/// How an operation ended, in words that every engine shares.
///
/// The device turns them into a virtio-crypto status.
public enum CryptoOutcome: UInt8, Sendable {
  case ok
  /// The engine failed, or the lengths do not fit the algorithm.
  case failed
  /// An AEAD tag did not verify; the destination holds no plaintext.
  case tagMismatch
  /// The engine cannot do this, though the session asked for it; another engine may.
  case unsupported
  /// A signature did not verify.
  case signatureMismatch
  /// The engine is short of something (memory, descriptors) that another may not need, and has written nothing.
  case exhausted

  /// Whether another engine may do it.
  @inlinable public var isLeftToOthers: Bool {
    @_noAllocation @_noLocks get { self == .unsupported || self == .exhausted }
  }
}

/// Whether an operation is finished when `submit` returns.
public enum CryptoDisposition: UInt8, Sendable {
  case done
  /// It is in flight; `nextCompletion` gives it back, in any order.
  case submitted
}

/// One operation on contiguous memory: what an engine works on.
///
/// It lives at a stable address in the worker's request slots until it is completed. Source, destination and `aad` point
/// into guest memory (which the guest may write at any time) or into the worker's bounce buffers; the owner has checked
/// every range and every length against the algorithm. `iv`, `tag` and `result` are the worker's own memory.
/// Source and destination are the same address or do not overlap at all.
@safe
@frozen
public struct CryptoOperation {
  /// The parameters; alive until the operation is completed.
  public var session: UnsafePointer<SessionParameters>
  /// Index of the session in the lane's cache, or `transientSession` for a stateless request, whose keys are used once.
  public var sessionIndex: UInt32 = CryptoOperation.transientSession
  /// Distinguishes successive sessions of one index.
  public var sessionGeneration: UInt32 = 0
  /// The engine that it is given to, of the session's route.
  public var engineIndex: UInt8 = 0
  /// The engines that could not do it, one bit each.
  public var triedEngines: UInt32 = 0
  public var outcome: CryptoOutcome = .ok
  public var disposition: CryptoDisposition = .done
  public var ivByteCount: UInt8 = 0
  /// What an asymmetric operation does.
  public var asymmetric: AsymmetricOperation = .encrypt
  /// Length in `tag`, 0…16.
  public var tagByteCount: UInt8 = 0
  /// The bytes to process.
  ///
  /// For AEAD decryption: the ciphertext without its tag. For a MAC with an IV: the message
  /// behind the IV. For `verify`: the signature.
  public var source: UnsafePointer<UInt8>
  public var sourceByteCount: UInt32 = 0
  /// For `hash` and `mac` unused.
  ///
  /// For a chain: receives `sourceByteCount` bytes.
  public var destination: UnsafeMutablePointer<UInt8>
  /// For `verify`: what was signed.
  public var aad: UnsafePointer<UInt8>
  public var aadByteCount: UInt32 = 0
  /// Where hash, MAC or (AEAD encryption) tag goes, and how many leading bytes of it are wanted.
  ///
  /// An asymmetric result, too: then `resultByteCount` is the room for it, and afterwards its length.
  public var result: UnsafeMutablePointer<UInt8>
  public var resultByteCount: UInt32 = 0
  // A chain's ranges, from the start of the source.
  public var cipherOffset: UInt32 = 0
  public var cipherByteCount: UInt32 = 0
  public var hashOffset: UInt32 = 0
  public var hashByteCount: UInt32 = 0
  /// IV, counter block, tweak or J0, copied out of guest memory.
  ///
  /// In a chain with an IV-taking MAC, that IV is the `aad`.
  public var iv: (UInt64, UInt64) = (0, 0)
  /// AEAD decryption: the tag to compare with, copied out of guest memory.
  public var tag: (UInt64, UInt64) = (0, 0)

  /// The `sessionIndex` of a stateless request.
  @inlinable public static var transientSession: UInt32 { .max }

  @inlinable
  public init(
    session: UnsafePointer<SessionParameters>, placeholder: UnsafeMutablePointer<UInt8>
  ) {
    unsafe self.session = session
    unsafe self.source = UnsafePointer(placeholder)
    unsafe self.destination = placeholder
    unsafe self.aad = UnsafePointer(placeholder)
    unsafe self.result = placeholder
  }
}
