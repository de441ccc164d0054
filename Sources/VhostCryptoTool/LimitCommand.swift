import ArgumentParser
import Capabilities
import Foundation
import StatsEndpoint

/// `vhost-crypto limit`: what devices are limited to, and how to change that while they run.
struct Limit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what devices are limited to, or change it while they run.",
    discussion: """
      Without a limit to set it asks the statistics socket and shows all devices. To set limits it speaks to the control \
      socket, which is the daemon's own user's alone: who may look need not be allowed to set. What is set lasts until \
      the daemon ends or its capability file is reloaded.

      Examples:
        vhost-crypto limit
        vhost-crypto limit --device vm1 --operations 10k --bytes 100MiB
        vhost-crypto limit --device vm1 --none

      Ends with status 69 when no daemon answers, and 65 when it refuses.
      """)

  @OptionGroup var endpoint: StatsSocketOptions

  @Option(
    help: ArgumentHelp(
      "The daemon's control socket (--control-socket, or control.socket in its file).",
      valueName: "path"), completion: .file())
  var controlSocket = "/run/vhost-user-crypto/control.sock"

  @Option(help: ArgumentHelp("Set limits of this device alone, not of all.", valueName: "name"))
  var device: String?

  @Option(help: ArgumentHelp("Operations a second, such as 10k; 0: unlimited.", valueName: "n"))
  var operations: String?

  @Option(
    help: ArgumentHelp("Source bytes a second, such as 100MiB; 0: unlimited.", valueName: "size"))
  var bytes: String?

  @Option(
    help: ArgumentHelp("How much of a rate may be saved up, 1 to 60000.", valueName: "milliseconds")
  )
  var burst: Int?

  @Option(help: ArgumentHelp("Sessions at a time.", valueName: "n"))
  var sessions: String?

  @Option(help: ArgumentHelp("The most payload of one request, such as 64KiB.", valueName: "size"))
  var maxRequest: String?

  @Option(help: ArgumentHelp("The longest key of a cipher.", valueName: "bytes"))
  var maxCipherKey: Int?

  @Option(help: ArgumentHelp("The longest key of a MAC.", valueName: "bytes"))
  var maxAuthKey: Int?

  @Flag(help: "No limit on operations and bytes a second.")
  var none = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() async throws {
    let change = try change()
    do {
      if change == LimitChange() {
        try await show()
      } else {
        try await set(change)
      }
    } catch let error as StatsClientError {
      if case .refused = error {
        throw Exit.failing(ExitCode(65), error.description)
      }
      throw Exit.failing(Exit.unavailable, error.description)
    }
  }

  /// What is to be set; nothing: show.
  private func change() throws -> LimitChange {
    var change = LimitChange()
    if none {
      guard operations == nil, bytes == nil else {
        throw ValidationError("--none excludes --operations and --bytes; give one or the other")
      }
      change.operationsPerSecond = 0
      change.bytesPerSecond = 0
    }
    change.operationsPerSecond =
      try operations.map {
        try number($0, "--operations", "10000, 10k or 2M", LimitText.operations)
      }
      ?? change.operationsPerSecond
    change.bytesPerSecond =
      try bytes.map { try number($0, "--bytes", "1048576 or 100MiB", LimitText.bytes) }
      ?? change.bytesPerSecond
    change.burstMilliseconds = try burst.map { try bounded($0, "--burst", 1...60000) }
    change.sessions = try sessions.map {
      try number($0, "--sessions", "1000 or 10k", LimitText.operations)
    }
    change.requestBytes = try maxRequest.map {
      try number($0, "--max-request", "65536 or 64KiB", LimitText.bytes)
    }
    change.cipherKeyBytes = try maxCipherKey.map { try bounded($0, "--max-cipher-key", 1...256) }
    change.authKeyBytes = try maxAuthKey.map { try bounded($0, "--max-auth-key", 1...512) }
    return change
  }

  private func number(
    _ text: String, _ option: String, _ examples: String, _ parse: (String) -> UInt64?
  ) throws -> UInt64 {
    guard let value = parse(text) else {
      throw ValidationError("\(option) '\(text)' is no limit; write \(examples)")
    }
    return value
  }

  private func bounded(
    _ value: Int, _ option: String, _ range: ClosedRange<Int>
  ) throws -> UInt64 {
    guard range.contains(value) else {
      throw ValidationError(
        "\(option) \(value) is out of bounds; write \(range.lowerBound) to \(range.upperBound)")
    }
    return UInt64(value)
  }

  private func set(_ change: LimitChange) async throws {
    var target = "/limits?\(change.query)"
    if let device {
      let name = device.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? device
      target += "&device=\(name)"
    }
    let answer = try await StatsClient.fetch(
      target, socketPath: controlSocket, timeout: .seconds(60), isChange: true)
    let limits = try JSONDecoder().decode([NamedLimits].self, from: answer)
    print(
      json ? String(decoding: answer, as: UTF8.self) : LimitTable.render(limits), terminator: "")
  }

  private func show() async throws {
    let snapshot = try await StatsClient.snapshot(socketPath: endpoint.statsSocket)
    let devices = snapshot.devices.filter { device == nil || $0.name == device }
    if let device, devices.isEmpty {
      let names = snapshot.devices.map(\.name).joined(separator: ", ")
      throw Exit.failing(ExitCode(65), "there is no device '\(device)'; there are: \(names)")
    }
    let limits = devices.map { NamedLimits(device: $0.name, limits: $0.limits) }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys]
      print(String(decoding: try encoder.encode(limits), as: UTF8.self))
    } else {
      print(LimitTable.render(limits, devices), terminator: "")
    }
  }
}

/// Lays limits out for people.
enum LimitTable {
  /// `devices`: the same devices, to say how they were held back; empty: do not.
  static func render(_ limits: [NamedLimits], _ devices: [DeviceSnapshot] = []) -> String {
    var head = [
      "device", "operations/s", "bytes/s", "burst", "sessions", "request", "cipher key", "auth key",
    ]
    if !devices.isEmpty { head += ["waits", "waited"] }
    let rows = limits.enumerated().map { index, entry in
      let limits = entry.limits
      var row = [
        entry.device, rate("\(limits.operationsPerSecond)"),
        rate(LimitText.text(bytes: limits.bytesPerSecond)), "\(limits.burstMilliseconds) ms",
        "\(limits.sessions)", LimitText.text(bytes: limits.requestBytes),
        "\(limits.cipherKeyBytes)", "\(limits.authKeyBytes)",
      ]
      if devices.indices.contains(index) {
        let queues = devices[index].queues
        row += [
          "\(queues.reduce(0) { $0 &+ $1.throttledWaits })",
          String(format: "%.1f s", queues.reduce(0) { $0 + $1.throttledSeconds }),
        ]
      }
      return row
    }
    return TextTable.render(head, rows, words: ["device"], indent: "")
  }

  private static func rate(_ text: String) -> String { text == "0" ? "unlimited" : text }
}
