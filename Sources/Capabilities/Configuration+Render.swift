import CryptoTypes
import VirtioSpec
import Yams

extension Configuration {
  /// The effective configuration as a capability file with every key: what `--print-config` prints.
  ///
  /// Reading it again gives the same configuration.
  public func renderYAML() -> String {
    var lines = ["version: 1", "device:"]
    lines += Self.render(device, indent: "  ")
    if !devices.isEmpty {
      lines.append("devices:")
      for device in devices {
        lines.append("  - name: \(Self.scalar(device.name))")
        lines.append("    socket: \(Self.scalar(device.socketPath))")
        lines.append("    device:")
        lines += Self.render(device.settings, indent: "      ")
      }
    }
    lines += [
      "workers:",
      "  cpus: [\(workers.cpus.map(String.init).joined(separator: ", "))]",
      "  poll: { mode: \(workers.pollMode.rawValue), spin-us: \(workers.spinMicroseconds) }",
      "  helpers: \(workers.helperCount)",
    ]
    if let cpus = workers.helperCPUs {
      lines.append("  helper-cpus: [\(cpus.map(String.init).joined(separator: ", "))]")
    }
    lines += [
      "  helper-min-size: \(workers.helperMinimumByteCount.map(ByteSize.text) ?? "off")",
      "engines:", "  openssl:",
      "    providers: \(Self.render(providers: engines.opensslProviders))",
    ]
    if let query = engines.opensslPropertyQuery {
      lines.append("    property-query: \(Self.scalar(query))")
    }
    lines += ["  kernel: { in-flight: \(engines.kernelInFlightCount) }", "  ipsec-mb: {}"]
    lines += renderAlgorithms()
    lines += [
      "stats:", "  socket: \(stats.socketPath.map(Self.scalar) ?? "off")",
      "control:", "  socket: \(control.socketPath.map(Self.scalar) ?? "off")",
      "log: { level: \(log.level.rawValue), format: \(log.format.rawValue) }",
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  private static func render(providers: [String]?) -> String {
    guard let providers else { return "auto" }
    return "[\(providers.map(scalar).joined(separator: ", "))]"
  }

  private static func render(_ settings: DeviceSettings, indent: String) -> [String] {
    let services = StatelessService.allCases.filter(settings.statelessServices.contains)
    return [
      "dialect: \(settings.dialect.rawValue)",
      "queues: \(settings.queueCount)",
      "queue-size: \(settings.queueSize)",
      "max-request: \(ByteSize.text(settings.maximumRequestByteCount))",
      "max-sessions: \(settings.maximumSessionCount)",
      "stateless: [\(services.map(\.rawValue).joined(separator: ", "))]",
      "max-operation-ms: \(settings.maximumOperationMilliseconds)",
      "max-cipher-key: \(settings.maximumCipherKeyByteCount)",
      "max-auth-key: \(settings.maximumAuthKeyByteCount)",
      "limits:",
      "  operations-per-second: \(settings.limits.operationsPerSecond)",
      "  bytes-per-second: \(settings.limits.bytesPerSecond)",
      "  burst-ms: \(settings.limits.burstMilliseconds)",
    ].map { indent + $0 }
  }

  private func renderAlgorithms() -> [String] {
    var lines = ["algorithms:"]
    for service in Schema.services {
      lines.append("  \(service):")
      for algorithm in CryptoAlgorithm.allCases where "\(algorithm.service)" == service {
        lines.append("    \(algorithm.name): \(Self.render(algorithms.policy(for: algorithm)))")
      }
    }
    return lines
  }

  private static func render(_ policy: AlgorithmPolicy) -> String {
    switch policy {
    case .off: "off"
    case .auto: "auto"
    case .engines(let choices):
      "{ engine: [\(choices.map(render).joined(separator: ", "))] }"
    }
  }

  private static func render(_ choice: EngineChoice) -> String {
    let options = [
      choice.driver.map { "driver: \(scalar($0))" },
      choice.minimumByteCount.map { "min-size: \(ByteSize.text($0))" },
      choice.maximumByteCount.map { "max-size: \(ByteSize.text($0))" },
    ].compactMap { $0 }
    let name = choice.engine
    return options.isEmpty ? name : "{ \(name): { \(options.joined(separator: ", ")) } }"
  }

  /// A text as a YAML scalar: plain where that is safe, else between quotation marks.
  private static func scalar(_ text: String) -> String {
    let plain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "/"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    let words: Set<String> = ["", "null", "Null", "NULL"]
    if plain, !words.contains(text), !text.hasPrefix("-") { return text }
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"": "\\\""
      case "\\": "\\\\"
      case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
        "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: String(scalar)
      }
    }
    return "\"" + escaped.joined() + "\""
  }
}

extension Configuration {
  /// The effective configuration as dictionaries, lists, numbers and strings: for writing it in another notation.
  public func plainValue() throws -> Any {
    // Without booleans: `off` is a word of ours.
    let value = try Yams.load(
      yaml: renderYAML(), .default.removing(.bool))
    return value ?? [String: Any]()
  }
}
