import Foundation
import LinuxSystem
import Testing

@Suite struct MappedMemoryTests {
  /// `nh` of `VmFlags`: no huge pages, which would take two mebibytes for the first byte where the system has them for
  /// everybody.
  @Test(
    .enabled(
      if: FileManager.default.fileExists(atPath: "/sys/kernel/mm/transparent_hugepage"),
      "this kernel has no transparent huge pages"))
  func whatIsReservedTakesSmallPages() throws {
    let memory = try MappedMemory(reserving: 8 << 20)
    let address = UInt64(UInt(bitPattern: memory.base))
    var isInside = false
    var flags: [Substring]?
    // Longer than what the kernel gives at once.
    let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
    let text = try #require(try file.readToEnd())
    for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      let ends = words[0].split(separator: "-").map { UInt64($0, radix: 16) }
      if ends.count == 2, let start = ends[0], let end = ends[1] {
        isInside = (start..<end).contains(address)
      } else if isInside, words[0] == "VmFlags:" {
        flags = Array(words.dropFirst())
      }
    }
    #expect(try #require(flags).contains("nh"))
    withExtendedLifetime(memory) {}
  }
}
