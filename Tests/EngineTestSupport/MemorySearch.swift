import Foundation
import TestSupport

/// Looks for secrets in the writable memory of this process.
public enum MemorySearch {
  /// How often the bytes stand in memory whose complement is given.
  ///
  /// The complement is given so that the question does
  /// not put the bytes into memory itself.
  public static func occurrences(ofComplement flipped: [UInt8]) throws -> Int {
    let chunkByteCount = 4 << 20
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: chunkByteCount, alignment: 4096)
    defer {
      // The next search must not find what this one copied.
      memset(buffer, 0, chunkByteCount)
      buffer.deallocate()
    }
    let own = UInt(bitPattern: buffer)..<UInt(bitPattern: buffer) + UInt(chunkByteCount)
    // Other threads unmap memory at any time: read() then fails where a load would trap.
    let memory = open("/proc/self/mem", O_RDONLY)
    guard memory >= 0 else { throw POSIXError(.EACCES) }
    defer { close(memory) }
    var count = 0
    var searched: UInt = 0
    for line in DaemonProcess.text("/proc/self/maps").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 2, fields[1].hasPrefix("rw"), fields[1].hasSuffix("p") else { continue }
      let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      guard ends.count == 2, ends[1] - ends[0] <= ProcessMemory.mostBytesOfMapping else { continue }
      var start = ends[0]
      while start < ends[1] {
        let byteCount = min(UInt(chunkByteCount), ends[1] - start)
        let got = pread(memory, buffer, Int(byteCount), Int(start))
        searched += UInt(max(0, got))
        if got > flipped.count {
          count += occurrences(
            ofComplement: flipped, in: buffer, got, from: start, except: own)
        }
        if byteCount < chunkByteCount { break }
        start += byteCount - UInt(flipped.count - 1)
      }
    }
    // A search that sees nothing proves nothing.
    guard searched > 1 << 20 else { throw TestSupportError("memory could not be read") }
    return count
  }

  private static func occurrences(
    ofComplement flipped: [UInt8], in buffer: UnsafeMutableRawPointer, _ byteCount: Int,
    from address: UInt, except own: Range<UInt>
  ) -> Int {
    var count = 0
    var next = buffer
    let end = buffer + (byteCount - flipped.count)
    while next <= end, let hit = memchr(next, Int32(~flipped[0]), end - next + 1) {
      let bytes = hit.assumingMemoryBound(to: UInt8.self)
      let place = address + UInt(hit - buffer)
      if flipped.indices.allSatisfy({ bytes[$0] == ~flipped[$0] }) && !own.contains(place) {
        count += 1
      }
      next = hit + 1
    }
    return count
  }
}
