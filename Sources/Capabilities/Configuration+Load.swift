public import CryptoTypes
import Glibc
internal import Yams

extension Configuration {
  /// The longest capability file that is read, in bytes.
  ///
  /// Bounds what a wrong path (a log, a device) can cost.
  public static let maximumFileByteCount = 1 << 20

  /// Reads a capability file, from a regular file or a pipe.
  ///
  /// - Parameters:
  ///   - path: the file's.
  ///   - engines: what the file can name.
  /// - Returns: what the file asks for, on top of the defaults.
  /// - Throws: the first mistake, be it in the file's content or in the way to it.
  public static func load(
    path: String, engines: [EngineDescription]
  ) throws(ConfigurationError) -> Configuration {
    let bytes = try readFile(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ConfigurationError(
        position: firstInvalidByte(of: bytes, fileName: path), what: "this is not UTF-8 text",
        remedy: "save the file as UTF-8")
    }
    return try parse(text: text, fileName: path, engines: engines)
  }

  /// Reads the text of a capability file; `fileName` is for messages.
  public static func parse(
    text: String, fileName: String, engines: [EngineDescription]
  ) throws(ConfigurationError) -> Configuration {
    guard text.utf8.count <= maximumFileByteCount else { throw tooLong(fileName) }
    guard let root = try compose(text, fileName: fileName) else {
      throw ConfigurationError(
        position: SourcePosition(fileName: fileName, line: 1, column: 1),
        what: "the file is empty", remedy: "start with the line \"version: 1\"")
    }
    return try ConfigurationReader.read(
      Field(path: "", node: root, fileName: fileName), engines: engines)
  }

  private static func compose(
    _ text: String, fileName: String
  ) throws(ConfigurationError) -> Node? {
    do {
      return try Yams.compose(yaml: text, .basic, .default, .utf8)
    } catch let error as YamlError {
      throw ConfigurationError(error, text: text, fileName: fileName)
    } catch {
      throw ConfigurationError(
        position: SourcePosition(fileName: fileName), what: "the file cannot be read as YAML",
        remedy: "compare it with config/default.yaml")
    }
  }

  // MARK: - The file itself

  private static func readFile(_ path: String) throws(ConfigurationError) -> [UInt8] {
    func failure(_ code: Int32) -> ConfigurationError {
      // SAFETY: strerror's text is copied at once.
      let reason = unsafe String(cString: strerror(code))
      return ConfigurationError(
        position: SourcePosition(fileName: path), what: "cannot be read: \(reason)",
        remedy: "name a readable capability file")
    }
    // SAFETY: the call copies the path, which Swift lends it with a final zero.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(errno) }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: maximumFileByteCount + 1)
    var count = 0
    while count < bytes.count {
      // SAFETY: 0 ≤ count < buffer.count, so the range is within the buffer.
      let received = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
      }
      if received == 0 { break }
      if received > 0 {
        count += received
      } else if errno != EINTR {
        throw failure(errno)
      }
    }
    guard count <= maximumFileByteCount else { throw tooLong(path) }
    return Array(bytes.prefix(count))
  }

  private static func tooLong(_ fileName: String) -> ConfigurationError {
    ConfigurationError(
      position: SourcePosition(fileName: fileName), what: "the file is longer than 1MiB",
      remedy: "name a capability file")
  }

  private static func firstInvalidByte(of bytes: [UInt8], fileName: String) -> SourcePosition {
    var position = (line: 1, column: 1)
    var iterator = bytes.makeIterator()
    var decoder = UTF8()
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
      position = scalar == "\n" ? (position.line + 1, 1) : (position.line, position.column + 1)
    }
    return SourcePosition(fileName: fileName, line: position.line, column: position.column)
  }
}
