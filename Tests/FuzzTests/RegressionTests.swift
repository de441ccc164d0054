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

  /// A result that is written over its own request's header, and not over what is computed, was taken for one that changes
  /// nothing that the request is read from: nothing was saved, and the next daemon read half a result as the header, and
  /// answered what that says.
  @Test func aResultOverItsOwnHeaderIsNotComputedTwice() throws {
    // REVISION_1, and each request is taken by a daemon that dies and by the next.
    let stage: [UInt8] = [1 | 16]
    // In place, which is over the request's last 64 bytes of 80, and the status behind them.
    let shape: [UInt8] = [4, 0, 57, 65, 0, 80, 0]
    // A stateless HASH of 32 bytes from byte 40 on, as it was found.
    let request: [UInt8] = [
      0x00, 0x01, 0x00, 0x00, 0x0A, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9F, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x01, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
      0x0C, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00,
      0x30, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x29, 0x72, 0xBB, 0x04,
      0x4D, 0x96, 0xDF, 0x28, 0x71, 0xBA, 0x03, 0x4C, 0x95, 0xDE, 0x27, 0x70,
      0xB9, 0x02, 0x4B, 0x94, 0xDD, 0x26, 0x6F, 0xB8,
    ]
    try run(.dataRequests, stage + shape + request)
  }
}
