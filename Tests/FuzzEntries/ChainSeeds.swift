/// Programs of a driver and a device, in the notation of `ChainsEntry`.
enum ChainSeeds {
  /// Puts one program together.
  private struct Program {
    var bytes: [UInt8]
    let isPacked: Bool
    private var chainCount = 0

    /// `size`: of a split ring, its logarithm; of a packed one, one less than it has.
    init(isPacked: Bool, flags: UInt8 = 0, size: UInt8? = nil, base: Int = 0) {
      self.isPacked = isPacked
      bytes = [flags, size ?? (isPacked ? 15 : 4)] + bytes16(base)
    }

    /// A descriptor in the ring's own table; `flags`: 1 NEXT, 2 WRITE, 4 INDIRECT.
    mutating func describe(
      _ index: Int, _ offset: Int, _ byteCount: Int, _ flags: UInt8, next: Int = 0,
      isHigh: Bool = false
    ) {
      // Available in the first round: AVAIL set, USED not.
      let detail: UInt8 = (isHigh ? 1 : 0) | (isPacked ? 4 : 0)
      bytes += [2 | detail << 4, UInt8(index)] + bytes16(offset) + bytes16(byteCount)
      bytes += [flags, UInt8(next), UInt8(index)]
    }

    mutating func write(_ content: [UInt8], at offset: Int, isHigh: Bool = false) {
      var rest = content[...]
      var place = offset
      while !rest.isEmpty {
        let part = rest.prefix(64)
        bytes += [isHigh ? 1 : 0] + bytes16(place) + [UInt8(part.count - 1)] + part
        rest = rest.dropFirst(part.count)
        place += part.count
      }
    }

    /// A descriptor of an indirect table.
    func entry(_ address: UInt64, _ byteCount: Int, _ flags: Int, next: Int) -> [UInt8] {
      let word =
        isPacked
        ? UInt64(byteCount) | UInt64(flags & 2) << 48
        : UInt64(byteCount) | UInt64(flags) << 32 | UInt64(next) << 48
      return bytes64(address) + bytes64(word)
    }

    /// Makes a chain available, where the ring has a list of them.
    mutating func offer(_ head: Int) {
      guard !isPacked else { return }
      write(bytes16(head), at: 0x804 + 2 * chainCount)
      chainCount += 1
      write(bytes16(chainCount), at: 0x802)
    }

    mutating func take() { bytes.append(3) }
    mutating func readAhead() { bytes.append(4) }
    mutating func run(isWritable: Bool, _ count: Int) {
      bytes += [5 | (isWritable ? 0x10 : 0)] + bytes16(count - 1)
    }
    mutating func copy(_ count: Int) { bytes += [6] + bytes16(count) }
    mutating func collect(isWritable: Bool, _ count: Int) {
      bytes += [7 | (isWritable ? 0x10 : 0)] + bytes16(count)
    }
    mutating func remember() { bytes.append(8) }
    mutating func goBack() { bytes.append(9) }
    mutating func end(_ index: Int = 0, written: Int = 1) {
      bytes += [10, 11, UInt8(index)] + bytes16(written) + [12]
    }
    mutating func sleepAndWake() { bytes += [14, 13, 15] }
  }

  static var split: [[UInt8]] { all(isPacked: false) }
  static var packed: [[UInt8]] { all(isPacked: true) }

  private static func all(isPacked: Bool) -> [[UInt8]] {
    let plain = (0..<8).map { usual(isPacked: isPacked, flags: UInt8($0)) }
    return plain + [
      pieces(isPacked: isPacked), table(isPacked: isPacked, count: 3, at: 0, isHigh: true),
      table(isPacked: isPacked, count: 100, at: 0, isHigh: true),
      // Across the border between the first two regions.
      table(isPacked: isPacked, count: 4, at: 0x7EE0, isHigh: false),
      faults(isPacked: isPacked, flags: [1, 1, 1], nexts: [1, 2, 0]),
      faults(isPacked: isPacked, flags: [1, 1, 0], nexts: [1, 99, 0]),
      faults(isPacked: isPacked, flags: [3, 0, 0], nexts: [1, 0, 0]),
      faults(isPacked: isPacked, flags: [5, 4, 4], nexts: [1, 2, 0]),
      faults(isPacked: isPacked, flags: [1, 4, 4], nexts: [1, 2, 0]),
      several(isPacked: isPacked, flags: 7), several(isPacked: isPacked, flags: 0),
    ]
  }

  /// A readable and a writable buffer.
  private static func usual(isPacked: Bool, flags: UInt8) -> [UInt8] {
    var program = Program(isPacked: isPacked, flags: flags)
    program.describe(0, 0x1000, 72, 1, next: 1)
    program.describe(1, 0x1100, 65, 2)
    program.offer(0)
    program.take()
    program.readAhead()
    program.run(isWritable: false, 24)
    program.remember()
    program.run(isWritable: false, 48)
    program.goBack()
    program.copy(48)
    program.run(isWritable: true, 64)
    program.end(written: 65)
    program.sleepAndWake()
    return program.bytes
  }

  /// Empty buffers, buffers across regions, and bytes asked for that do not lie together.
  private static func pieces(isPacked: Bool) -> [UInt8] {
    var program = Program(isPacked: isPacked, flags: 1)
    let buffers: [(Int, Int, UInt8)] = [
      (0x1000, 10, 1), (0x1000, 0, 1), (0x7EF0, 40, 1), (0x1100, 20, 3), (0x7EE8, 100, 3),
      (0x1200, 0, 3), (0x1300, 1, 2),
    ]
    for (index, buffer) in buffers.enumerated() {
      program.describe(index, buffer.0, buffer.1, buffer.2, next: index + 1)
    }
    program.offer(0)
    program.take()
    program.readAhead()
    program.copy(5)
    program.collect(isWritable: false, 40)
    program.run(isWritable: true, 30)
    program.collect(isWritable: true, 110)
    program.end(written: 121)
    return program.bytes
  }

  /// An indirect table, whose buffers are copied and collected; the last is writable.
  private static func table(isPacked: Bool, count: Int, at offset: Int, isHigh: Bool) -> [UInt8] {
    var program = Program(isPacked: isPacked)
    var content: [UInt8] = []
    for index in 0..<count {
      let isLast = index == count - 1
      content += program.entry(
        ScriptedMemory.start + 0x1000 + UInt64(index) * 8, 8, isLast ? 2 : 1, next: index + 1)
    }
    program.write(content, at: offset, isHigh: isHigh)
    program.describe(0, offset, content.count, 4, isHigh: isHigh)
    program.offer(0)
    program.take()
    program.readAhead()
    program.copy(12)
    program.collect(isWritable: false, count * 8)
    program.collect(isWritable: true, 4)
    program.end(written: 4)
    return program.bytes
  }

  /// Three descriptors with these flags.
  private static func faults(isPacked: Bool, flags: [UInt8], nexts: [Int]) -> [UInt8] {
    var program = Program(isPacked: isPacked)
    for index in 0..<3 {
      program.describe(index, 0x1000 + index * 0x100, 32, flags[index], next: nexts[index])
    }
    program.offer(0)
    program.take()
    program.readAhead()
    program.end()
    return program.bytes
  }

  /// Chains that come back in another order, and one for which there is no place.
  private static func several(isPacked: Bool, flags: UInt8) -> [UInt8] {
    var program = Program(isPacked: isPacked, flags: flags, size: isPacked ? 2 : 2)
    for index in 0..<3 { program.describe(index, 0x1000 + index * 0x100, 16, 2) }
    for index in 0..<3 { program.offer(index) }
    program.take()
    program.take()
    program.take()
    program.bytes.append(10)
    program.end(2, written: 16)
    program.end(0, written: 3)
    program.end(0, written: 16)
    program.take()
    return program.bytes
  }
}
