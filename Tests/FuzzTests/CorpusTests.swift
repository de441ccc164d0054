// FuzzTests: what fuzzing has found, run without fuzzing.

import Foundation
import FuzzEntries
import Testing

@Suite("Corpus", .serialized)
struct CorpusTests {
  /// The inputs that fuzzing has kept for a target.
  static func files(_ target: FuzzTarget) throws -> [URL] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fuzz/Corpus/\(target.rawValue)")
    return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      .sorted { $0.path < $1.path }
  }

  @Test(arguments: FuzzTarget.allCases)
  func everyInputIsHandled(_ target: FuzzTarget) throws {
    let entry = try target.entry()
    let files = try Self.files(target)
    #expect(!files.isEmpty)
    for file in files {
      var input = FuzzInput(try Data(contentsOf: file))
      #expect(throws: Never.self, "\(file.lastPathComponent)") { try entry.run(&input) }
    }
  }

  @Test(arguments: FuzzTarget.allCases)
  func everySeedIsHandled(_ target: FuzzTarget) throws {
    let entry = try target.entry()
    for (number, seed) in try target.seeds().enumerated() {
      var input = FuzzInput(seed)
      #expect(throws: Never.self, "seed \(number)") { try entry.run(&input) }
    }
  }
}
