internal import CRingShims

extension DriverQueue {
  /// `VIRTQ_DESC_F_*`.
  public enum DescriptorFlag {
    public static let next: UInt16 = 1
    public static let write: UInt16 = 2
    public static let indirect: UInt16 = 4
  }

  /// Formats a chain in descriptors of its own and gives its head.
  ///
  /// It stays formatted until `release`.
  ///
  /// `indirect`: put the buffers into a table of their own, so that the chain takes one descriptor.
  /// - Throws: `ring` when too few descriptors are free; `guestMemory` when there is no room for
  ///   the table.
  public func reserve(_ buffers: [ChainBuffer], indirect: Bool) throws(FrontendError) -> UInt16 {
    guard !buffers.isEmpty else { throw .ring("a chain without buffers") }
    let entries = Self.entries(of: buffers)
    if indirect {
      let table = try memory.allocate(16 * entries.count, alignment: 16)
      for (index, entry) in entries.enumerated() {
        var entry = entry
        if isPacked {
          // A table's entries follow each other.
          entry.flags &= ~DescriptorFlag.next
        } else {
          entry.next = index + 1 < entries.count ? UInt16(truncatingIfNeeded: index + 1) : 0
        }
        try memory.write(entry.bytes(of: kind), at: table + 16 * UInt64(index))
      }
      do throws(FrontendError) {
        let head = try takeDescriptors(1)
        chains[head[0]] = Chain(descriptors: head, indirectTable: table)
        books.enter(head, writableByteCount: Self.writableByteCount(of: buffers))
        setDescriptor(
          head[0],
          RingDescriptor(
            guestAddress: table, byteCount: UInt32(truncatingIfNeeded: 16 * entries.count),
            flags: DescriptorFlag.indirect, next: 0))
        return head[0]
      } catch {
        memory.free(table)
        throw error
      }
    }
    let taken = try takeDescriptors(entries.count)
    for (index, entry) in entries.enumerated() {
      var entry = entry
      entry.next = index + 1 < taken.count ? taken[index + 1] : 0
      setDescriptor(taken[index], entry)
    }
    chains[taken[0]] = Chain(descriptors: taken, indirectTable: nil)
    books.enter(taken, writableByteCount: Self.writableByteCount(of: buffers))
    return taken[0]
  }

  /// Frees the descriptors of a reserved chain.
  ///
  /// The device must be done with it.
  public func release(_ head: UInt16) {
    guard let chain = chains.removeValue(forKey: head) else { return }
    if let table = chain.indirectTable { memory.free(table) }
    for descriptor in chain.descriptors.reversed() {
      nextFree[Int(descriptor)] = firstFree ?? size
      firstFree = descriptor
    }
    freeCount += chain.descriptors.count
  }

  /// Guest address of a reserved chain's indirect table; nil for a direct chain.
  public func indirectTable(of head: UInt16) -> UInt64? { chains[head]?.indirectTable }

  /// The descriptors of a reserved chain, in order, in the ring's own table; of a packed ring, their
  /// templates.
  public func descriptorIndices(of head: UInt16) -> [UInt16] { chains[head]?.descriptors ?? [] }

  private static func writableByteCount(of buffers: [ChainBuffer]) -> UInt32 {
    UInt32(clamping: buffers.reduce(UInt64(0)) { $0 + ($1.isWritable ? UInt64($1.byteCount) : 0) })
  }

  private func takeDescriptors(_ count: Int) throws(FrontendError) -> [UInt16] {
    guard count <= freeCount else {
      throw .ring("a chain of \(count) descriptors, \(freeCount) are free")
    }
    var taken: [UInt16] = []
    while taken.count < count, let first = firstFree {
      taken.append(first)
      let next = nextFree[Int(first)]
      firstFree = next < size ? next : nil
    }
    freeCount -= taken.count
    return taken
  }

  /// The buffers as descriptors, linked by NEXT but with `next` still 0.
  private static func entries(of buffers: [ChainBuffer]) -> [RingDescriptor] {
    buffers.enumerated().map { index, buffer in
      var flags: UInt16 = buffer.isWritable ? DescriptorFlag.write : 0
      if index + 1 < buffers.count { flags |= DescriptorFlag.next }
      return RingDescriptor(
        guestAddress: buffer.guestAddress, byteCount: buffer.byteCount, flags: flags, next: 0)
    }
  }

  // MARK: One at a time

  /// Reserves, posts and publishes a chain, and kicks if the device wants it.
  ///
  /// The chain's head.
  @discardableResult
  public func submit(_ buffers: [ChainBuffer], indirect: Bool) throws(FrontendError) -> UInt16 {
    let head = try reserve(buffers, indirect: indirect)
    post(head)
    if publish() { try kick() }
    return head
  }

  /// Writes the kick eventfd.
  public func kick() throws(FrontendError) { try kickEvent.signal() }

  /// The next finished chain, waiting by looking again and again.
  public func pollUsed(timeoutMilliseconds: Int = 5000) throws(FrontendError) -> UsedElement {
    let deadline = Deadline(milliseconds: timeoutMilliseconds)
    var spins = 0
    while true {
      if let element = popUsed() { return element }
      spins &+= 1
      if spins & 0x3F == 0 {
        if deadline.hasPassed {
          throw .timedOut(waitingFor: "used entry", milliseconds: timeoutMilliseconds)
        }
        yieldProcessor()
      }
      cring_pause()
    }
  }

  /// The next finished chain, sleeping until the device calls.
  public func waitUsed(timeoutMilliseconds: Int = 5000) throws(FrontendError) -> UsedElement {
    let deadline = Deadline(milliseconds: timeoutMilliseconds)
    while true {
      if let element = popUsed() { return element }
      if enableCalls() { continue }
      guard try callEvent.wait(milliseconds: deadline.remainingMilliseconds) else {
        if let element = popUsed() { return element }
        throw .timedOut(waitingFor: "call for a used entry", milliseconds: timeoutMilliseconds)
      }
      _ = try callEvent.drain()
    }
  }
}
