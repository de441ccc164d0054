// KernelEngineTests: the kernel engine through the device, on a kernel that has AF_ALG. Elsewhere they are skipped, and
// RealGuestKernelCryptoTests runs them in a guest that has it.

import CryptoTypes
import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Everything here has a daemon of its own, one after the other.
@Suite(
  "Kernel engine", .serialized, .enabled(if: KernelHost.hasCryptoSockets, "needs AF_ALG"))
enum KernelEngine {}

enum KernelHost {
  /// Whether this kernel lets us open AF_ALG sockets.
  static let hasCryptoSockets: Bool = {
    let probe = socket(38, Int32(SOCK_SEQPACKET.rawValue), 0)
    if probe >= 0 { close(probe) }
    return probe >= 0
  }()

  /// A capability file whose algorithms are given, all others being off.
  static func configuration(_ algorithms: [(service: String, entry: String)]) -> String {
    let services = ["cipher", "hash", "mac", "aead"].map { service in
      let own = algorithms.filter { $0.service == service }.map { "    \($0.entry)\n" }.joined()
      return "  \(service):\n    default: off\n" + own
    }
    return "version: 1\ndevice: { queue-size: 1024 }\nalgorithms:\n" + services.joined()
  }

  /// An algorithm on the kernel engine, with a driver if one is named.
  static func entry(_ algorithm: String, driver: String?) -> String {
    driver.map { "\(algorithm): { engine: [ { kernel: { driver: \"\($0)\" } } ] }" }
      ?? "\(algorithm): { engine: [kernel] }"
  }

  static func daemon(_ algorithms: [(service: String, entry: String)]) throws -> DaemonProcess {
    try DaemonProcess(
      arguments: ["--calibration-cache=none"], configuration: configuration(algorithms),
      servesStatistics: true)
  }

  static func queue(_ daemon: DaemonProcess) async throws -> QueueStatistics {
    let snapshot = try await StatsClient.snapshot(socketPath: daemon.statsPath)
    return try #require(snapshot.devices.first?.queues.first)
  }

  static func rows(_ daemon: DaemonProcess) async throws -> [AlgorithmStatistics] {
    try await StatsClient.snapshot(socketPath: daemon.statsPath).devices.first?.algorithms ?? []
  }

  /// Bytes that differ with the salt; cut from one list, as making them takes long under emulation.
  static func bytes(_ count: Int, _ salt: Int = 0) -> [UInt8] {
    let start = salt &* 31 % 4096
    return Array(pool[start..<start + count])
  }

  private static let pool: [UInt8] = {
    var random = SeededRandom(seed: 0x4b45_524e)
    return random.bytes((1 << 20) + 4096)
  }()
}

/// Requests that are all in the ring at once, and the order in which they come back.
struct Burst {
  private var riders: [(operation: OperationSpec, placed: PlacedRequest, head: UInt16)] = []
  private let client: CryptoClient

  init(_ client: CryptoClient, _ operations: [OperationSpec]) throws {
    self.client = client
    for operation in operations {
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
        in: client.memory)
      riders.append(
        (operation, placed, try client.dataQueues[0].reserve(placed.buffers, indirect: true)))
    }
  }

  /// Shows all of them to the device with one kick, and waits; the indices in the order of completion.
  ///
  /// Each result is compared with an independent computation.
  func run(seconds: Int = 60) throws -> [Int] {
    let queue = client.dataQueues[0]
    queue.disableCalls()
    for rider in riders { queue.post(rider.head) }
    if queue.publish() { try queue.kick() }
    let end = ContinuousClock.now + .seconds(seconds)
    var order: [Int] = []
    while order.count < riders.count {
      guard let used = queue.popUsed() else {
        guard ContinuousClock.now < end else {
          throw TestSupportError("\(riders.count - order.count) requests do not come back")
        }
        yieldProcessor()
        continue
      }
      let index = try #require(riders.firstIndex { UInt32($0.head) == used.head })
      #expect(!order.contains(index), "request \(index) came back twice")
      order.append(index)
      try compare(index, used)
    }
    return order
  }

  private func compare(_ index: Int, _ used: UsedElement) throws {
    let answer = try client.answer(riders[index].placed, used)
    let expected = try #require(ReferenceCrypto.answer(to: riders[index].operation))
    #expect(answer.status == .ok, "request \(index)")
    #expect(answer.output == expected.output, "request \(index)")
    #expect(answer.result == expected.result, "request \(index)")
  }

  func dispose() {
    for rider in riders {
      client.dataQueues[0].release(rider.head)
      rider.placed.free(in: client.memory)
    }
  }
}
