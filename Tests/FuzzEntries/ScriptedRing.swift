import GuestMemory
import VirtQueue

/// A driver that has one well-formed chain in its split ring, in the shape that an input asks for.
struct ScriptedRing {
  private static let size = 64
  private static let tableAddress = ScriptedMemory.start
  private static let availableAddress = ScriptedMemory.start + 0x800
  private static let usedAddress = ScriptedMemory.start + 0xA00
  private static let indirectAddress = ScriptedMemory.high
  /// Where buffers begin: inside the first region, or so that they cross into the second.
  private static let buffersAddress = ScriptedMemory.start + 0x1000
  private static let crossingAddress = ScriptedMemory.border - 0x60
  /// What writable memory holds until the device writes it.
  static let untouched: UInt8 = 0xA5
  /// The most bytes of a request.
  static let mostByteCount = 0x4000

  /// How a request lies in memory.
  struct Shape {
    var isCrossing = false
    var isIndirect = false
    /// The writable part begins where the readable one does.
    var isInPlace = false
    var readableCuts = 1
    var writableCuts = 1

    init(_ flags: UInt8, cuts: UInt8) {
      isCrossing = flags & 1 != 0
      isIndirect = flags & 2 != 0
      isInPlace = flags & 4 != 0
      readableCuts = 1 + Int(cuts & 15)
      writableCuts = 1 + Int(cuts >> 4)
    }
  }

  private struct Segment {
    var address: UInt64
    var byteCount: Int
  }

  private let memory: ScriptedMemory
  private var posted: UInt16 = 0
  private var readable: [Segment] = []
  private var writable: [Segment] = []

  init(_ memory: ScriptedMemory) { self.memory = memory }

  /// The device's end; the ring is where it was left.
  ///
  /// - `record`: where requests in flight are recorded, with `recordByteCount` bytes; nil: nowhere.
  func deviceEnd(record: GuestSlice? = nil) throws -> SplitQueue {
    let layout = try SplitQueueLayout(
      size: Self.size, descriptorTable: memory.slice(Self.tableAddress, 16 * Self.size),
      availableRing: memory.slice(Self.availableAddress, 6 + 2 * Self.size),
      usedRing: memory.slice(Self.usedAddress, 6 + 8 * Self.size))
    guard let record else {
      return try SplitQueue(layout: layout, eventIndex: false, nextAvailable: posted)
    }
    return try SplitQueue(
      layout: layout, eventIndex: false, nextAvailable: posted,
      recorder: SplitRecorder(
        InflightRecord(slice: record, capacity: UInt16(Self.size)), layout: layout))
  }
  static let recordByteCount = 16 * (size + 1)

  /// Puts a request into memory and its chain into the ring.
  mutating func post(_ request: [UInt8], writableByteCount: Int, _ shape: Shape) {
    let isShort = request.count + writableByteCount <= 0x1800
    var next = shape.isCrossing && isShort ? Self.crossingAddress : Self.buffersAddress
    readable = Self.cut(request.count, shape.readableCuts, from: &next)
    var rest = request[...]
    for segment in readable {
      memory.write(Array(rest.prefix(segment.byteCount)), at: segment.address)
      rest = rest.dropFirst(segment.byteCount)
    }
    // In place: over the request's own last bytes, with the status behind them.
    if shape.isInPlace, let last = readable.last {
      next = last.address + UInt64(max(0, last.byteCount - max(0, writableByteCount - 1)))
    }
    writable = Self.cut(writableByteCount, shape.writableCuts, from: &next)
    if !shape.isInPlace {
      for segment in writable {
        memory.fill(segment.byteCount, at: segment.address, with: Self.untouched)
      }
    }
    describe(isIndirect: shape.isIndirect)
    posted &+= 1
    memory.write16(0, at: Self.availableAddress + 4 + UInt64(posted &- 1) % UInt64(Self.size) * 2)
    memory.write16(posted, at: Self.availableAddress + 2)
  }

  /// Segments of about one length with gaps between, so that they do not grow together; a gap of nothing now and then.
  private static func cut(
    _ byteCount: Int, _ count: Int, from next: inout UInt64
  ) -> [Segment] {
    guard byteCount > 0 else { return [] }
    let count = min(count, byteCount)
    return (0..<count).map { index in
      let length = byteCount * (index + 1) / count - byteCount * index / count
      defer { next += UInt64(length) + (index % 3 == 2 ? 0 : 16) }
      return Segment(address: next, byteCount: length)
    }
  }

  private func describe(isIndirect: Bool) {
    let all = readable.map { ($0, UInt16(0)) } + writable.map { ($0, UInt16(2)) }
    let table = isIndirect ? Self.indirectAddress : Self.tableAddress
    for (index, (segment, flag)) in all.enumerated() {
      let goesOn: UInt16 = index + 1 < all.count ? 1 : 0
      put(
        segment.address, segment.byteCount, flag | goesOn, next: UInt16(index + 1),
        at: table + UInt64(index) * 16)
    }
    if isIndirect { put(table, all.count * 16, 4, next: 0, at: Self.tableAddress) }
    if all.isEmpty { put(Self.buffersAddress, 0, 0, next: 0, at: Self.tableAddress) }
  }

  private func put(
    _ address: UInt64, _ byteCount: Int, _ flags: UInt16, next: UInt16, at place: UInt64
  ) {
    memory.write64(address, at: place)
    memory.write64(
      UInt64(UInt32(byteCount)) | UInt64(flags) << 32 | UInt64(next) << 48, at: place + 8)
  }

  /// Bytes that the device says it wrote for the request that was posted last; nil if it is not back.
  func usedByteCount() -> UInt32? {
    let index = UInt16(truncatingIfNeeded: memory.read32(at: Self.usedAddress) >> 16)
    guard index == posted else { return nil }
    let slot = UInt64(posted &- 1) % UInt64(Self.size)
    return memory.read32(at: Self.usedAddress + 4 + slot * 8 + 4)
  }

  /// The writable part.
  var answer: [UInt8] { writable.flatMap { memory.read($0.byteCount, at: $0.address) } }

  /// Whether bytes of an answer are as they were before.
  static func isUntouched(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.elementsEqual(Self.untouchedBytes.prefix(bytes.count))
  }
  private static let untouchedBytes = [UInt8](repeating: untouched, count: mostByteCount)

  /// Whether the writable part shares bytes with the readable one.
  var isOverItself: Bool {
    writable.contains { one in
      readable.contains {
        one.byteCount > 0 && $0.byteCount > 0 && one.address < $0.address + UInt64($0.byteCount)
          && $0.address < one.address + UInt64(one.byteCount)
      }
    }
  }

  /// The readable part, which a device leaves as it is.
  var request: [UInt8] { readable.flatMap { memory.read($0.byteCount, at: $0.address) } }
}
