// DocumentationTests: what the documents say is held against the programs: their commands are run, and every message of
// the sources is explained.

import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@Suite("The documents", .serialized)
enum TheDocuments {}

extension TheDocuments {
  static let files: [String] = {
    let folder = ScratchHost.sourceTree + "/docs"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return ["README.md"] + names.filter { $0.hasSuffix(".md") }.sorted().map { "docs/" + $0 }
  }()

  static func text(_ file: String) throws -> String {
    try String(contentsOfFile: "\(ScratchHost.sourceTree)/\(file)", encoding: .utf8)
  }

  static let blocks: [ConsoleBlock] = files.flatMap { file in
    (try? text(file)).map { ConsoleBlock.all(in: $0, file: file) } ?? []
  }

  @Suite struct Commands {
    /// The part of all commands that is run today; a new one that cannot be run has to be weighed against it.
    private static let leastShare = 0.42

    @Test(arguments: TheDocuments.files) func commandsDoWhatTheDocumentSays(file: String) throws {
      for block in TheDocuments.blocks where block.file == file && block.reason == nil {
        try Self.run(block)
      }
    }

    private static func run(_ block: ConsoleBlock) throws {
      let host = try ScratchHost()
      if block.words.contains("installed") { try host.install() }
      if block.words.contains("daemon") { try host.startDaemon() }
      for command in block.commands {
        let place = "\(block.file):\(block.line): \(command.text)"
        let result =
          try block.words.contains("serves") ? host.serve(command.text) : host.run(command.text)
        #expect(result.status == .status(0), "\(place)\n\(result.errors)")
        guard !command.output.isEmpty, !block.words.contains("any-output") else { continue }
        let printed = (result.output + result.errors).split(
          separator: "\n", omittingEmptySubsequences: false)
        let difference = PrintedText(command.output).difference(
          from: PrintedText(printed.map(String.init)))
        #expect(difference == nil, "\(place)\n\(difference ?? "")")
      }
    }

    @Test func mostCommandsAreRunAndTheOthersHaveAReason() {
      var run = 0
      var all = 0
      for block in TheDocuments.blocks {
        all += block.commands.count
        let known: Set = ["any-output", "daemon", "serves", "installed"]
        #expect(block.words.isSubset(of: known), "\(block.file):\(block.line): \(block.words)")
        #expect(!block.commands.isEmpty, "\(block.file):\(block.line): no command; is it ```text?")
        if let reason = block.reason {
          #expect(reason.count > 5, "\(block.file):\(block.line)")
          print("not run: \(block.file):\(block.line): \(block.commands.count), \(reason)")
        } else {
          run += block.commands.count
        }
      }
      print("\(run) of \(all) commands of the documents are run")
      #expect(Double(run) >= Self.leastShare * Double(all), "\(run) of \(all)")
    }

    /// What cannot be run can still be wrong in its words.
    @Test func targetsAndOptionsExist() throws {
      let makefile = try TheDocuments.text("Makefile")
      let host = try ScratchHost()
      var help: [String: String] = [:]
      for block in TheDocuments.blocks {
        for command in block.commands {
          let place = "\(block.file):\(block.line): \(command.text)"
          let words = command.text.split(separator: "#")[0].split(whereSeparator: \.isWhitespace)
          for (word, next) in zip(words, words.dropFirst()) where word == "make" {
            #expect(makefile.contains("\n\(next):"), "\(place)")
          }
          guard let first = words.first, ["vhost-user-crypto", "vhost-crypto"].contains(first)
          else {
            continue
          }
          let program =
            first == "vhost-crypto" ? words.prefix(2).joined(separator: " ") : String(first)
          if help[program] == nil { help[program] = try host.run("\(program) --help").output }
          for match in command.text.prefix(while: { $0 != "|" && $0 != "#" }).matches(
            of: /--[a-z-]+/)
          {
            #expect(help[program]?.contains(match.0) == true, "\(match.0) of \(place)")
          }
        }
      }
    }

    @Test func linksLeadSomewhere() throws {
      for file in TheDocuments.files {
        let folder = URL(fileURLWithPath: "\(ScratchHost.sourceTree)/\(file)")
          .deletingLastPathComponent()
        for match in try TheDocuments.text(file).matches(of: /\]\(([^)#\s]*)(#[^)\s]*)?\)/) {
          let (target, anchor) = (String(match.1), match.2.map { String($0.dropFirst()) })
          if target.hasPrefix("http") { continue }
          let path =
            target.isEmpty
            ? "\(ScratchHost.sourceTree)/\(file)" : folder.appendingPathComponent(target).path
          #expect(FileManager.default.fileExists(atPath: path), "\(file): \(match.0)")
          guard let anchor, path.hasSuffix(".md") else { continue }
          let headings = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            .filter {
              $0.hasPrefix("#")
            }
          #expect(headings.map(Self.anchor).contains(anchor), "\(file): \(match.0)")
        }
      }
    }

    private static func anchor(_ heading: Substring) -> String {
      heading.drop { $0 == "#" || $0 == " " }.lowercased()
        .filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
        .replacing(" ", with: "-")
    }
  }
}
