import Foundation
import VhostUserFrontend

/// What Callgrind counted in one scenario's turns.
struct InstructionProfile {
  /// Instructions per request of this program, which is all of our own code.
  var ours: Double
  /// Those of the libraries, of which some choose by the host's processor what they run.
  var libraries: Double
  /// Calls per request from our own code into libraries: what is copied with them is not ours to count, but how often is.
  var libraryCalls: Double
  /// Calls of the allocator, whoever made them.
  var allocationCount: Int
  /// Instructions in Swift's runtime: reference counts, casts, checks of exclusive access.
  var runtimeInstructionCount: Int

  /// Counts all scenarios in one run of Callgrind, whose profiles are left in `directory`.
  static func count(
    _ scenarios: [Scenario], rounds: Int, depth: Int, directory: String
  ) throws -> [InstructionProfile] {
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let profile = directory + "/callgrind"
    let process = try ChildProcess(
      program: "/usr/bin/env",
      arguments: [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=\(profile)",
        "--toggle-collect=*countedTurn*", "--dump-after=*countedRounds*", program, "time",
        "--without-null", "--rounds=\(rounds)", "--depth=\(depth)",
      ] + scenarios.map(\.description),
      standardOutputPath: directory + "/stdout", standardErrorPath: directory + "/stderr")
    switch process.wait(milliseconds: 600_000) {
    case .status(0): break
    case .status(127): throw DriverError("valgrind is not installed (Debian's package valgrind)")
    case let exit:
      process.send(signal: SIGKILL)
      let text = try String(contentsOfFile: directory + "/stderr", encoding: .utf8)
      throw DriverError(
        "under Callgrind: \(exit.map { "\($0)" } ?? "not at an end after 600 s"): "
          + text.suffix(1000))
    }
    // Of each scenario there are two parts, the first of which is its warm-up.
    return try scenarios.indices.map { index in
      try InstructionProfile(
        path: "\(profile).\(2 * index + 2)", program: program, rounds: rounds, depth: depth)
    }
  }

  private static let allocators: Set<String> = [
    "malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign",
  ]

  /// Reads one part.
  ///
  /// - Throws: when it is not the profile of so many rounds.
  private init(path: String, program: String, rounds: Int, depth: Int) throws {
    var file = CallgrindFile(program: program)
    try file.read(path)
    // A round is one turn of the worker, unless the batch is smaller than the ring's content.
    let turns = file.callCounts.filter { $0.key.contains("countedTurn") }.map(\.value)
    guard turns.count == 1, turns[0] == rounds * ((depth + 63) / 64) else {
      throw DriverError("\(path): \(turns) turns were counted in \(rounds) rounds")
    }
    let requests = Double(rounds * depth)
    let all = file.costs.values.reduce(0, +)
    let own = file.costs[program] ?? 0
    ours = Double(own) / requests
    libraries = Double(all - own) / requests
    libraryCalls = Double(file.libraryCallCount) / requests
    allocationCount = file.callCounts.filter { Self.allocators.contains($0.key) }.values
      .reduce(0, +)
    runtimeInstructionCount = file.costs.filter { $0.key.contains("/libswift") }.values
      .reduce(0, +)
  }
}

/// What the guard wants of Callgrind's file: instructions by object, and calls by function.
///
/// Its format: <https://valgrind.org/docs/manual/cl-format.html>
private struct CallgrindFile {
  let program: String
  /// Instructions by the object that they are in.
  var costs: [String: Int] = [:]
  /// By the function that was called.
  var callCounts: [String: Int] = [:]
  /// From the program into other objects.
  var libraryCallCount = 0
  // A name stands behind its number once, and only the number later.
  private var objects: [Substring: String] = [:]
  private var functions: [Substring: String] = [:]

  init(program: String) { self.program = program }

  mutating func read(_ path: String) throws {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var object = ""
    var callee = ""
    // nil: the caller's.
    var calleeObject: String?
    var isOfCall = false
    for line in text.split(separator: "\n") {
      if line.hasPrefix("ob=") {
        object = try Self.name(line, &objects)
      } else if line.hasPrefix("cob=") {
        calleeObject = try Self.name(line, &objects)
      } else if line.hasPrefix("fn=") {
        _ = try Self.name(line, &functions)
      } else if line.hasPrefix("cfn=") {
        callee = try Self.name(line, &functions)
      } else if line.hasPrefix("calls=") {
        let count = Int(line.dropFirst(6).prefix { $0 != " " }) ?? 0
        callCounts[callee, default: 0] += count
        if object == program, let calleeObject, calleeObject != program {
          libraryCallCount += count
        }
        calleeObject = nil
        isOfCall = true
      } else if let first = line.first, first.isNumber || "+-*".contains(first) {
        // Behind a call comes what the callee took, which has lines of its own.
        if !isOfCall {
          costs[object, default: 0] +=
            line.split(separator: " ").dropFirst().first
            .flatMap { Int($0) } ?? 0
        }
        isOfCall = false
      }
    }
  }

  private static func name(
    _ line: Substring, _ names: inout [Substring: String]
  ) throws -> String {
    let value = line.drop { $0 != "=" }.dropFirst()
    let number = value.prefix { $0 != " " }
    if number.count < value.count { names[number] = String(value.dropFirst(number.count + 1)) }
    guard let name = names[number] else { throw DriverError("no name for '\(line)'") }
    return name
  }
}
