/// A request in guest memory: what a chain is made of, and where its answer will be.
public struct PlacedRequest: Sendable {
  /// The chain, device-readable buffers first.
  public internal(set) var buffers: [ChainBuffer] = []
  /// Where destination bytes go, in order.
  public internal(set) var destination: [ChainBuffer] = []
  /// Where the separate result (hash, MAC) goes; empty when there is none.
  public internal(set) var result: [ChainBuffer] = []
  /// Guest address of header and fixed fields; nil when they lie shredded.
  public internal(set) var headerAddress: UInt64?
  /// Where the source lies, in order; empty when it lies shredded.
  public internal(set) var source: [ChainBuffer] = []
  public internal(set) var statusAddress: UInt64?
  /// What has to be freed.
  var allocations: [UInt64] = []
  private var alignment = 1
  /// Bytes of the device-writable part, zero-length and repeated descriptors included.
  public var writableByteCount: Int {
    buffers.reduce(0) { $0 + ($1.isWritable ? Int($1.byteCount) : 0) }
  }

  /// The content of buffers, one after the other.
  public static func content(
    of buffers: [ChainBuffer], in memory: GuestRAM
  ) throws(FrontendError) -> [UInt8] {
    var bytes: [UInt8] = []
    for buffer in buffers {
      bytes += try memory.read(buffer.guestAddress, byteCount: Int(buffer.byteCount))
    }
    return bytes
  }

  /// Wipes the answer of the last round, so that it does not pass for the next one's.
  public func wipeAnswer(in memory: GuestRAM) throws(FrontendError) {
    for buffer in destination + result {
      try memory.fill(
        buffer.guestAddress, byteCount: Int(buffer.byteCount), with: Self.untouched)
    }
    if let address = statusAddress { try memory.fill(address, byteCount: 1, with: Self.untouched) }
  }

  /// Puts the source where it was, for a request in place, whose result has been written over it.
  public func writeSource(_ bytes: [UInt8], in memory: GuestRAM) throws(FrontendError) {
    var position = 0
    for segment in source {
      let end = min(position + Int(segment.byteCount), bytes.count)
      try memory.write(bytes[position..<end], at: segment.guestAddress)
      position = end
    }
  }

  /// Names another session in a data request's header, unless that lies shredded.
  public func setSession(_ session: UInt64, in memory: GuestRAM) throws(FrontendError) {
    guard let headerAddress else { return }
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: session >> (8 * $0)) }
    try memory.write(bytes, at: headerAddress + 8)
  }

  /// Frees the guest memory.
  ///
  /// The device must be done with it.
  public func free(in memory: GuestRAM) {
    for address in allocations { memory.free(address) }
  }
}

extension PlacedRequest {
  /// The byte that status and destinations are filled with beforehand, so that untouched memory
  /// shows.
  public static let untouched: UInt8 = 0xA5

  /// Lays a control request out: fixed fields, keys and outcome in descriptors of their own, or all
  /// readable bytes in one descriptor.
  public init(
    _ request: ControlRequest, in memory: GuestRAM, isJoined: Bool = false
  ) throws(FrontendError) {
    do throws(FrontendError) {
      if isJoined {
        try addReadable(request.fixed.bytes + request.keys, in: memory)
      } else {
        try addReadable(request.fixed.bytes, in: memory)
        if !request.keys.isEmpty { try addReadable(request.keys, in: memory) }
      }
      headerAddress = buffers.first?.guestAddress
      if request.writableByteCount > 0 {
        let outcome = try allocate(request.writableByteCount, in: memory)
        try memory.fill(outcome, byteCount: request.writableByteCount, with: Self.untouched)
        add(outcome, request.writableByteCount, isWritable: true)
        result = [buffers[buffers.count - 1]]
      }
    } catch {
      free(in: memory)
      throw error
    }
  }

  /// Lays a data request out as planned.
  ///
  /// - Throws: `request` when the plan does not fit the request; `guestMemory` when there is no
  ///   room.
  public init(
    _ request: DataRequest, plan: RequestPlan, in memory: GuestRAM
  ) throws(FrontendError) {
    alignment = plan.alignment
    do throws(FrontendError) {
      try placeReadable(request, plan, memory)
      try placeWritable(request, plan, memory)
      if plan.hasZeroLengthDescriptors { try insertZeroLengthDescriptors(memory) }
    } catch {
      free(in: memory)
      throw error
    }
  }

  // MARK: The device-readable part

  private mutating func placeReadable(
    _ request: DataRequest, _ plan: RequestPlan, _ memory: GuestRAM
  ) throws(FrontendError) {
    if case .shredded(let seed, let maximum) = plan.front {
      guard !plan.isInPlace else { throw .request("a shredded request cannot be in place") }
      let bytes = request.fields.reduce(request.fixed.bytes) { $0 + $1.bytes }
      try addSegments(bytes, .random(seed: seed, maximum: maximum), memory)
      return
    }
    let sourceIndex =
      request.fields.firstIndex { $0.kind == .source } ?? request.fields.endIndex
    let fieldsBehind = request.fields.suffix(from: min(sourceIndex + 1, request.fields.endIndex))
    guard !plan.source.overlaps || fieldsBehind.isEmpty else {
      throw .request("an overlapping source must be the last readable field")
    }
    let front = request.fields[..<sourceIndex]
    if plan.front == .joined {
      try addReadable(front.reduce(request.fixed.bytes) { $0 + $1.bytes }, in: memory)
    } else {
      try addReadable(request.fixed.bytes, in: memory)
      for field in front { try addReadable(field.bytes, in: memory) }
    }
    headerAddress = buffers.first?.guestAddress
    if sourceIndex < request.fields.endIndex {
      source = try addSegments(request.fields[sourceIndex].bytes, plan.source, memory)
    }
    for field in fieldsBehind { try addReadable(field.bytes, in: memory) }
  }

  /// Writes bytes into segments of their own and appends them; the segments without their
  /// repetitions.
  @discardableResult
  private mutating func addSegments(
    _ bytes: [UInt8], _ segmentation: Segmentation, _ memory: GuestRAM
  ) throws(FrontendError) -> [ChainBuffer] {
    var segments: [ChainBuffer] = []
    var position = 0
    for length in segmentation.lengths(of: bytes.count) {
      let address = try allocate(length, in: memory)
      try memory.write(bytes[position..<position + length], at: address)
      segments.append(
        ChainBuffer(
          guestAddress: address, byteCount: UInt32(truncatingIfNeeded: length), isWritable: false))
      position += length
    }
    buffers += segmentation.overlaps ? Self.overlapping(segments) : segments
    return segments
  }

  /// Each entry followed by all that come after it.
  private static func overlapping(_ segments: [ChainBuffer]) -> [ChainBuffer] {
    segments.indices.flatMap { segments[$0...] }
  }

  // MARK: The device-writable part

  private mutating func placeWritable(
    _ request: DataRequest, _ plan: RequestPlan, _ memory: GuestRAM
  ) throws(FrontendError) {
    guard !plan.destination.overlaps || request.resultByteCount == 0 else {
      throw .request("an overlapping destination must be the last result")
    }
    var fresh = request.destinationByteCount
    if plan.isInPlace {
      for segment in source where fresh > 0 {
        let count = min(fresh, Int(segment.byteCount))
        destination.append(
          ChainBuffer(
            guestAddress: segment.guestAddress, byteCount: UInt32(truncatingIfNeeded: count),
            isWritable: true))
        fresh -= count
      }
    }
    for length in plan.destination.lengths(of: fresh) {
      destination.append(try allocateWritable(length, memory))
    }
    buffers += plan.destination.overlaps ? Self.overlapping(destination) : destination
    if request.resultByteCount > 0 {
      result = [try allocateWritable(request.resultByteCount, memory)]
      buffers += result
    }
    if plan.slackByteCount > 0 { buffers.append(try allocateWritable(plan.slackByteCount, memory)) }
    try placeStatus(plan, memory)
  }

  private mutating func placeStatus(
    _ plan: RequestPlan, _ memory: GuestRAM
  ) throws(FrontendError) {
    switch plan.status {
    case .missing: break
    case .tailOfLastBuffer:
      guard let last = buffers.last, last.isWritable, !plan.isInPlace, !plan.destination.overlaps
      else { fallthrough }
      // The buffer was allocated with one byte to spare.
      buffers[buffers.count - 1].byteCount += 1
      statusAddress = last.guestAddress + UInt64(last.byteCount)
    case .ownDescriptor:
      let status = try allocateWritable(1, memory)
      buffers.append(status)
      statusAddress = status.guestAddress
    }
  }

  private mutating func insertZeroLengthDescriptors(_ memory: GuestRAM) throws(FrontendError) {
    let nowhere = try allocate(1, in: memory)
    buffers = buffers.flatMap { buffer in
      [
        ChainBuffer(guestAddress: nowhere, byteCount: 0, isWritable: buffer.isWritable), buffer,
      ]
    }
    // The status stays in the last writable byte; an empty descriptor behind it must not matter
    // either.
    if let last = buffers.last {
      buffers.append(ChainBuffer(guestAddress: nowhere, byteCount: 0, isWritable: last.isWritable))
    }
  }

  // MARK: Memory

  private mutating func allocate(_ byteCount: Int, in memory: GuestRAM) throws(FrontendError)
    -> UInt64
  {
    let address = try memory.allocate(
      (byteCount + alignment - 1) & ~(alignment - 1), alignment: alignment)
    allocations.append(address)
    return address
  }

  /// A fresh writable buffer, filled, with a spare byte behind it that keeps neighbours apart.
  private mutating func allocateWritable(
    _ byteCount: Int, _ memory: GuestRAM
  ) throws(FrontendError) -> ChainBuffer {
    let address = try allocate(byteCount + 1, in: memory)
    try memory.fill(address, byteCount: byteCount + 1, with: Self.untouched)
    return ChainBuffer(
      guestAddress: address, byteCount: UInt32(truncatingIfNeeded: byteCount), isWritable: true)
  }

  private mutating func addReadable(_ bytes: [UInt8], in memory: GuestRAM) throws(FrontendError) {
    let address = try allocate(bytes.count + 1, in: memory)
    try memory.write(bytes, at: address)
    add(address, bytes.count, isWritable: false)
  }

  private mutating func add(_ address: UInt64, _ byteCount: Int, isWritable: Bool) {
    buffers.append(
      ChainBuffer(
        guestAddress: address, byteCount: UInt32(truncatingIfNeeded: byteCount),
        isWritable: isWritable))
  }
}
