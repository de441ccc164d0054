import CryptoTypes

/// Reads the `algorithms:` section: services, their algorithms, and the engines of each.
struct PolicyReader {
  /// What YAML 1.1 and people take for "no" and for "yes".
  static let offWords: Set<String> = ["off", "false", "no", "Off", "OFF", "False", "No"]
  private static let onWords: Set<String> = ["auto", "on", "true", "yes", "On", "True", "Yes"]

  let engines: [EngineDescription]
  private(set) var policies = AlgorithmPolicies()
  private(set) var warnings: [ConfigurationWarning] = []

  mutating func read(_ section: Field) throws(ConfigurationError) {
    for (service, field) in try section.values(keys: Schema.services).sorted(by: { $0.key < $1.key }
    ) {
      try readService(service, field)
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
      let policy = try readPolicy(entry.value, for: nil)
      for algorithm in algorithms {
        policies.set(narrowed(policy, to: algorithm), for: algorithm, at: entry.value.position)
      }
    }
    for entry in entries where entry.key != "default" {
      guard let algorithm = algorithms.first(where: { $0.name == entry.key }) else {
        throw Self.unknownAlgorithm(entry, service: service, known: algorithms.map(\.name))
      }
      policies.set(
        try readPolicy(entry.value, for: algorithm), for: algorithm, at: entry.value.position)
    }
  }

  /// A service's default without the engines that cannot do one of its algorithms; with none left it stays as it is, and
  /// the algorithm is not offered.
  private func narrowed(
    _ policy: AlgorithmPolicy, to algorithm: CryptoAlgorithm
  ) -> AlgorithmPolicy {
    guard case .engines(let choices) = policy else { return policy }
    let able = choices.filter { description(of: $0.engine).algorithms.contains(algorithm) }
    return .engines(able.isEmpty ? choices : able)
  }

  private func description(of engine: String) -> EngineDescription {
    engines.first { $0.name == engine } ?? EngineDescription(name: engine, algorithms: [])
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

  /// `algorithm`: nil for a service's default.
  private mutating func readPolicy(
    _ field: Field, for algorithm: CryptoAlgorithm?
  ) throws(ConfigurationError) -> AlgorithmPolicy {
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
      return .engines([try readChoice(engine, for: algorithm)])
    }
    return .engines(try readChoices(engine, for: algorithm))
  }

  private mutating func readChoices(
    _ field: Field, for algorithm: CryptoAlgorithm?
  ) throws(ConfigurationError) -> [EngineChoice] {
    var choices: [EngineChoice] = []
    var items: [Field] = []
    for item in try field.list("write auto or a list of engines, such as [ipsec-mb, openssl]") {
      let choice = try readChoice(item, for: algorithm)
      if choices.contains(where: { $0.engine == choice.engine }) {
        throw item.error("\(field.path) names \(choice.engine) twice", "name each engine once")
      }
      choices.append(choice)
      items.append(item)
    }
    guard (1...EngineRoute.capacity).contains(choices.count) else {
      throw field.error(
        "\(field.path) names \(choices.isEmpty ? "no engine" : "\(choices.count) engines")",
        choices.isEmpty
          ? "name one, or write \"off\" for the algorithm"
          : "name at most \(EngineRoute.capacity)")
    }
    let coverage = SizeCoverage(choices)
    if let useless = coverage.uselessIndex {
      throw items[useless].error(
        "\(choices[useless].engine) gets no request: the engines before it take every size that it is for",
        "put it first, or bound the others with max-size or min-size")
    }
    try refuseGap(coverage, in: field)
    return choices
  }

  private func refuseGap(_ coverage: SizeCoverage, in field: Field) throws(ConfigurationError) {
    guard let gap = coverage.gap else { return }
    let sizes =
      gap.upperBound == UInt64(UInt32.max)
      ? "more than \(ByteSize.text(gap.lowerBound - 1))"
      : "\(ByteSize.text(gap.lowerBound)) to \(ByteSize.text(gap.upperBound))"
    throw field.error(
      "no engine of \(field.path) takes requests of \(sizes)",
      "add an engine without min-size and max-size at the end")
  }

  /// `openssl`, or `{ kernel: { driver: …, min-size: …, max-size: … } }`.
  private mutating func readChoice(
    _ field: Field, for algorithm: CryptoAlgorithm?
  ) throws(ConfigurationError) -> EngineChoice {
    let names = engines.map(\.name)
    let choice: EngineChoice
    if let word = field.word {
      guard names.contains(word) else {
        throw field.wrongValue(
          Spelling.nearest(to: word, among: names).map { "did you mean \(quoted($0))?" }
            ?? "write \(oneOf(names))")
      }
      choice = EngineChoice(engine: word)
    } else {
      let values = try field.values(keys: names, remedy: "write an engine: \(oneOf(names))")
      guard values.count == 1, let (name, options) = values.first else {
        throw field.error(
          "\(field.path) names \(values.count) engines", "write one engine per list item")
      }
      choice = try readOptions(options, of: description(of: name), for: algorithm)
    }
    try judge(description(of: choice.engine), for: algorithm, at: field)
    return choice
  }

  /// Whether an engine can be what it is named for at all.
  private mutating func judge(
    _ engine: EngineDescription, for algorithm: CryptoAlgorithm?, at field: Field
  ) throws(ConfigurationError) {
    if let algorithm, !engine.algorithms.contains(algorithm) {
      let able = engines.filter { $0.algorithms.contains(algorithm) }.map(\.name)
      throw field.error("\(engine.name) cannot do \(algorithm.name)", "name \(oneOf(able))")
    }
    if let absence = engine.absence {
      warnings.append(
        ConfigurationWarning(
          position: field.position, text: "the engine \(engine.name) is \(absence)"))
    }
  }

  private func readOptions(
    _ field: Field, of engine: EngineDescription, for algorithm: CryptoAlgorithm?
  ) throws(ConfigurationError) -> EngineChoice {
    var choice = EngineChoice(engine: engine.name)
    let values = try field.values(
      keys: Schema.choice, remedy: "write options, such as { min-size: 4096 }")
    if let driver = values["driver"] {
      guard engine.hasDrivers else {
        let able = engines.filter(\.hasDrivers).map(\.name)
        throw driver.error(
          "\(engine.name) has no drivers", "only \(oneOf(able)) takes a driver")
      }
      guard algorithm != nil else {
        throw driver.error(
          "a driver is for one algorithm", "name it at the algorithm instead of at default")
      }
      choice.driver = try readDriver(driver)
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

  /// The kernel's names of drivers have at most 63 bytes.
  private func readDriver(_ field: Field) throws(ConfigurationError) -> String {
    let remedy = "write a driver of /proc/crypto, such as cbc-aes-qat"
    let driver = try field.text(remedy)
    guard (1...63).contains(driver.utf8.count),
      driver.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else { throw field.wrongValue(remedy) }
    return driver
  }
}
