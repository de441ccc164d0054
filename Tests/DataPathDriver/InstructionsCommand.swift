import ArgumentParser
import Foundation

/// Counts instructions per request, and compares them with those on record.
struct InstructionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "instructions",
    abstract: "Counts our own instructions per request with Callgrind, against a record.")

  /// Rings and their descriptors with an engine that does nothing, with what restarts and migrations cost, and every operation
  /// with the engines.
  private static let scenarios =
    [
      ":split", ":split:direct", ":packed", ":packed:direct", ":split-in-order",
      ":packed-in-order", ":split:recorded", ":packed:recorded", ":packed:direct:recorded",
      ":split-in-order:recorded", ":packed-in-order:recorded", ":split:logged", ":packed:logged",
      ":split:in-place:recorded", ":packed:in-place:recorded",
    ].map { "aes-128-cbc-encrypt:null" + $0 }
    + ["ipsec-mb", "openssl"].flatMap { engine in
      Scenario.operationNames.map { "\($0):\(engine)" }
    }

  /// How much more is too much, and how much less says that the record is old.
  ///
  /// The same program always counts the same, but for a few instructions in a million. The margin is for another patch of
  /// the compiler, and for what merely moves: 3 % are some 50 instructions, less than another copy or another look at each
  /// descriptor takes.
  private static let upperPercentage = 3.0
  private static let lowerPercentage = 5.0

  /// How much a record of requests in flight, and a log of written pages, may add to the same without; requests in place are
  /// saved with a record, which is another matter.
  ///
  /// In time that is less (docs/reliability.md): what they add are stores that nothing waits for.
  private static let additions = [(":recorded", 3.5), (":logged", 4.5)]

  @Argument(help: "The record: a JSON file of instructions per request, by scenario.")
  var record: String

  @Flag(help: "Write what is counted into the record, and say what is different.")
  var write = false

  @Option(help: "How often the ring is filled.")
  var rounds = 100

  @Option(help: "A directory where Callgrind's profiles are left, for callgrind_annotate.")
  var profiles: String?

  func run() throws {
    let scenarios = try Self.scenarios.map { words in
      guard let scenario = Scenario(argument: words) else {
        throw DriverError("this build cannot do \(words)")
      }
      return scenario
    }
    let directory = profiles ?? NSTemporaryDirectory() + "data-path-driver-\(getpid())"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { if profiles == nil { try? FileManager.default.removeItem(atPath: directory) } }
    let counted = try InstructionProfile.count(
      scenarios, rounds: rounds, depth: 64, directory: directory)
    let names = scenarios.map(\.description)
    let recorded = try readRecord(isNeeded: !write)
    var complaints: [String] = []
    print("recorded  counted  change  calls  libraries  scenario")
    for (name, profile) in zip(names, counted) {
      let old = recorded[name]
      let change = old.map { String(format: "%+.1f%%", (profile.ours / $0.instructions - 1) * 100) }
      print(
        Self.column(old.map { Self.number($0.instructions) } ?? "-", 8),
        Self.column(Self.number(profile.ours), 7), Self.column(change ?? "new", 6),
        Self.column(Self.number(profile.libraryCalls), 5),
        Self.column(Self.number(profile.libraries), 9), name, separator: "  ")
      complaints += complaint(name, profile, old)
    }
    complaints += Self.additionsThatAreTooLarge(
      Dictionary(uniqueKeysWithValues: zip(names, counted.map(\.ours))))
    let gone = recorded.keys.filter { !names.contains($0) }.sorted()
    if !write, recorded.count != names.count || !gone.isEmpty {
      complaints.append("\(record) is of other scenarios; record anew: make record-instructions")
    }
    guard complaints.isEmpty else {
      throw DriverError("\n" + complaints.joined(separator: "\n"))
    }
    guard write else { return }
    for name in gone { print("no longer recorded: \(name)") }
    try writeRecord(
      zip(names, counted).map { name, profile in
        let figures = Figures(profile)
        // What is the same stays the same, to the last digit.
        guard let old = recorded[name], abs(old.instructions - figures.instructions) < 0.5,
          old.libraryCalls == figures.libraryCalls
        else { return (name, figures) }
        return (name, old)
      })
  }

  private static func additionsThatAreTooLarge(_ instructions: [String: Double]) -> [String] {
    instructions.sorted { $0.key < $1.key }.flatMap { name, count in
      additions.compactMap { suffix, percentage in
        guard name.hasSuffix(suffix), !name.contains(":in-place"),
          let plain = instructions[String(name.dropLast(suffix.count))],
          count > plain * (1 + percentage / 100)
        else { return nil }
        return "\(name): \(number(count)) instructions per request, without it "
          + "\(number(plain)): over \(percentage) % more"
      }
    }
  }

  /// What is wrong with a scenario's figures.
  private func complaint(
    _ name: String, _ profile: InstructionProfile, _ recorded: Figures?
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
      + Self.number(recorded.instructions)
    if profile.ours > recorded.instructions * (1 + Self.upperPercentage / 100) {
      complaints.append(
        "\(name): \(figures): a regression (over \(Self.upperPercentage) %); if it is meant: "
          + "make record-instructions")
    } else if profile.ours < recorded.instructions * (1 - Self.lowerPercentage / 100) {
      complaints.append(
        "\(name): \(figures): better (over \(Self.lowerPercentage) %); to keep it that way: "
          + "make record-instructions")
    }
    // One more for each request, or only for some of them.
    if profile.libraryCalls > recorded.libraryCalls + 0.5 {
      complaints.append(
        "\(name): \(Self.number(profile.libraryCalls)) calls of libraries per request, recorded are "
          + "\(Self.number(recorded.libraryCalls)): a regression; if it is meant: "
          + "make record-instructions")
    }
    return complaints
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  private static func column(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  // MARK: The record

  /// Per request, of our own code.
  private struct Figures: Codable {
    var instructions: Double
    var libraryCalls: Double

    init(_ profile: InstructionProfile) {
      instructions = (profile.ours * 10).rounded() / 10
      libraryCalls = (profile.libraryCalls * 10).rounded() / 10
    }
  }

  private func readRecord(isNeeded: Bool) throws -> [String: Figures] {
    guard let data = FileManager.default.contents(atPath: record) else {
      if isNeeded { throw DriverError("\(record) cannot be read") }
      return [:]
    }
    return try JSONDecoder().decode([String: Figures].self, from: data)
  }

  private func writeRecord(_ figures: some Sequence<(String, Figures)>) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    let data = try encoder.encode(Dictionary(uniqueKeysWithValues: figures))
    try (data + Data("\n".utf8)).write(to: URL(fileURLWithPath: record), options: .atomic)
  }
}
