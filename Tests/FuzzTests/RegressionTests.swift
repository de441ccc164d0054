import FuzzEntries
import Testing

/// What fuzzing found, each with its input, made short.
@Suite("Finds", .serialized)
struct RegressionTests {
  private func run(_ target: FuzzTarget, _ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    try target.entry().run(&input)
  }

  /// A chain that was started in the place of another one went on where that had ended, in buffers that were never read,
  /// unless `readAhead` was called first, as workers do.
  @Test func aChainThatTakesTheOthersPlaceStartsAtItsBeginning() throws {
    let ring: [UInt8] = [0, 4, 0, 0]
    // Two writable descriptors, of 16 bytes and of 4, both made available.
    let first: [UInt8] = [2, 0, 0x00, 0x10, 16, 0, 2, 0, 0]
    let second: [UInt8] = [2, 1, 0x00, 0x11, 4, 0, 2, 0, 0]
    let heads: [UInt8] = [0, 0x04, 0x08, 3, 0, 0, 1, 0]
    let index: [UInt8] = [0, 0x02, 0x08, 1, 2, 0]
    // Take one, read ahead, 8 bytes of it; take the other, and collect its 4.
    let device: [UInt8] = [3, 4, 0x15, 7, 0, 3, 0x17, 4, 0]
    try run(.splitChains, ring + first + second + heads + index + device)
  }
}
