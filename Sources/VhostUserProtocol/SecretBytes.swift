#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// Key bytes on the control path: immutable, shared by reference, wiped when the last reference goes.
///
/// Nothing prints them: the description is the length only, and no array of them is handed out.
@safe
public final class SecretBytes: Sendable {
  // SAFETY: allocated and filled in `init`, never written afterwards, freed only in `deinit`, so concurrent readers are
  // fine and nobody reaches it after the last reference is gone.
  nonisolated(unsafe) private let storage: UnsafeMutableRawBufferPointer

  /// Number of bytes.
  public var count: Int { unsafe storage.count }

  /// Copies bytes in; the source stays the caller's to wipe.
  public init(_ bytes: some Collection<UInt8>) {
    // SAFETY: the buffer is ours alone; it has room for the whole collection.
    unsafe storage = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    unsafe storage.copyBytes(from: bytes)
  }

  /// Copies a window of a message; the caller has checked that it lies inside.
  init(_ bytes: Span<UInt8>, offset: Int, byteCount: Int) {
    // SAFETY: the buffer is ours alone; `Span` checks the source, the loop stays inside the allocation.
    unsafe storage = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 1)
    for index in 0..<byteCount { unsafe storage[index] = bytes[offset + index] }
  }

  deinit {
    // SAFETY: the last reference is gone; `explicit_bzero` is a wipe that the optimizer may not drop.
    if let start = unsafe storage.baseAddress { unsafe explicit_bzero(start, storage.count) }
    unsafe storage.deallocate()
  }

  /// Lends the bytes for the call; a pointer kept beyond it dangles.
  public func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: `self` is alive for the whole call and with it the allocation.
    defer { withExtendedLifetime(self) {} }
    return try unsafe body(UnsafeRawBufferPointer(storage))
  }

  /// Writes the bytes into a message under construction; the caller has checked the room.
  func store(into message: inout [UInt8], at offset: Int) {
    // SAFETY: indices run over the allocation; the array checks its own.
    for index in 0..<count { message[offset + index] = unsafe storage[index] }
  }
}

extension SecretBytes: CustomStringConvertible, CustomReflectable {
  /// The length and nothing else.
  public var description: String { "\(count) secret bytes" }
  /// Empty, so that `dump` shows nothing either.
  public var customMirror: Mirror { Mirror(self, children: []) }
}
