import CryptoTypes

/// Reads the `algorithms:` section: services, their algorithms, and the engines of each.
struct PolicyReader {
  /// What YAML 1.1 and people take for "no" and for "yes".
  static let offWords: Set<String> = ["off", "false", "no", "Off", "OFF", "False", "No"]
  private static let onWords: Set<String> = ["auto", "on", "true", "yes", "On", "True", "Yes"]

  private(set) var policies = AlgorithmPolicies()
  private(set) var warnings: [ConfigurationWarning] = []

  mutating func read(_ section: Field) throws(ConfigurationError) {
    for (service, field) in try section.values(keys: Schema.services).sorted(by: { $0.key < $1.key }
    ) {
      if service == "akcipher" { try readAKCipher(field) } else { try readService(service, field) }
    }
  }

  private mutating func readService(
    _ service: String, _ field: Field
  ) throws(ConfigurationError) {
    let algorithms = CryptoAlgorithm.allCases.filter { "\($0.service)" == service }
    if let word = field.word, let policy = Self.simplePolicy(word) {
      throw field.error(
        "\(field.path) is \(quoted(word))",
        "write \"\(service): { default: \(policy == .off ? "off" : "auto") }\"")
    }
    let entries = try field.entries(
      "write algorithms and their engines, such as \"\(algorithms[0].name): { engine: [openssl] }\""
    )
    if let entry = entries.first(where: { $0.key == "default" }) {
      let policy = try readPolicy(entry.value)
      for algorithm in algorithms {
        policies.set(policy, for: algorithm, at: entry.value.position)
      }
    }
    for entry in entries where entry.key != "default" {
      guard let algorithm = algorithms.first(where: { $0.name == entry.key }) else {
        throw Self.unknownAlgorithm(entry, service: service, known: algorithms.map(\.name))
      }
      policies.set(try readPolicy(entry.value), for: algorithm, at: entry.value.position)
    }
  }

  private mutating func readAKCipher(_ field: Field) throws(ConfigurationError) {
    let known = ["default", "rsa", "ecdsa"]
    for entry in try field.entries("write \"rsa: off\" or the like") {
      guard known.contains(entry.key) else {
        throw Self.unknownAlgorithm(entry, service: "akcipher", known: Array(known.dropFirst()))
      }
      if try readPolicy(entry.value) != .off {
        let name = entry.key == "default" ? "it" : entry.key
        warnings.append(
          ConfigurationWarning(
            position: entry.keyPosition,
            text: "akcipher is not served yet; \(name) is not advertised"))
      }
    }
  }

  private static func unknownAlgorithm(
    _ entry: Entry, service: String, known: [String]
  ) -> ConfigurationError {
    let owner = CryptoAlgorithm.allCases.first { $0.name == entry.key }
    let what: String
    let remedy: String
    if let owner {
      what = "\(entry.key) is no \(service) algorithm"
      remedy = "move it to algorithms.\(owner.service)"
    } else {
      what = "unknown \(service) algorithm \(quoted(entry.key))"
      remedy =
        Spelling.nearest(to: entry.key, among: known).map { "did you mean \(quoted($0))?" }
        ?? "the \(service) algorithms are \(known.joined(separator: ", "))"
    }
    return ConfigurationError(position: entry.keyPosition, what: what, remedy: remedy)
  }

  // MARK: - One algorithm

  private static func simplePolicy(_ word: String) -> AlgorithmPolicy? {
    if offWords.contains(word) { return .off }
    return onWords.contains(word) ? .auto : nil
  }

  private mutating func readPolicy(_ field: Field) throws(ConfigurationError) -> AlgorithmPolicy {
    let example = "write off, auto or { engine: [openssl] }"
    if let word = field.word {
      guard let policy = Self.simplePolicy(word) else { throw field.wrongValue(example) }
      return policy
    }
    let values = try field.values(keys: Schema.policy, remedy: example)
    guard let engine = values["engine"] else {
      throw field.error("\(field.path) names no engine", example)
    }
    if let word = engine.word {
      if word == "auto" { return .auto }
      return .engines([try readChoice(engine)])
    }
    return .engines(try readChoices(engine))
  }

  private mutating func readChoices(_ field: Field) throws(ConfigurationError) -> [EngineChoice] {
    var choices: [EngineChoice] = []
    let items = try field.list("write auto or a list of engines, such as [ipsec-mb, openssl]")
    for item in items {
      let choice = try readChoice(item)
      if choices.contains(where: { $0.engine == choice.engine && $0.driver == choice.driver }) {
        throw item.error(
          "\(field.path) names \(choice.engine.rawValue) twice", "name each engine once")
      }
      choices.append(choice)
    }
    guard (1...4).contains(choices.count) else {
      throw field.error(
        "\(field.path) names \(choices.count == 0 ? "no engine" : "\(choices.count) engines")",
        choices.isEmpty ? "name one, or write \"off\" for the algorithm" : "name at most 4")
    }
    return choices
  }

  /// `openssl`, or `{ kernel: { driver: …, min-size: …, max-size: … } }`.
  private mutating func readChoice(_ field: Field) throws(ConfigurationError) -> EngineChoice {
    if field.word != nil {
      let engine = try field.choice(of: EngineName.self)
      warnIfMissing(engine, at: field.position)
      return EngineChoice(engine: engine)
    }
    let values = try field.values(
      keys: Schema.engines, remedy: "write an engine: \(oneOf(Schema.engines))")
    guard values.count == 1, let (name, options) = values.first,
      let engine = EngineName(rawValue: name)
    else {
      throw field.error(
        "\(field.path) names \(values.count) engines", "write one engine per list item")
    }
    let choice = try readOptions(options, of: engine)
    warnIfMissing(engine, at: field.position)
    return choice
  }

  private mutating func readOptions(
    _ field: Field, of engine: EngineName
  ) throws(ConfigurationError) -> EngineChoice {
    var choice = EngineChoice(engine: engine)
    let values = try field.values(
      keys: Schema.choice, remedy: "write options, such as { min-size: 4096 }")
    if let driver = values["driver"] {
      guard engine == .kernel else {
        throw driver.error("\(engine.rawValue) has no drivers", "only kernel takes a driver")
      }
      choice.driver = try driver.text("write a driver of /proc/crypto, such as cbc-aes-qat")
    }
    if let field = values["min-size"] ?? values["max-size"] {
      warnings.append(
        ConfigurationWarning(
          position: field.position,
          text: "sizes are not applied yet: one engine serves all requests of a session"))
    }
    let sizes: ClosedRange<UInt64> = 0...(64 << 20)
    choice.minimumByteCount = try values["min-size"]?.byteCount(in: sizes)
    choice.maximumByteCount = try values["max-size"]?.byteCount(in: sizes)
    if let minimum = choice.minimumByteCount, let maximum = choice.maximumByteCount,
      minimum > maximum, let field = values["min-size"]
    {
      throw field.error(
        "min-size \(ByteSize.text(minimum)) is above max-size \(ByteSize.text(maximum))",
        "write a min-size of at most max-size")
    }
    return choice
  }

  private mutating func warnIfMissing(_ engine: EngineName, at position: SourcePosition) {
    if EngineName.builtIn.contains(engine) { return }
    warnings.append(
      ConfigurationWarning(
        position: position, text: "the engine \(engine.rawValue) is not in this build"))
  }
}
