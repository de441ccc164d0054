// GuestMemory: the mapped regions of one guest, address translation, bounds. The owner of every guest pointer.
//
// The three kinds of address are three types, so that mixing them does not compile: the guest's physical addresses in
// descriptors, the front-end's virtual addresses in vhost-user messages, our own pointers.

/// An address as the guest uses it in descriptors.
public struct GuestAddress: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An address in the front-end's process, as vhost-user messages have them.
public struct FrontendAddress: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A checked run of guest memory in our address space.
///
/// The guest may write it at any time, so it is never a `Span` or an array: whoever reads it reads once and copies.
/// Valid while the `MemoryMap` that gave it lives.
@safe
@frozen
public struct GuestSlice {
  public let pointer: UnsafeMutablePointer<UInt8>
  public let byteCount: Int

  @inlinable
  public init(pointer: UnsafeMutablePointer<UInt8>, byteCount: Int) {
    unsafe self.pointer = pointer
    self.byteCount = byteCount
  }
}

/// One region of guest memory as a front-end describes it.
public struct RegionDescription: Hashable, Sendable {
  public var guestAddress: GuestAddress
  public var byteCount: UInt64
  public var frontendAddress: FrontendAddress
  /// Where the region starts in its file, in bytes.
  public var mmapOffset: UInt64

  public init(
    guestAddress: GuestAddress, byteCount: UInt64, frontendAddress: FrontendAddress,
    mmapOffset: UInt64
  ) {
    self.guestAddress = guestAddress
    self.byteCount = byteCount
    self.frontendAddress = frontendAddress
    self.mmapOffset = mmapOffset
  }
}
