import GuestMemory
import Testing
import VirtQueue

/// What is checked when a queue starts.
@Suite struct QueueLayoutTests {
  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 4096)

  /// The error of a layout whose parts are shortened or moved by some bytes; nil when it is good.
  private func refusal(
    size: Int, short: (Int, Int, Int) = (0, 0, 0), moved: (Int, Int, Int) = (0, 0, 0)
  ) throws -> LayoutError? {
    let base = try #require(memory.baseAddress).assumingMemoryBound(to: UInt8.self)
    let sane = min(max(size, 1), 32768)
    func part(_ offset: Int, _ byteCount: Int) -> GuestSlice {
      GuestSlice(pointer: base + offset, byteCount: byteCount)
    }
    do throws(LayoutError) {
      _ = try SplitQueueLayout(
        size: size, descriptorTable: part(moved.0, 16 * sane - short.0),
        availableRing: part(0x10_0000 + moved.1, 6 + 2 * sane - short.1),
        usedRing: part(0x18_0000 + moved.2, 6 + 8 * sane - short.2))
      return nil
    } catch { return error }
  }

  @Test(arguments: [1, 2, 256, 1024, 32768])
  func powersOfTwoAreGood(size: Int) throws {
    defer { memory.deallocate() }
    #expect(try refusal(size: size) == nil)
  }

  @Test(arguments: [0, -1, 3, 1000, 32767, 65536, Int.min, Int.max])
  func otherSizesAreRefused(size: Int) throws {
    defer { memory.deallocate() }
    #expect(try refusal(size: size) == .size(size))
  }

  @Test func eachPartMustBeLongEnough() throws {
    defer { memory.deallocate() }
    #expect(try refusal(size: 256, short: (1, 0, 0)) == .tooShort)
    #expect(try refusal(size: 256, short: (0, 1, 0)) == .tooShort)
    #expect(try refusal(size: 256, short: (0, 0, 1)) == .tooShort)
  }

  @Test func eachPartMustBeAligned() throws {
    defer { memory.deallocate() }
    #expect(try refusal(size: 256, moved: (8, 0, 0)) == .misaligned)
    #expect(try refusal(size: 256, moved: (0, 1, 0)) == .misaligned)
    #expect(try refusal(size: 256, moved: (0, 0, 2)) == .misaligned)
    #expect(try refusal(size: 256, moved: (16, 2, 4)) == nil)
  }
}
