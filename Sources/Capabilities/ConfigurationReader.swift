import CryptoTypes
import VirtioSpec
internal import Yams

/// Turns the document's tree into checked values, section by section.
struct ConfigurationReader {
  private var configuration = Configuration()
  private let engines: [EngineDescription]

  private init(engines: [EngineDescription]) { self.engines = engines }

  static func read(
    _ document: Field, engines: [EngineDescription]
  ) throws(ConfigurationError) -> Configuration {
    var reader = ConfigurationReader(engines: engines)
    try reader.readDocument(document)
    return reader.configuration
  }

  private mutating func readDocument(_ document: Field) throws(ConfigurationError) {
    // The version comes first: a file for another one may have any keys.
    let entries = try document.entries("start with the line \"version: 1\"")
    guard let version = entries.first(where: { $0.key == "version" }) else {
      throw document.error(
        "there is no version", "add the line \"version: 1\" at the beginning")
    }
    guard version.value.word == "1" else {
      throw version.value.wrongValue("this program reads version 1")
    }
    let values = try document.values(keys: Schema.document)
    if let device = values["device"] {
      configuration.device = try readDevice(device, changing: configuration.device)
    }
    if let workers = values["workers"] { try readWorkers(workers) }
    if let engines = values["engines"] { try readEngines(engines) }
    if let algorithms = values["algorithms"] {
      var reader = PolicyReader(engines: engines)
      try reader.read(algorithms)
      configuration.algorithms = reader.policies
      configuration.warnings += reader.warnings
    }
    if let stats = values["stats"] { try readStats(stats) }
    if let control = values["control"] { try readControl(control) }
    if let log = values["log"] { try readLog(log) }
    if let devices = values["devices"] { try readDevices(devices) }
    warnOfSharedCPUs(values["workers"])
  }

  // MARK: - Devices

  /// Reads a `device:` section on top of `base`.
  private mutating func readDevice(
    _ section: Field, changing base: DeviceSettings
  ) throws(ConfigurationError) -> DeviceSettings {
    var settings = base
    let values = try section.values(keys: Schema.device)
    if let field = values["dialect"] { settings.dialect = try field.choice(of: Dialect.self) }
    if let field = values["queues"] { settings.queueCount = try field.integer(in: 1...255) }
    if let field = values["queue-size"] {
      let size = try field.integer(in: 16...32768)
      guard size & (size - 1) == 0 else {
        throw field.wrongValue("write a power of two from 16 to 32768")
      }
      settings.queueSize = size
    }
    if let field = values["max-request"] {
      settings.maximumRequestByteCount = try field.byteCount(in: (4 << 10)...(64 << 20))
    }
    if let field = values["max-sessions"] {
      settings.maximumSessionCount = try field.integer(in: 1...(1 << 20))
    }
    if let field = values["stateless"] { settings.statelessServices = try readStateless(field) }
    if let field = values["max-operation-ms"] {
      settings.maximumOperationMilliseconds = try field.integer(in: 1...60000)
    }
    if let field = values["max-cipher-key"] {
      settings.maximumCipherKeyByteCount = try field.integer(in: 1...256)
    }
    if let field = values["max-auth-key"] {
      settings.maximumAuthKeyByteCount = try field.integer(in: 1...512)
    }
    if let field = values["limits"] { settings.limits = try readLimits(field, settings.limits) }
    return settings
  }

  private mutating func readStateless(
    _ section: Field
  ) throws(ConfigurationError) -> Set<StatelessService> {
    var services: Set<StatelessService> = []
    for item in try section.list("write a list, such as [cipher, hash], or [] for none") {
      guard let word = item.word, let service = StatelessService(rawValue: word) else {
        let near = item.word.flatMap { Spelling.nearest(to: $0, among: Schema.services) }
        throw item.wrongValue(
          near.map { "did you mean \(quoted($0))?" } ?? "write \(oneOf(Schema.services))")
      }
      guard services.insert(service).inserted else {
        throw item.error("\(section.path) names \(word) twice", "name each service once")
      }
    }
    return services
  }

  private func readLimits(
    _ section: Field, _ base: RateLimits
  ) throws(ConfigurationError) -> RateLimits {
    var limits = base
    let values = try section.values(keys: Schema.limits)
    if let field = values["operations-per-second"] {
      limits.operationsPerSecond = try field.operationRate()
    }
    if let field = values["bytes-per-second"] { limits.bytesPerSecond = try field.byteRate() }
    if let field = values["burst-ms"] {
      limits.burstMilliseconds = try field.integer(in: 1...60000)
    }
    return limits
  }

  private mutating func readDevices(_ section: Field) throws(ConfigurationError) {
    let example = "{ name: vm1, socket: /run/vhost-user-crypto/vm1.sock }"
    for item in try section.list("write a list of devices, such as \"- \(example)\"") {
      let values = try item.values(
        keys: Schema.deviceEntry, remedy: "write a device as \(example)")
      guard let nameField = values["name"], let socketField = values["socket"] else {
        let missing = values["name"] == nil ? "name" : "socket"
        throw item.error("\(item.path) has no \(missing)", "write a device as \(example)")
      }
      let device = DeviceConfiguration(
        name: try readName(nameField), socketPath: try socketField.socketPath(),
        settings: try values["device"].map { (field) throws(ConfigurationError) in
          try readDevice(field, changing: configuration.device)
        } ?? configuration.device)
      if configuration.devices.contains(where: { $0.name == device.name }) {
        throw nameField.error(
          "two devices are named \(quoted(device.name))", "give each device a name of its own")
      }
      if configuration.devices.contains(where: { $0.socketPath == device.socketPath })
        || configuration.stats.socketPath == device.socketPath
        || configuration.control.socketPath == device.socketPath
      {
        throw socketField.error(
          "\(quoted(device.socketPath)) is already in use in this file",
          "give each device a socket of its own")
      }
      configuration.devices.append(device)
    }
  }

  private func readName(_ field: Field) throws(ConfigurationError) -> String {
    let remedy = "write 1 to 64 letters, digits, dots, dashes or underscores"
    let name = try field.text(remedy)
    let allowed = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
        UInt8(ascii: "_"):
        true
      default: false
      }
    }
    guard allowed, (1...64).contains(name.utf8.count) else { throw field.wrongValue(remedy) }
    return name
  }

  // MARK: - Workers

  private mutating func readWorkers(_ section: Field) throws(ConfigurationError) {
    let values = try section.values(keys: Schema.workers)
    if let field = values["cpus"] { configuration.workers.cpus = try CPUList.read(field) }
    if let field = values["helpers"] {
      configuration.workers.helperCount = try field.integer(in: 0...64)
    }
    if let field = values["helper-cpus"] {
      configuration.workers.helperCPUs = try CPUList.read(field)
    }
    if let field = values["helper-min-size"] {
      configuration.workers.helperMinimumByteCount =
        field.isOff ? nil : try field.byteCount(in: (1 << 10)...(64 << 20), alternative: "off")
    }
    guard let poll = values["poll"] else { return }
    let pollValues = try poll.values(
      keys: Schema.poll, remedy: "write { mode: adaptive, spin-us: 50 }")
    if let field = pollValues["mode"] {
      configuration.workers.pollMode = try field.choice(of: PollChoice.self)
    }
    if let field = pollValues["spin-us"] {
      configuration.workers.spinMicroseconds = try field.integer(in: 0...1_000_000)
    }
  }

  private mutating func warnOfSharedCPUs(_ section: Field?) {
    let devices = configuration.devices
    let workerCount =
      devices.isEmpty
      ? configuration.device.queueCount : devices.reduce(0) { $0 + $1.settings.queueCount }
    let cpuCount = configuration.workers.cpus.count
    guard let section, cpuCount > 0, cpuCount < workerCount else { return }
    warn(
      section.position, "\(workerCount) data queues share \(cpuCount) CPUs; name one CPU per queue")
  }

  // MARK: - Engines

  private mutating func readEngines(_ section: Field) throws(ConfigurationError) {
    let values = try section.values(keys: engines.map(\.name))
    if let openssl = try values["openssl"].map({ (field) throws(ConfigurationError) in
      try field.values(keys: Schema.openssl)
    }) {
      if let field = openssl["providers"] {
        configuration.engines.opensslProviders = try readProviders(field)
      }
      if let field = openssl["property-query"] {
        configuration.engines.opensslPropertyQuery = try field.text(
          "write a property query, such as \"?provider=qatprovider\", or leave the key out")
      }
    }
    if let kernel = try values["kernel"].map({ (field) throws(ConfigurationError) in
      try field.values(keys: Schema.kernel)
    }), let field = kernel["in-flight"] {
      configuration.engines.kernelInFlightCount = try field.integer(in: 1...4096)
    }
    for (name, field) in values where name != "openssl" && name != "kernel" {
      _ = try field.values(keys: [])
    }
  }

  /// Nil for `auto`.
  private func readProviders(_ section: Field) throws(ConfigurationError) -> [String]? {
    if section.word == "auto" { return nil }
    let remedy = "write auto, or a list of OpenSSL providers, such as [default, legacy]"
    var providers: [String] = []
    for item in try section.list(remedy) {
      let name = try item.text(remedy)
      guard !providers.contains(name) else {
        throw item.error("\(section.path) names \(quoted(name)) twice", "name each provider once")
      }
      providers.append(name)
    }
    guard !providers.isEmpty else { throw section.error("\(section.path) is empty", remedy) }
    return providers
  }

  // MARK: - Statistics and log

  private mutating func readStats(_ section: Field) throws(ConfigurationError) {
    guard let field = try section.values(keys: Schema.stats)["socket"] else { return }
    configuration.stats.socketPath = field.isOff ? nil : try field.socketPath()
  }

  private mutating func readControl(_ section: Field) throws(ConfigurationError) {
    guard let field = try section.values(keys: Schema.control)["socket"] else { return }
    configuration.control.socketPath = field.isOff ? nil : try field.socketPath()
    if let path = configuration.control.socketPath, path == configuration.stats.socketPath {
      throw field.error(
        "\(quoted(path)) is already in use in this file",
        "give the control socket a path of its own: who may look need not be allowed to set")
    }
  }

  private mutating func readLog(_ section: Field) throws(ConfigurationError) {
    let values = try section.values(keys: Schema.log)
    if let field = values["level"] {
      configuration.log.level = try field.choice(of: LogConfiguration.Level.self)
    }
    if let field = values["format"] {
      configuration.log.format = try field.choice(of: LogConfiguration.Format.self)
    }
  }

  private mutating func warn(_ position: SourcePosition, _ text: String) {
    configuration.warnings.append(ConfigurationWarning(position: position, text: text))
  }
}
