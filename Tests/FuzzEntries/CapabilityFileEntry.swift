import Capabilities
import CryptoTypes
import Glibc
import LinuxSystem

/// Text of a capability file: what is refused is refused in one line that names the file, and what is taken reads the same
/// when it is written and read again.
final class CapabilityFileEntry: FuzzEntry {
  private static let fileName = "capabilities.yaml"
  private static let engines = [
    EngineDescription(name: "openssl", algorithms: Set(CryptoAlgorithm.allCases)),
    EngineDescription(
      name: "kernel", algorithms: Set(CryptoAlgorithm.symmetric), hasDrivers: true,
      isAsynchronous: true),
    EngineDescription(
      name: "ipsec-mb", algorithms: Set(CryptoAlgorithm.symmetric), absence: "not in this build"),
  ]

  func run(_ input: inout FuzzInput) throws {
    let bytes = input.rest()
    guard let text = String(validating: bytes, as: UTF8.self) else { return try readFile(bytes) }
    do {
      let configuration = try read(text)
      for warning in configuration.warnings { try check("\(warning)") }
      let written = configuration.renderYAML()
      let again: Configuration
      do {
        again = try read(written)
      } catch {
        throw Finding("what was written is not read again: \(error)\n\(written)")
      }
      try require(again.renderYAML() == written, "read again, this is another file:\n\(written)")
    } catch let error as ConfigurationError {
      try check("\(error)")
    }
  }

  /// What is no text is refused when the file is read.
  private func readFile(_ bytes: [UInt8]) throws {
    let file = try MemoryFile.make(name: "fuzz-capabilities", byteCount: 0)
    guard pwrite(file.rawValue, bytes, bytes.count, 0) == bytes.count else {
      throw Finding("no capability file, errno \(errno)")
    }
    let path = "/proc/self/fd/\(file.rawValue)"
    do {
      _ = try Configuration.load(path: path, engines: Self.engines)
      throw Finding("a file that is no text is taken")
    } catch let error as ConfigurationError {
      try require("\(error)".hasPrefix(path + ":"), "a message that does not name the file")
    }
  }

  private func read(_ text: String) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(text: text, fileName: Self.fileName, engines: Self.engines)
  }

  private func check(_ line: String) throws {
    try require(
      line.hasPrefix(Self.fileName + ":"), "a message that does not name the file: \(line)")
    try require(
      line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F },
      "a message of more than one line, or with control characters: \(line.debugDescription)")
  }
}
