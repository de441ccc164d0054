import GuestMemory
import VirtQueue

extension DriverQueue {
  /// What one chain holds, read to its end the way a request is read.
  struct Reading: Equatable {
    var readable: [UInt8] = []
    /// Host addresses and sizes of the writable runs.
    var writableRuns: [Run] = []
    var lastWritable: UInt?
    var writableByteCount: UInt64 = 0
    var readWasComplete = false
    var writeWasComplete = false
  }

  struct Run: Equatable {
    var address: UInt
    var byteCount: Int
  }

  func read(
    _ queue: DeviceQueue, readable: Int, writable: Int
  ) throws -> Reading { try Self.read(queue, readable: readable, writable: writable) }

  /// Takes the next chain of a queue, reads `readable` bytes, collects `writable`, and walks to the end.
  static func read<Ring: VirtQueueRing & ~Copyable>(
    _ queue: RingUnderTest<Ring>, readable: Int, writable: Int
  ) throws -> Reading {
    var list = try SpanList()
    var reading = Reading()
    _ = try queue.look()
    var chain = try queue.takeChain()
    reading.readWasComplete = try chain.collectReadable(
      byteCount: readable, into: &list, &queue.memory)
    for index in 0..<list.count {
      let run = list.slice(index)
      reading.readable += UnsafeBufferPointer(start: run.pointer, count: run.byteCount)
    }
    list.removeAll()
    reading.writeWasComplete = try chain.collectWritable(
      byteCount: writable, into: &list, &queue.memory)
    reading.writableRuns = (0..<list.count).map {
      let run = list.slice($0)
      return Run(address: UInt(bitPattern: run.pointer), byteCount: run.byteCount)
    }
    reading.lastWritable = try chain.lastWritableByte(&queue.memory).map { UInt(bitPattern: $0) }
    reading.writableByteCount = chain.writableByteCount
    return reading
  }

  /// The error that stops a new queue when it reads its next chain; nil when it is a good one.
  func refusal(readable: Int = 64, writable: Int = 64) throws -> QueueError? {
    let queue = try makeQueueFromStart()
    do {
      _ = try read(queue, readable: readable, writable: writable)
      return nil
    } catch let error as QueueError {
      return error
    }
  }

  /// The host address of a guest byte.
  func host(_ address: UInt64) throws -> UInt { UInt(bitPattern: try guest.pointer(address)) }
}

/// A generator whose sequence a printed seed replays (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
