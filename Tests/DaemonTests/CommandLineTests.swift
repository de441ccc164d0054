import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("The command line")
  struct CommandLineTests {
    let directory: TemporaryDirectory
    init() throws { directory = try TemporaryDirectory() }

    private func run(_ arguments: String...) throws -> FinishedProgram {
      try FinishedProgram.run("vhost-user-crypto", arguments)
    }

    private var entries: [String] {
      get throws { try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() }
    }

    // MARK: What it says about itself

    @Test func capabilitiesAreJSONOfTypeCrypto() throws {
      let result = try run("--print-capabilities")
      #expect(result.status == .status(0))
      #expect(result.errorOutput == "")
      let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
      #expect((object as? [String: Any])?["type"] as? String == "crypto")
    }

    @Test func versionAndHelpTeach() throws {
      let version = try run("--version")
      #expect(version.status == .status(0))
      #expect(version.output.hasPrefix("vhost-user-crypto "))
      let help = try run("--help")
      #expect(help.status == .status(0))
      for word in [
        "--socket-path", "--fd", "--client", "--config", "--stats-socket", "--log-level",
        "--log-format", "--print-capabilities", "--check-config", "--print-config",
        "cryptodev-vhost-user", "memory-backend-memfd", "share=on",
      ] { #expect(help.output.contains(word), "\(word)") }
    }

    /// Bits 1 to 4 say opposite things in the drafts; bit 0 is REVISION_1 in one of them only.
    @Test func explainKnowsTheDialects() throws {
      func explain(_ arguments: String...) throws -> String {
        let result = try FinishedProgram.run("vhost-crypto", ["explain"] + arguments)
        #expect(result.status == .status(0))
        return result.output
      }
      let usual = "CRYPTO_REVISION_1 (bit 0), CRYPTO_AEAD_STATELESS_MODE (bit 4)"
      #expect(try explain("features", "0x11") == "features 0x11: \(usual)\n")
      #expect(try explain("--dialect=virtio-1.3", "features=17") == "features 0x11: \(usual)\n")
      for dialect in ["draft-v15", "rfc-asym-v3"] {
        #expect(
          try explain("--dialect", dialect, "features", "0x11")
            == "features 0x11: unknown (bit 0), CRYPTO_AEAD_SESSION_MODE (bit 4)\n")
      }
      for (dialect, meaning) in [
        ("virtio-1.3", "VIRTIO_CRYPTO_AKCIPHER_SIGN"), ("draft-v15", "no opcode of virtio-crypto"),
        ("rfc-asym-v3", "VIRTIO_CRYPTO_ASYM_ENCRYPT"),
      ] {
        #expect(
          try explain("--dialect", dialect, "opcode", "0x402") == "opcode 0x402: \(meaning)\n")
      }
      #expect(try explain("asym_algo", "0x24") == "asym_algo 0x24: dsa (bit 2), ecdh (bit 5)\n")
      let wrong = try FinishedProgram.run("vhost-crypto", ["explain", "--dialect=v15", "1"])
      #expect(wrong.status == .status(64) && wrong.errorOutput.contains("draft-v15"))
    }

    /// The file may name them in every dialect; what comes of it is said.
    @Test func checksSayWhichDialectAnAlgorithmNeeds() throws {
      func checks(_ dialect: String) throws -> [String] {
        let path = try directory.write(
          "version: 1\ndevice: { dialect: \(dialect) }\n"
            + "algorithms: { akcipher: { dsa: { engine: openssl } } }\n", to: "dialect.yaml")
        return [
          try run("--config=\(path)", "--check-config").output,
          try FinishedProgram.run("vhost-crypto", ["check", path]).output,
        ]
      }
      let needs = "only in the dialect rfc-asym-v3"
      for output in try checks("virtio-1.3") {
        for name in ["dsa", "dh", "ecdh"] {
          #expect(
            output.split(separator: "\n").contains { $0.contains(name) && $0.hasSuffix(needs) },
            "\(name) in \(output)")
        }
        #expect(output.contains("akcipher_algo 0x6") && !output.contains("asym_algo"))
      }
      for output in try checks("draft-v15") {
        #expect(output.contains(needs) && output.contains("not in the dialect draft-v15"))
      }
      for output in try checks("rfc-asym-v3") {
        #expect(!output.contains(needs) && output.contains("0x3e"), "\(output)")
      }
    }

    // MARK: Wrong words

    @Test(
      arguments: [
        (["--bogus"], "--bogus"), (["--socket-path"], "--socket-path"),
        (["--socket-path="], "--socket-path"), (["--fd=abc"], "abc"),
        (["--fd", "99999999999"], "99999999999"), (["word"], "word"), ([], "--socket-path"),
        (["--client"], "--socket-path"), (["--fd=77"], "77"), (["--fd=-1"], "-1"),
        (["--fd=1"], "--fd 1"), (["--fd=0", "--socket-path=/tmp/x"], "exclude"),
        (["--fd=0", "--client"], "exclude"),
        (["--socket-path=/tmp/x", "--log-level=loud"], "loud"),
        (["--socket-path=/tmp/x", "--log-format=xml"], "xml"),
        (["--socket-path=/tmp/x", "--socket-path=/tmp/x"], "twice"),
        (["--socket-path=/tmp/x", "--stats-socket=/tmp/x"], "twice"),
      ])
    func wrongArgumentsAreOneLineAndStatus64(arguments: [String], word: String) throws {
      let result = try FinishedProgram.run("vhost-user-crypto", arguments)
      result.expectComplaint(64, word, from: "vhost-user-crypto: ")
      #expect(result.errorOutput.contains(";") || word == "--fd 1")
    }

    @Test(
      arguments: [
        ["--bogus"], ["frobnicate"], ["stats", "--bogus"], ["bench", "--depth", "many"],
        ["bench", "--depth"],
      ])
    func wrongArgumentsOfTheToolAreOneLineAndStatus64(arguments: [String]) throws {
      try FinishedProgram.run("vhost-crypto", arguments)
        .expectComplaint(64, "; see vhost-crypto", from: "vhost-crypto: ")
    }

    // MARK: The capability file

    @Test(
      "A mistake in the capability file is one line with its place, and status 78",
      arguments: [
        ("devise: {}", "2:1: unknown key \"devise\"; did you mean \"device\"?"),
        ("device:\n\tqueues: 4", "3:1: this is not YAML: "),
        (
          "device: { queues: 256 }",
          "2:19: device.queues is \"256\"; write a whole number from 1 to 255"
        ),
        (
          "device: { queue-size: 100 }",
          "2:23: device.queue-size is \"100\"; write a power of two from 16 to 32768"
        ),
        (
          "device: { max-request: 2MB }",
          "2:24: device.max-request is \"2MB\"; write a size from 4KiB to 64MiB; for example 2MiB"
        ),
        (
          "device: { limits: { operations-per-second: -1 } }",
          "2:44: device.limits.operations-per-second is \"-1\"; "
            + "write a whole number, such as 10000 or 10k, or 0 for unlimited"
        ),
        (
          "device: { limits: { byte-per-second: 1 } }",
          "2:21: unknown key \"byte-per-second\" in device.limits; did you mean \"bytes-per-second\"?"
        ),
        (
          "algorithms: { cipher: { aes_cbc: off } }",
          "2:25: unknown cipher algorithm \"aes_cbc\"; did you mean \"aes-cbc\"?"
        ),
        (
          "algorithms: { cipher: { aes-cbc: { engine: [openssl3] } } }",
          "2:45: algorithms.cipher.aes-cbc.engine[0] is \"openssl3\"; did you mean \"openssl\"?"
        ),
        ("log: { level: warn }", "2:15: log.level is \"warn\"; did you mean \"warning\"?"),
        ("queues: 4", "2:1: unknown key \"queues\"; it belongs in device"),
      ])
    func likelyMistakesOfAFile(text: String, complaint: String) throws {
      let directory = try TemporaryDirectory()
      let path = try directory.write("version: 1\n\(text)\n", to: "c.yaml")
      for arguments in [["--check-config"], ["--socket-path=\(directory.file("s"))"]] {
        try FinishedProgram.run("vhost-user-crypto", ["--config=\(path)"] + arguments)
          .expectComplaint(78, "\(path):\(complaint)")
      }
    }

    @Test func mistakesAreToldWithTheirPlaceAndStatus78() throws {
      let path = try directory.write("version: 1\ndevice:\n  quues: 3\n", to: "bad.yaml")
      for arguments in [["--check-config"], ["--print-config"], ["--socket-path=/tmp/unused"]] {
        try FinishedProgram.run("vhost-user-crypto", ["--config=\(path)"] + arguments)
          .expectComplaint(78, "\(path):3:3: ", "did you mean \"queues\"?")
      }
      try FinishedProgram.run("vhost-crypto", ["check", path])
        .expectComplaint(78, "did you mean \"queues\"?", from: "\(path):3:3: ")
      try run("--config=\(directory.file("none"))", "--check-config").expectComplaint(78, "none")
    }

    @Test func printedConfigurationIsEffectiveAndReadsBackTheSame() throws {
      let text = """
        version: 1
        device: { queues: 3, max-request: 64KiB, max-sessions: 100 }
        workers: { poll: { mode: event } }
        algorithms: { cipher: { arc4: off } }
        """
      let path = try directory.write(text, to: "some.yaml")
      let first = try run(
        "--config=\(path)", "--print-config", "--socket-path=/tmp/vm7.sock",
        "--stats-socket=/tmp/s7", "--log-level=debug", "--log-format=json")
      #expect(first.status == .status(0))
      for line in [
        "queues: 3", "max-sessions: 100", "mode: event", "/tmp/vm7.sock", "/tmp/s7",
        "level: debug", "format: json", "queue-size: 1024", "spin-us: 50",
      ] { #expect(first.output.contains(line), "\(line) in \(first.output)") }
      let printed = try directory.write(first.output, to: "printed.yaml")
      let second = try run("--config=\(printed)", "--print-config")
      #expect(second.status == .status(0))
      #expect(second.output == first.output)
    }

    @Test func checkingSaysWhatWouldBeAdvertised() throws {
      let path = try directory.write(
        "version: 1\nalgorithms: { cipher: { default: off, aes-cbc: { engine: [openssl] } } }\n",
        to: "one.yaml")
      let result = try run("--config=\(path)", "--check-config")
      #expect(result.status == .status(0))
      #expect(result.output.contains("cipher_algo 0x8\n"))
      #expect(result.output.contains("cipher aes-cbc: openssl"))
      #expect(!result.output.contains("aes-ctr"))
    }

    // MARK: Sockets that cannot be made

    /// A path, the status and a word of the complaint.
    private func badPaths() throws -> [(path: String, status: Int32, word: String)] {
      _ = try directory.write("precious", to: "file")
      let long = directory.file(String(repeating: "x", count: 120))
      return [
        (directory.file("file"), 73, "file"), (directory.file("none/x"), 73, "none"),
        (directory.path, 73, directory.path), (long, 64, "107"),
      ]
    }

    @Test func unusableSocketPathsLeaveNothingBehind() throws {
      let good = directory.file("good.sock")
      for bad in try badPaths() {
        for option in ["--socket-path", "--stats-socket"] {
          let result = try run("--socket-path=\(good)", "\(option)=\(bad.path)")
          result.expectComplaint(bad.status, bad.word)
          #expect(try entries == ["file"], "\(option) \(bad.path)")
        }
        // The other order: what is refused comes first.
        let result = try run("--socket-path=\(bad.path)", "--socket-path=\(good)")
        result.expectComplaint(bad.status, bad.word)
        #expect(try entries == ["file"])
      }
      #expect(try String(contentsOfFile: directory.file("file"), encoding: .utf8) == "precious")
    }

    @Test func socketsOfAnotherDaemonAreLeftAlone() throws {
      let daemon = try DaemonProcess.withStatistics()
      let good = directory.file("good.sock")
      for taken in [daemon.socketPath, daemon.statsPath] {
        for option in ["--socket-path", "--stats-socket"] {
          try run("--socket-path=\(good)", "\(option)=\(taken)").expectComplaint(73, taken)
          #expect(try entries == [])
        }
      }
      try daemon.client().expectService()
      #expect(try daemon.snapshot().devices.count == 1)
      #expect(try daemon.terminate() == .status(0))
    }

    // MARK: The log

    @Test func everyLineOfTheJSONLogParses() throws {
      let daemon = try DaemonProcess(arguments: ["--log-format=json", "--log-level=trace"])
      for _ in 0..<2 { try daemon.client().expectService() }
      #expect(try daemon.terminate() == .status(0))
      let lines = daemon.standardError.split(separator: "\n")
      #expect(lines.count > 5)
      var messages: Set<String> = []
      for line in lines {
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        let fields = try #require(object as? [String: String], "\(line)")
        for name in ["time", "level", "label", "message"] { #expect(fields[name] != nil) }
        messages.insert(fields["message"] ?? "")
      }
      #expect(messages.isSuperset(of: ["engine", "listening"]), "\(messages)")
    }

    @Test func logLevelDecidesHowMuchIsSaid() throws {
      let quiet = try DaemonProcess(arguments: ["--log-level=error"])
      let loud = try DaemonProcess(arguments: ["--log-level=debug"])
      for daemon in [quiet, loud] {
        try daemon.client().expectService()
        #expect(try daemon.terminate() == .status(0))
      }
      #expect(quiet.standardError == "")
      #expect(loud.standardError.contains(" debug "))
      #expect(loud.standardError.contains(" info "))
    }
  }
}
