import ArgumentParser
import Foundation

/// Counts instructions per request, and compares them with those on record.
struct InstructionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "instructions",
    abstract: "Counts our own instructions per request with Callgrind, against a record.")

  /// Rings and their descriptors with an engine that does nothing, and every operation with the engines.
  private static let scenarios =
    [
      ":split", ":split:direct", ":packed", ":packed:direct", ":split-in-order",
      ":packed-in-order",
    ].map { "aes-128-cbc-encrypt:null" + $0 }
    + ["ipsec-mb", "openssl"].flatMap { engine in
      Scenario.operationNames.map { "\($0):\(engine)" }
    }

  /// How much more is too much, and how much less says that the record is old.
  ///
  /// Counts of one program are the same to a few instructions in a million, on every x86-64 host with AVX2. The margin is
  /// for another patch of the compiler; what a careless change costs, a copy, a check or a call for each descriptor, is
  /// above it.
  private static let upperMargin = 0.03
  private static let lowerMargin = 0.05

  @Argument(help: "The record: a JSON file of instructions per request, by scenario.")
  var record: String

  @Flag(help: "Write what is counted into the record, and say what is different.")
  var write = false

  @Option(help: "How often the ring is filled.")
  var rounds = 100

  @Option(help: "A directory where Callgrind's profiles are left, for callgrind_annotate.")
  var profiles: String?

  func run() throws {
    let scenarios = Self.scenarios.compactMap { Scenario(argument: $0) }
    let directory = profiles ?? NSTemporaryDirectory() + "data-path-driver-\(getpid())"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { if profiles == nil { try? FileManager.default.removeItem(atPath: directory) } }
    let counted = try InstructionProfile.count(
      scenarios, rounds: rounds, depth: 64, directory: directory)
    let names = scenarios.map(\.description)
    let recorded = try readRecord(isNeeded: !write)
    var complaints: [String] = []
    print("recorded  counted  change  libraries  scenario")
    for (name, profile) in zip(names, counted) {
      let old = recorded[name]
      let change = old.map { String(format: "%+.1f%%", (profile.ours / $0 - 1) * 100) } ?? "new"
      print(
        Self.columns(
          [old.map(Self.number) ?? "-", Self.number(profile.ours), change], [8, 7, 6]),
        Self.columns([Self.number(profile.libraries)], [9]), name, separator: "  ")
      complaints += complaint(name, profile, old)
    }
    if write {
      let gone = recorded.keys.filter { !names.contains($0) }.sorted()
      for name in gone { print("no longer recorded: \(name)") }
      try writeRecord(zip(names, counted.map(\.ours)))
    } else if Set(recorded.keys) != Set(names) {
      complaints.append("\(record) is of other scenarios; record anew: make record-instructions")
    }
    guard complaints.isEmpty else {
      throw DriverError("\n" + complaints.joined(separator: "\n"))
    }
  }

  /// What is wrong with a scenario's figures.
  private func complaint(
    _ name: String, _ profile: InstructionProfile, _ recorded: Double?
  ) -> [String] {
    var complaints: [String] = []
    if profile.allocationCount > 0 {
      complaints.append(
        "\(name): \(profile.allocationCount) allocations in \(rounds * 64) requests, must be 0")
    }
    if profile.runtimeInstructionCount > 0 {
      complaints.append(
        "\(name): \(profile.runtimeInstructionCount) instructions in Swift's runtime, must be 0")
    }
    guard !write, let recorded else { return complaints }
    let figures =
      "\(Self.number(profile.ours)) instructions per request, recorded are "
      + Self.number(recorded)
    if profile.ours > recorded * (1 + Self.upperMargin) {
      complaints.append(
        "\(name): \(figures), and more than 3 % above is a regression; if it is meant: make record-instructions"
      )
    } else if profile.ours < recorded * (1 - Self.lowerMargin) {
      complaints.append(
        "\(name): \(figures), more than 5 % below: keep it that way: make record-instructions")
    }
    return complaints
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  private static func columns(_ texts: [String], _ widths: [Int]) -> String {
    zip(texts, widths).map { text, width in
      String(repeating: " ", count: max(0, width - text.count)) + text
    }.joined(separator: "  ")
  }

  // MARK: The record

  private struct Record: Codable {
    var instructionsPerRequest: [String: Double]
  }

  private func readRecord(isNeeded: Bool) throws -> [String: Double] {
    guard let data = FileManager.default.contents(atPath: record) else {
      if isNeeded { throw DriverError("\(record) cannot be read") }
      return [:]
    }
    return try JSONDecoder().decode(Record.self, from: data).instructionsPerRequest
  }

  private func writeRecord(_ figures: some Sequence<(String, Double)>) throws {
    let rounded = figures.map { ($0, ($1 * 10).rounded() / 10) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    let data = try encoder.encode(
      Record(instructionsPerRequest: Dictionary(uniqueKeysWithValues: rounded)))
    try (data + Data("\n".utf8)).write(to: URL(fileURLWithPath: record), options: .atomic)
  }
}
