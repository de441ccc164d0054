// TrafficTests: very many random requests through the device, by the traffic-driver.

import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@Suite("Traffic", .serialized)
struct TrafficTests {
  /// How many requests an algorithm gets; fewer where everything is emulated.
  private static let requestCount =
    ProcessInfo.processInfo.environment["VHOST_CRYPTO_TEST_REQUESTS"].flatMap(Int.init) ?? 10_000

  /// Runs the driver to its end; its lines.
  private func drive(_ arguments: [String], seconds: Int) throws -> [String] {
    let directory = try TemporaryDirectory()
    let process = try ChildProcess(
      program: try DaemonProcess.executable("traffic-driver"), arguments: arguments,
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: seconds * 1000)
    if exit == nil { process.send(signal: SIGKILL) }
    let output = DaemonProcess.text(directory.file("out"))
    let complaint = DaemonProcess.text(directory.file("err"))
    #expect(exit == .status(0), "\(arguments.prefix(3)): \(complaint)\n\(output.suffix(500))")
    return output.split(separator: "\n").map(String.init)
  }

  private func seed() -> String { "\(SeededRandom.printed().seed)" }

  /// The number behind `name=`.
  private func number(_ name: String, in line: String) -> Int {
    line.split(separator: " ").first { $0.hasPrefix(name + "=") }
      .flatMap { Int($0.dropFirst(name.count + 1)) } ?? 0
  }

  @Test func enginesAgreeOnRandomRequestsOfEveryAlgorithm() throws {
    let engines = try EngineUnderTest.all()
    let daemons = try engines.map { engine in
      try DaemonProcess(
        arguments: ["--calibration-cache=none"],
        configuration: "version: 1\n" + engine.algorithms)
    }
    let sockets = zip(engines, daemons).map { "\($0.name)=\($1.socketPath)" }
    let lines = try drive(["agree", "\(Self.requestCount)", seed()] + sockets, seconds: 3000)
    #expect(lines.count == CryptoAlgorithm.symmetric.count)
    for (algorithm, line) in zip(CryptoAlgorithm.symmetric, lines) {
      #expect(line.hasPrefix(algorithm.name + ": "))
      let claiming = engines.filter { $0.claims.contains(algorithm) }
      guard !claiming.isEmpty else {
        #expect(line == "\(algorithm.name): no engine")
        continue
      }
      #expect(number("requests", in: line) == Self.requestCount, "\(line)")
      let names = claiming.map(\.name).joined(separator: "+")
      #expect(line.contains("engines=\(names) "), "\(line)")
      // Enciphering, hashing and sealing are computed independently, but for what libcrypto does not have.
      let isElsewhere =
        [.cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3)].contains(algorithm)
        || [.mac(.kasumiF9), .mac(.snow3gUIA2), .mac(.zucEIA3)].contains(algorithm)
        || [.mac(.cbcmacKasumiF9), .mac(.gmacTwofish)].contains(algorithm)
      #expect((number("libcrypto", in: line) > Self.requestCount) != isElsewhere, "\(line)")
    }
    for daemon in daemons { #expect(try daemon.terminate() == .status(0)) }
  }

  /// Algorithms on different engines, some on two by size.
  private func mixedFile(_ second: String) -> String {
    """
    version: 1
    algorithms:
      cipher:
        default: { engine: [openssl, ipsec-mb, kernel] }
        aes-cbc: { engine: [ { openssl: { max-size: 1024 } }, \(second) ] }
        aes-ctr: { engine: [ { \(second): { max-size: 512 } }, openssl ] }
        aes-ecb: { engine: [\(second), openssl] }
      hash: { default: { engine: openssl }, sha1: { engine: \(second) }, sha512: { engine: \(second) } }
      mac:
        default: { engine: [openssl, ipsec-mb, kernel] }
        hmac-sha256: { engine: \(second) }
        hmac-sha1: { engine: openssl }
      aead:
        default: { engine: [openssl] }
        aes-gcm: { engine: [ { \(second): { max-size: 2048 } }, openssl ] }

    """
  }

  @Test func everythingMixedInOneRingIsAnsweredRightOverAMillionRequests() throws {
    let others = try EngineUnderTest.all().map(\.name).filter { $0 != "openssl" }
    let second = others.first { $0 == "kernel" } ?? others.first ?? "openssl"
    let configuration = second == "openssl" ? "version: 1\n" : mixedFile(second)
    let daemon = try DaemonProcess(
      arguments: ["--calibration-cache=none"], configuration: configuration,
      servesStatistics: true)
    // Together a million, over rings of each kind.
    let count = Self.requestCount * 25
    var badMessageCount = 0
    for ring in RingKind.allCases {
      let lines = try drive(
        ["mixed", "\(count)", seed(), "\(ring.rawValue)=\(daemon.socketPath)"], seconds: 600)
      let line = try #require(lines.first)
      #expect(lines.count == 1 && number("requests", in: line) == count, "\(line)")
      let answers = ["OK", "ERR", "INVSESS", "BADMSG"].map { number($0, in: line) }
      #expect(answers.reduce(0, +) == count, "\(line)")
      #expect(answers[..<3].allSatisfy { $0 > 0 } && answers[0] > count / 2, "\(line)")
      badMessageCount += answers[3]
    }
    // One of the rings may have drawn no session that opens AEADs.
    #expect(badMessageCount > 0)
    #expect(try daemon.terminate() == .status(0))
  }
}
