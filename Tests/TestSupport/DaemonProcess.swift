import Foundation
import Synchronization
import VhostUserFrontend

/// The built daemon, running in a temporary directory of its own until `terminate` or the last
/// reference goes.
public final class DaemonProcess: Sendable {
  private let threadTimes = Mutex<[String: UInt64]>([:])
  public typealias Exit = ChildProcess.Exit

  /// The directory that holds the executables: what `VHOST_CRYPTO_BIN` names (the release build, in `make test`), else
  /// the test bundle's own.
  ///
  /// The test runner is `….xctest` in that directory, or (Swift Testing alone) an executable beside
  /// it.
  public static let buildDirectory: String = {
    if let named = ProcessInfo.processInfo.environment["VHOST_CRYPTO_BIN"] { return named }
    let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    let candidates = [CommandLine.arguments.first, runner].compactMap { $0 }
    let arguments = CommandLine.arguments.filter { $0.contains(".xctest") }
    for path in arguments + candidates {
      let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
      let daemon = directory + "/vhost-user-crypto"
      if FileManager.default.isExecutableFile(atPath: daemon) { return directory }
    }
    return candidates.first.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path } ?? "."
  }()

  /// Whom every daemon of the tests becomes (`VHOST_CRYPTO_TEST_USER`); nil: it stays who it is.
  public static let user = ProcessInfo.processInfo.environment["VHOST_CRYPTO_TEST_USER"]

  /// The same as an argument of daemons that tests start by hand.
  public static let rights = user.map { ["--user=\($0)"] } ?? []

  /// What programs find in their environment: what we do, and a place of our own for measured speeds, which leaves the
  /// host's alone and spares all but the first of them the measuring.
  public static let inheritedEnvironment: [String: String] = {
    var template = Array("/tmp/vhost-crypto-cache-XXXXXX".utf8CString)
    var variables = ProcessInfo.processInfo.environment
    // Guests race on purpose, daemons must not: what the sanitizer is to do with a race is not the same for both.
    if let options = variables["VHOST_CRYPTO_TEST_TSAN_OPTIONS"] {
      variables["TSAN_OPTIONS"] = options
    }
    if variables["CACHE_DIRECTORY"] == nil, mkdtemp(&template) != nil {
      let path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } }
      variables["CACHE_DIRECTORY"] = path
      atexit { DaemonProcess.removeCache() }
    }
    return variables
  }()

  private static func removeCache() {
    guard let path = inheritedEnvironment["CACHE_DIRECTORY"] else { return }
    try? FileManager.default.removeItem(atPath: path)
  }

  /// The path of a built executable, such as `vhost-crypto`.
  public static func executable(_ name: String) throws -> String {
    let path = buildDirectory + "/" + name
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw TestSupportError("no executable \(path): run `swift build` first")
    }
    return path
  }

  /// A file of the tests' own that was built with them, wherever the daemon is from.
  public static func besideTests(_ name: String) throws -> String {
    let runner = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let bundles = CommandLine.arguments.filter { $0.contains(".xctest") } + [runner ?? ""]
    for bundle in bundles {
      // The bundle may be a folder with the program in it.
      var folder = URL(fileURLWithPath: bundle)
      for _ in 0..<4 {
        folder.deleteLastPathComponent()
        let path = folder.appendingPathComponent(name).path
        if FileManager.default.fileExists(atPath: path) { return path }
      }
    }
    throw TestSupportError("no \(name) beside \(bundles): swift build --build-tests")
  }

  public let directory: TemporaryDirectory
  public let socketPath: String
  public let process: ChildProcess
  /// Where it serves statistics, if it was asked to.
  public var statsPath: String { directory.file("stats.sock") }
  /// Where limits can be set, if it was asked for that.
  public var controlPath: String { directory.file("control.sock") }
  public var pid: Int32 { process.pid }
  private let standardOutputPath: String
  private let standardErrorPath: String

  /// Starts the daemon and waits until its socket accepts connections.
  ///
  /// `arguments`: beyond `--socket-path`.
  /// `configuration`: text of a capability file, if any.
  /// `waitsForSocket`: false for a daemon that is expected to refuse to start.
  /// `servesStatistics`: at `statsPath`; `servesControl`: at `controlPath`, and statistics, too.
  public init(
    arguments: [String] = [], configuration: String? = nil, environment: [String: String] = [:],
    waitsForSocket: Bool = true, servesStatistics: Bool = false,
    servesControl: Bool = false, program: String = "vhost-user-crypto"
  ) throws {
    directory = try TemporaryDirectory()
    socketPath = directory.file("vhost.sock")
    if let user = arguments.first(where: { $0.hasPrefix("--user=") }) {
      try directory.give(to: String(user.dropFirst(7).prefix { $0 != ":" }))
    }
    standardOutputPath = directory.file("stdout")
    standardErrorPath = directory.file("stderr")
    var all = ["--socket-path=\(socketPath)"]
    if let configuration {
      all.append("--config=\(try directory.write(configuration, to: "capabilities.yaml"))")
    }
    if !arguments.contains(where: { $0.hasPrefix("--user") }) { all += Self.rights }
    if servesStatistics { all.append("--stats-socket=\(directory.file("stats.sock"))") }
    if servesControl { all.append("--control-socket=\(directory.file("control.sock"))") }
    let variables = Self.inheritedEnvironment.merging(environment) { $1 }
    process = try ChildProcess(
      program: try Self.executable(program), arguments: all + arguments,
      environment: variables.map { "\($0.key)=\($0.value)" },
      standardOutputPath: standardOutputPath, standardErrorPath: standardErrorPath)
    if waitsForSocket { try waitForSocket() }
    if waitsForSocket && servesStatistics {
      try waitUntil("the statistics' socket", milliseconds: 10000) {
        guard isRunning else {
          throw TestSupportError("the daemon ended at start: \(standardError)")
        }
        let paths = Self.listeningPaths()
        return paths.contains(statsPath) && (!servesControl || paths.contains(controlPath))
      }
    }
  }

  private func waitForSocket() throws {
    // It listens as soon as the path exists with a listening socket; a connection would count as a
    // front-end.
    try waitUntil("the daemon's socket", milliseconds: 30000) {
      guard isRunning else {
        throw TestSupportError("the daemon ended at start: \(standardError)")
      }
      return Self.listeningPaths().contains(socketPath)
    }
  }

  /// Paths of listening Unix sockets: in `/proc/net/unix`, those whose flags say `__SO_ACCEPTCON`.
  private static func listeningPaths() -> Set<String> {
    // By bytes, and by read(2) to the end: the file has no size, and other processes' names may be anything.
    var table: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    let file = open("/proc/net/unix", O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    while case let count = read(file, &buffer, buffer.count), count > 0 {
      table += buffer.prefix(count)
    }
    let paths = table.split(separator: 0x0A).compactMap { line -> String? in
      let columns = line.split(separator: 0x20)
      guard columns.count >= 8, columns[3].elementsEqual("00010000".utf8) else { return nil }
      return String(decoding: columns[7], as: UTF8.self)
    }
    return Set(paths)
  }

  public var isRunning: Bool { process.isRunning }

  /// What it wrote so far.
  public var standardOutput: String { Self.text(standardOutputPath) }
  public var standardError: String { Self.text(standardErrorPath) }

  /// What a file holds; empty where there is none.
  ///
  /// Read to its end by hand: Foundation's whole-file reads give nothing for some of the longer
  /// files of `/proc`, whose size says 0.
  public static func text(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(file, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Sends a signal to this process alone.
  public func send(signal: Int32) { process.send(signal: signal) }

  /// Sends SIGTERM and waits for the end; SIGKILL and an error when that takes too long.
  @discardableResult
  public func terminate(milliseconds: Int = 10000) throws -> Exit {
    send(signal: SIGTERM)
    return try waitForExit(milliseconds: milliseconds)
  }

  /// Waits for the end without asking for it.
  public func waitForExit(milliseconds: Int = 10000) throws -> Exit {
    if let exit = process.wait(milliseconds: milliseconds) { return exit }
    send(signal: SIGKILL)
    throw TestSupportError(
      "the daemon did not end within \(milliseconds) ms; its last words: "
        + standardError.suffix(500))
  }

  // MARK: What the kernel says about it

  /// Open file descriptors.
  public var fileDescriptorCount: Int { process.fileDescriptorCount }

  /// Threads.
  public var threadCount: Int { process.threadCount }

  /// Names of its threads.
  public var threadNames: [String] { process.threadNames }

  /// Lines of its memory map.
  public var mappingCount: Int { Self.text("/proc/\(pid)/maps").split(separator: "\n").count }

  /// Lines of its memory map that name guest memory of this test process.
  public var guestMappingCount: Int {
    Self.text("/proc/\(pid)/maps").split(separator: "\n").count { $0.contains("memfd:guest-ram") }
  }

  /// Processor time used so far, in clock ticks (usually 10 ms each).
  public var processorTicks: Int {
    let fields =
      Self.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12 else { return 0 }
    return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
  }

  /// Nanoseconds that its threads have run, all of them together; those that have ended count as when they were last seen.
  public var processorNanoseconds: UInt64 {
    let folder = "/proc/\(pid)/task"
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return threadTimes.withLock { times in
      for task in tasks {
        let words = Self.text("\(folder)/\(task)/schedstat").split(separator: " ")
        if let time = words.first.flatMap({ UInt64($0) }) {
          times[task] = max(times[task] ?? 0, time)
        }
      }
      return times.values.reduce(0, +)
    }
  }

  /// Bytes of resident memory that are its own, without what it shares with the guest.
  public func privateByteCount() throws -> Int { try process.privateByteCount() }

  // MARK: Talking to it

  /// Connects a client that has negotiated and started its queues.
  public func client(
    options: Frontend.Options = .init(), dataQueueCount: Int = 1
  ) throws -> CryptoClient {
    var options = options
    options.timeoutMilliseconds *= sanitizerSlack
    return try CryptoClient.start(
      path: socketPath, options: options, dataQueueCount: dataQueueCount)
  }
}
