import Capabilities
import Foundation
import Testing

/// What can be wrong on the way to the file.
@Suite struct LoadingTests {
  private let folder = FileManager.default.temporaryDirectory.appending(
    path: "capabilities-\(UInt64.random(in: 0...UInt64.max))")

  private func message(path: String) -> String {
    do {
      _ = try Configuration.load(path: path, engines: KnownEngines.all)
      return "read"
    } catch {
      return "\(error)"
    }
  }

  private func file(_ bytes: [UInt8]) throws -> String {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let url = folder.appending(path: "f.yaml")
    try Data(bytes).write(to: url)
    return url.path
  }

  @Test func missingFileIsNamed() {
    #expect(
      message(path: "/nonexistent/f.yaml")
        == "/nonexistent/f.yaml: cannot be read: No such file or directory; "
        + "name a readable capability file")
  }

  @Test func directoryIsNamed() {
    #expect(
      message(path: "/etc")
        == "/etc: cannot be read: Is a directory; name a readable capability file")
  }

  @Test func unreadableFileIsNamed() {
    // Root may read every file; a process's own memory at address 0 may be read by nobody.
    #expect(
      message(path: "/proc/self/mem")
        == "/proc/self/mem: cannot be read: Input/output error; name a readable capability file")
  }

  @Test func emptyFileIsExplained() throws {
    let path = try file([])
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(
      message(path: path)
        == "\(path):1:1: the file is empty; start with the line \"version: 1\"")
  }

  @Test func endlessFileIsBounded() {
    #expect(
      message(path: "/dev/zero")
        == "/dev/zero: the file is longer than 1MiB; name a capability file")
  }

  @Test func otherEncodingIsPlaced() throws {
    let path = try file(Array("version: 1\n# caf".utf8) + [0xe9, 0x0a])
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(message(path: path) == "\(path):2:6: this is not UTF-8 text; save the file as UTF-8")
  }

  @Test func controlCharacterIsPlaced() throws {
    let path = try file(Array("version: 1\n# a\u{1}b\n".utf8))
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(
      message(path: path)
        == "\(path):2:4: this is not YAML: control characters are not allowed; "
        + "remove the character")
  }
}
