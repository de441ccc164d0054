// fuzz: feeds the entries of FuzzEntries. Built by `make fuzz-smoke` and its like, in a folder of its own, with sanitizers.
//
//   fuzz --list
//   fuzz --write-seeds TARGET FOLDER    where fuzzing begins
//   fuzz --replay TARGET PATH …         files and those of folders, once, without libFuzzer
//   fuzz TARGET [libFuzzer's options and folders]

import Foundation
import FuzzEntries

#if LIBFUZZER
  import CFuzzDriver
#endif

@main
enum Fuzz {
  /// The entry that is fed; libFuzzer's callback can carry nothing.
  private nonisolated(unsafe) static var entry: (any FuzzEntry)?

  static func main() throws {
    let words = Array(CommandLine.arguments.dropFirst())
    switch words.first {
    case "--list": for target in FuzzTarget.allCases { print(target.rawValue) }
    case "--write-seeds" where words.count == 3: try writeSeeds(target(words[1]), to: words[2])
    case "--replay" where words.count >= 2: try replay(target(words[1]), words.dropFirst(2))
    default: try fuzz(words)
    }
  }

  private static func target(_ word: String) throws -> FuzzTarget {
    guard let target = FuzzTarget(rawValue: word) else {
      throw FuzzError(
        "\(word) is none of " + FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return target
  }

  private static func writeSeeds(_ target: FuzzTarget, to folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (number, seed) in try target.seeds().enumerated() {
      try Data(seed).write(to: URL(filePath: "\(folder)/seed-\(number)"))
    }
  }

  private static func replay(_ target: FuzzTarget, _ paths: ArraySlice<String>) throws {
    let entry = try target.entry()
    var files: [String] = []
    for path in paths {
      let names = try? FileManager.default.contentsOfDirectory(atPath: path)
      files += names?.map { "\(path)/\($0)" } ?? [path]
    }
    for file in files {
      var input = FuzzInput(try Data(contentsOf: URL(filePath: file)))
      try entry.run(&input)
    }
    print("\(target.rawValue): \(files.count) inputs")
  }

  #if LIBFUZZER
    /// libFuzzer starts this program again for a part of its work, without the target's name: the environment keeps it.
    private static let variable = "FUZZ_TARGET"

    private static func fuzz(_ words: [String]) throws {
      var arguments = CommandLine.arguments
      if let first = words.first, FuzzTarget(rawValue: first) != nil {
        setenv(variable, first, 1)
        arguments.remove(at: 1)
      }
      entry = try target(ProcessInfo.processInfo.environment[variable] ?? words.first ?? "").entry()
      var count = Int32(arguments.count)
      var pointers = arguments.map { strdup($0) } + [nil]
      let status = pointers.withUnsafeMutableBufferPointer { buffer in
        var start = buffer.baseAddress
        return LLVMFuzzerRunDriver(&count, &start) { data, count in
          Fuzz.run(UnsafeBufferPointer(start: data, count: count))
          return 0
        }
      }
      exit(status)
    }

    private static func run(_ bytes: UnsafeBufferPointer<UInt8>) {
      var input = FuzzInput(bytes)
      do {
        try entry?.run(&input)
      } catch {
        // libFuzzer sees the signal, and writes the input down.
        FileHandle.standardError.write(Data("found: \(error)\n".utf8))
        abort()
      }
    }
  #else
    private static func fuzz(_ words: [String]) throws {
      throw FuzzError("this build only replays")
    }
  #endif
}

private struct FuzzError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
