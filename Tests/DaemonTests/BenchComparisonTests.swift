import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@testable import VhostCryptoTool

extension TheDaemon {
  /// Speeds are not judged here, whatever the machine does meanwhile: what is tested is that every side is verified,
  /// and that what is reported follows from the samples.
  @Suite("vhost-crypto bench with something to compare")
  struct BenchComparisonTests {
    /// What is looked at in a line of `--json`, of either kind.
    private struct Line: Decodable {
      var type: String
      var operation: String
      var byteCount: Int
      var verified: UInt64
      var compared: UInt64
      // A sample's.
      var round: Int?
      var side: String?
      var requestsPerSecond: Double?
      var engine: String?
      var processorShare: Double?
      // A comparison's.
      var rounds: Int?
      var roundsInAll: Int?
      var unsteadyRounds: Int?
      var deviceToAgainst: Spread?
      var deviceToRaw: Spread?
      var lineNanoseconds: Double?
    }

    private func bench(_ arguments: [String]) throws -> [Line] {
      let result = try FinishedProgram.run(
        "vhost-crypto", ["bench", "--json", "--seconds=0.05", "--samples=3"] + arguments,
        milliseconds: 60000)
      #expect(result.status == .status(0), "\(result.errorOutput)")
      #expect(result.errorOutput == "")
      let lines = try result.jsonLines(Line.self)
      for line in lines { #expect(line.verified == line.compared && line.compared > 0, "\(line)") }
      return lines
    }

    /// The ratios of each round, from the samples.
    private func ratios(_ samples: [Line], to side: String) -> [Double] {
      Set(samples.compactMap(\.round)).compactMap { round in
        let speeds = samples.filter { $0.round == round }.reduce(into: [String: Double]()) {
          $0[$1.side ?? ""] = $1.requestsPerSecond
        }
        guard let device = speeds["device"], let other = speeds[side] else { return nil }
        return device / other
      }
    }

    @Test func aDaemonAgainstItselfAndItsEngines() throws {
      let daemon = try DaemonProcess()
      let lines = try bench([
        "--socket-path=\(daemon.socketPath)", "--against=\(daemon.socketPath)", "--raw",
        "--against-sessions=message", "--size=64,4KiB",
      ])
      for size in [64, 4096] {
        let samples = lines.filter { $0.type == "sample" && $0.byteCount == size }
        // The order turns round with every round.
        #expect(
          samples.compactMap(\.side) == [
            "device", "against", "raw", "raw", "against", "device", "device", "against", "raw",
          ])
        #expect(samples.compactMap(\.round) == [0, 0, 0, 1, 1, 1, 2, 2, 2])
        #expect(samples.allSatisfy { ($0.requestsPerSecond ?? 0) > 0 })
        for sample in samples where sample.side != "raw" {
          #expect((0.0...1.0).contains(sample.processorShare ?? -1))
        }
        #expect(samples.filter { $0.side == "raw" }.allSatisfy { $0.engine != nil })
        let results = lines.filter { $0.type == "comparison" && $0.byteCount == size }
        #expect(results.count == 1)
        let result = try #require(results.first)
        #expect(result.rounds == 3 && result.roundsInAll == 3 && result.unsteadyRounds == 0)
        #expect(result.lineNanoseconds == nil)
        #expect(result.deviceToAgainst == Spread(ratios(samples, to: "against")))
        #expect(result.deviceToRaw == Spread(ratios(samples, to: "raw")))
        #expect(result.compared == samples.reduce(0) { $0 + $1.compared })
      }
    }

    @Test(arguments: ["opcode-first", "without-opcode", "current"])
    func otherBackendsWaysWork(messageLayout: String) throws {
      let daemon = try DaemonProcess()
      let lines = try bench([
        "--socket-path=\(daemon.socketPath)", "--against=\(daemon.socketPath)", "--fixed-entries",
        "--sessions=message", "--message-layout=\(messageLayout)",
        "--op=aes-128-cbc-encrypt,aes-128-cbc-hmac-sha1-encrypt", "--depth=16",
      ])
      #expect(lines.filter { $0.type == "comparison" }.count == 2)
    }

    @Test(arguments: ["openssl", "ipsec-mb"])
    func everyKindOfOperationIsRightInThisProcess(engine: String) throws {
      let daemon = try DaemonProcess()
      let operations = [
        "aes-256-cbc-decrypt", "3des-cbc-encrypt", "sha256", "hmac-sha256", "gmac-aes-128",
        "aes-128-gcm-encrypt", "aes-128-gcm-decrypt", "aes-256-ccm-encrypt",
        "aes-128-cbc-hmac-sha1-encrypt", "aes-128-cbc-hmac-sha256-decrypt",
      ]
      let lines = try bench([
        "--socket-path=\(daemon.socketPath)", "--raw", "--raw-engine=\(engine)", "--samples=1",
        "--op=\(operations.joined(separator: ","))", "--size=1024",
      ])
      let raw = lines.filter { $0.side == "raw" }
      #expect(raw.map(\.operation) == operations)
      #expect(raw.allSatisfy { $0.engine == engine })
    }

    @Test func processorsThatMoveAreToldOf() throws {
      guard ProcessInfo.processInfo.activeProcessorCount > 1 else { return }
      let daemon = try DaemonProcess()
      let result = try FinishedProgram.run(
        "vhost-crypto",
        [
          "bench", "--json", "--socket-path=\(daemon.socketPath)", "--raw", "--cpu=0",
          "--backend-cpu=1", "--samples=2", "--seconds=0.05",
        ])
      // Whether the distance held is the machine's affair; 75 means that it never did.
      #expect(result.status == .status(0) || result.status == .status(75), "\(result.errorOutput)")
      let lines = try result.jsonLines(Line.self)
      let results = lines.filter { $0.type == "comparison" }
      let result0 = try #require(results.first)
      let steady = results.reduce(0) { $0 + ($1.rounds ?? 0) }
      #expect(steady + (result0.unsteadyRounds ?? 0) == result0.roundsInAll)
      #expect((steady == 0) == (result.status == .status(75)))
      for line in results where line.rounds != 0 { #expect((line.lineNanoseconds ?? 0) > 0) }
    }

    @Test func theTableHasRatios() throws {
      let daemon = try DaemonProcess()
      let result = try FinishedProgram.run(
        "vhost-crypto",
        [
          "bench", "--socket-path=\(daemon.socketPath)", "--against=\(daemon.socketPath)",
          "--seconds=0.05", "--samples=1",
        ])
      #expect(result.status == .status(0), "\(result.errorOutput)")
      let lines = result.output.split(separator: "\n")
      #expect(lines.count == 2)
      for word in ["line ns", "rounds", "against", "ratio", "q1-q3", "dev/raw", "verified"] {
        #expect(lines.first?.contains(word) == true, "\(word)")
      }
      #expect(lines.last?.contains(" 1/1 ") == true)
    }

    // MARK: Mistakes

    @Test(
      arguments: [
        ["--samples=0"], ["--against-sessions=message"], ["--against-message-layout=current"],
        ["--against=/tmp/x", "--against-sessions=odd"],
        ["--against=/tmp/x", "--against-message-layout=odd"], ["--message-layout=odd"],
        ["--raw-engine=openssl"], ["--raw", "--raw-engine=none"], ["--backend-cpu=1"],
        ["--cpu=1", "--backend-cpu=1"], ["--cpu=0", "--backend-cpu=-1"],
        ["--fixed-entries", "--depth=48"], ["--fixed-entries", "--direct"],
      ])
    func wrongFlagsAreOneLineAndStatus64(arguments: [String]) throws {
      try FinishedProgram.run(
        "vhost-crypto", ["bench", "--socket-path=/tmp/no-such-daemon.sock"] + arguments
      ).expectComplaint(64, from: "vhost-crypto")
    }

    @Test func aMissingSecondBackendIsStatus69() throws {
      let daemon = try DaemonProcess()
      let result = try FinishedProgram.run(
        "vhost-crypto",
        [
          "bench", "--json", "--socket-path=\(daemon.socketPath)", "--against=/tmp/no-such.sock",
          "--seconds=0.05",
        ])
      #expect(result.status == .status(69))
      #expect(result.errorOutput.contains("--against /tmp/no-such.sock"))
    }

    // MARK: Rounds

    @Test func spreadsHaveQuartiles() {
      let spread = Spread([5, 1, 4, 2, 3])
      #expect(spread.median == 3 && spread.lowerQuartile == 2 && spread.upperQuartile == 4)
      #expect(spread.least == 1 && spread.most == 5)
      #expect(Spread([1, 2]).median == 1.5)
      #expect(Spread([7]) == Spread([7, 7, 7]))
    }

    @Test func distancesAreNeverMixed() throws {
      var distances = [
        // Near; gone far in the middle; far; too busy to tell; near again.
        60.0, 62, 61, 60, 62, 500, 480, 510, 490, 60, nil, 60, 66, 70, 64,
      ].makeIterator()
      var rounds: [BenchRound] = []
      for _ in 0..<5 {
        var round = BenchRound()
        for side in [BenchSide.device, .against] {
          round.samples.append(
            BenchSample(side: side, requestsPerSecond: 1, verified: 1, compared: 1))
        }
        for _ in 0..<3 { round.lines.append(distances.next() ?? nil) }
        rounds.append(round)
      }
      #expect(rounds.map(\.isSteady) == [true, false, true, false, true])
      #expect(BenchComparison.regimes(rounds).map { $0.map(\.line) } == [[61, 66], [490]])
    }
  }
}
