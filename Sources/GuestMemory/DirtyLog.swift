public import LinuxSystem

/// The log of dirty pages: one bit for each page of guest memory, in a file of the front-end's.
///
/// It is not guest memory: the front-end reads and clears it while we set bits, and other back-ends may do so, too.
/// Spec: vhost-user, "Migration".
public final class DirtyLog: Sendable {
  /// Bytes of guest memory that a bit stands for (`VHOST_LOG_PAGE`), as a power of two.
  public static let pageShift: UInt64 = 12

  private let part: MappedRegion

  /// Maps `byteCount` bytes of a file from `offset` on.
  ///
  /// - Throws: `empty`, `addressOverflow`, `fileTooShort` or `system`, as for a region of memory.
  public init(
    file: borrowing FileDescriptor, offset: UInt64, byteCount: UInt64
  ) throws(MemoryError) {
    part = try MappedRegion(
      RegionDescription(
        guestAddress: GuestAddress(rawValue: 0), byteCount: byteCount,
        frontendAddress: FrontendAddress(rawValue: 0), mmapOffset: offset),
      file: file)
  }

  /// Pages that it has a bit for, the first of them at guest address 0.
  public var pageCount: UInt64 { part.description.byteCount << 3 }

  /// Whether it has a bit for every page of a guest's memory.
  public func covers(_ memory: MemoryMap) -> Bool {
    memory.regions.allSatisfy { region in
      // A region is not empty, and its end does not run over 2^64.
      let last = region.description.guestAddress.rawValue + (region.description.byteCount - 1)
      return last >> Self.pageShift < pageCount
    }
  }

  /// Whether the front-end has truncated the log's file, and somebody touched what was missing: bits are lost.
  public var isLost: Bool { part.isLost }

  /// For `LostMappings.isLost`.
  var lossNumber: Int32 { part.lossNumber }

  var base: UnsafeMutablePointer<UInt8> { unsafe part.base }
}

/// A run of addresses that a log has bits for.
public struct LoggedRange: Hashable, Sendable {
  public var address: GuestAddress
  public var byteCount: UInt64

  public init(address: GuestAddress, byteCount: UInt64) {
    self.address = address
    self.byteCount = byteCount
  }
}

/// What of a queue's writes is logged, and in which log.
public struct DirtyLogging: Sendable {
  public let log: DirtyLog
  /// Whether writes to the buffers of chains are logged (`VHOST_F_LOG_ALL`).
  public var includesBuffers: Bool
  /// Where writes to the ring's own parts are logged, at most `DirtyPages.ringRangeCapacity`.
  ///
  /// The front-end says where for a split ring's used part; that need be no address of guest memory.
  public var ring: [LoggedRange]

  public init(log: DirtyLog, includesBuffers: Bool, ring: [LoggedRange]) {
    self.log = log
    self.includesBuffers = includesBuffers
    self.ring = ring
  }
}

extension MemoryMap {
  /// The guest address of a byte that the front-end names, in the region that `translate` finds.
  public func guestAddress(of address: FrontendAddress) -> GuestAddress? {
    for region in regions {
      let description = region.description
      // Wrapping: an address below the region gives an offset beyond any size.
      let offset = address.rawValue &- description.frontendAddress.rawValue
      if offset < description.byteCount {
        return GuestAddress(rawValue: description.guestAddress.rawValue &+ offset)
      }
    }
    return nil
  }
}
