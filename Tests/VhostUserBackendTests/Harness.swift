import Foundation
import GuestMemory
import LinuxSystem
import Logging
import Testing
import VhostUserBackend
import VhostUserProtocol

/// Parent of all suites here: the tests that count this process's descriptors must be alone.
@Suite(.serialized)
enum OneAtATime {}

/// A server on a thread of its own and the fake device behind it.
final class Harness {
  let device = FakeDevice()
  let server: VhostUserServer
  private let finished = DispatchSemaphore(value: 0)
  private var hasEnded = false

  private init(_ endpoint: consuming ServerEndpoint, lines: LogLines? = nil) throws {
    let logger = Logger(label: "test") { _ in
      lines.map { LineHandler(lines: $0) as any LogHandler } ?? SwiftLogNoOpLogHandler()
    }
    server = try VhostUserServer(endpoint: endpoint, device: device, logger: logger)
  }

  private func start() {
    let server = server
    let finished = finished
    Thread.detachNewThread {
      do { try server.run() } catch { Issue.record("run() threw \(error)") }
      finished.signal()
    }
  }

  /// A server and its one front-end over a socket pair.
  static func connected(lines: LogLines? = nil) throws -> (Harness, RawFrontend) {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
      throw RawFrontend.Problem("socketpair failed")
    }
    let harness = try Harness(.connected(FileDescriptor(owning: ends[0])), lines: lines)
    harness.start()
    let frontend = RawFrontend(socket: ends[1])
    frontend.server = harness
    return (harness, frontend)
  }

  static func listening(at path: String) throws -> Harness {
    let harness = try Harness(.path(path))
    harness.start()
    return harness
  }

  /// A server that calls a front-end's socket.
  static func connecting(to path: String) throws -> Harness {
    let harness = try Harness(.connecting(path))
    harness.start()
    return harness
  }

  /// Whether `run()` returned within five seconds.
  func ended() -> Bool {
    if !hasEnded { hasEnded = finished.wait(timeout: .now() + 5) == .success }
    return hasEnded
  }

  deinit {
    server.stop()
    if !ended() { Issue.record("the server did not stop") }
  }
}

/// Log lines of a server, with their metadata.
final class LogLines: @unchecked Sendable {
  private let lock = NSLock()
  private var lines: [String] = []
  func append(_ line: String) { lock.withLock { lines.append(line) } }
  var all: [String] { lock.withLock { lines } }
}

struct LineHandler: LogHandler {
  let lines: LogLines
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { lines.append("\(event.message) \(event.metadata ?? [:])") }
}

/// A path for a socket in a directory of its own.
func temporarySocketPath() throws -> String {
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  return directory.appendingPathComponent("s").path
}

/// Waits up to two seconds for the server's thread to get somewhere.
func eventually(_ condition: () -> Bool) -> Bool {
  for _ in 0..<200 {
    if condition() { return true }
    usleep(10_000)
  }
  return condition()
}

/// One region of guest memory with room for a few rings.
struct GuestRegion {
  static let byteCount = 1 << 20
  static let frontendBase: UInt64 = 0x7000_0000_0000
  let file: SharedFile
  var guestAddress: UInt64
  var frontendAddress: UInt64

  init(guestAddress: UInt64 = 0, frontendAddress: UInt64 = Self.frontendBase) throws {
    file = try SharedFile(byteCount: Self.byteCount)
    self.guestAddress = guestAddress
    self.frontendAddress = frontendAddress
  }

  var payload: MemoryRegionPayload {
    MemoryRegionPayload(
      guestAddress: guestAddress, regionByteCount: UInt64(Self.byteCount),
      frontendAddress: frontendAddress, mmapOffset: 0)
  }

  func address(ring: UInt32) -> VringAddress {
    let base = frontendAddress + UInt64(ring) * 0x1_0000
    return VringAddress(
      index: ring, descriptorTable: base, usedRing: base + 0x8000, availableRing: base + 0x4000)
  }
}

extension RawFrontend {
  func setMemory(_ regions: [GuestRegion]) {
    send(
      .setMemoryTable, MemoryTablePayload(regions: regions.map(\.payload)).encoded,
      descriptors: regions.map(\.file.descriptor))
  }

  /// All that a ring needs but memory and the word to run.
  func setUpRing(_ index: UInt32, in region: GuestRegion, base: UInt32 = 0, kick: Event) {
    send(.setVringNum, VringState(index: index, number: 256).encoded)
    send(.setVringBase, VringState(index: index, number: base).encoded)
    send(.setVringAddress, region.address(ring: index).encoded)
    send(
      .setVringKick, VringDescriptor(index: UInt8(index)).encoded, descriptors: [kick.descriptor])
  }

  func enableRing(_ index: UInt32, _ on: Bool = true) {
    send(.setVringEnable, VringState(index: index, number: on ? 1 : 0).encoded)
  }
}
