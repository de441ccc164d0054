import Foundation
import LinuxSystem
import Testing

@Suite struct SecretPoolTests {
  private let pool = SecretPool()

  private func take(_ byteCount: Int, marked mark: UInt8) throws -> UnsafeMutableRawPointer {
    let block = try #require(pool.take(byteCount))
    memset(block, Int32(mark), byteCount)
    return block
  }

  private func holds(_ block: UnsafeMutableRawPointer, _ byteCount: Int, _ mark: UInt8) -> Bool {
    UnsafeRawBufferPointer(start: block, count: byteCount).allSatisfy { $0 == mark }
  }

  /// What the kernel says of this process, in KiB.
  private func mapped() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    return try #require(text.split(separator: " ").first.flatMap { Int($0) }) * 4
  }

  /// Around the borders of sizes, beyond the largest, and several chunks of each.
  @Test func blocksDoNotOverlap() throws {
    let sizes = [0, 1, 63, 64, 65, 128, 1023, 1024, 1025, 2048, 2049, 16384, 16385, 300_000]
    var blocks: [(block: UnsafeMutableRawPointer, byteCount: Int, mark: UInt8)] = []
    for round in 0..<300 {
      for (index, byteCount) in sizes.enumerated() where byteCount <= 16385 || round < 3 {
        let mark = UInt8(truncatingIfNeeded: 7 * round + index + 1)
        let block = try take(byteCount, marked: mark)
        #expect(UInt(bitPattern: block) % 64 == 0)
        blocks.append((block, byteCount, mark))
      }
    }
    #expect(blocks.allSatisfy { holds($0.block, $0.byteCount, $0.mark) })
    // Every second one goes, and others take its place.
    for index in blocks.indices where index % 2 == 0 {
      pool.give(blocks[index].block, byteCount: blocks[index].byteCount)
    }
    for index in blocks.indices where index % 2 == 0 {
      blocks[index].mark ^= 0xFF
      blocks[index].block = try take(blocks[index].byteCount, marked: blocks[index].mark)
    }
    #expect(blocks.allSatisfy { holds($0.block, $0.byteCount, $0.mark) })
    for block in blocks { pool.give(block.block, byteCount: block.byteCount) }
  }

  @Test func memoryGoesBack() throws {
    // 64 MiB of address space, the kernel's own way to see it.
    let before = try mapped()
    let blocks = try (0..<100_000).map { _ in try take(320, marked: 1) }
    #expect(try mapped() - before > 32 << 10)
    for block in blocks.shuffled() { pool.give(block, byteCount: 320) }
    #expect(try mapped() - before < 16 << 10)
  }
}
