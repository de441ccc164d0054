import Foundation
import TestSupport
import Testing
import VhostUserFrontend

#if IPSEC_MB

  extension TheDaemon {
    /// Where the daemon keeps what it has measured, and when it measures; needs two engines.
    @Suite("Calibration")
    struct CalibrationTests {
      private let directory: TemporaryDirectory
      private let path: String

      init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("folder/speeds.json")
      }

      /// The log of a daemon that started, served, and ended.
      private func log(
        _ arguments: [String], environment: [String: String] = [:]
      ) throws -> [Substring] {
        let daemon = try DaemonProcess(arguments: arguments, environment: environment)
        try daemon.client().expectService()
        #expect(try daemon.terminate() == .status(0))
        return daemon.standardError.split(separator: "\n")
      }

      private func measurements(_ log: [Substring]) -> [Substring] {
        log.filter { $0.contains("engines measured") }
      }

      private func text(_ path: String) -> String { DaemonProcess.text(path) }

      private func fileNumber() throws -> Int {
        try #require(
          try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int)
      }

      private var option: String { "--calibration-cache=\(path)" }

      @Test func theFirstStartMeasuresAndLaterOnesRemember() throws {
        let first = measurements(try log([option]))
        #expect(first.count == 1)
        #expect(
          first.first?.contains(path) == true && first.first?.contains("milliseconds") == true)
        let written = text(path)
        #expect(written.contains("cipher/aes-cbc") && written.contains("ipsec-mb"))
        let number = try fileNumber()
        for _ in 0..<2 { #expect(measurements(try log([option])).isEmpty) }
        #expect(text(path) == written)
        #expect(try fileNumber() == number)
      }

      @Test func recalibratingMeasuresAgainAndReplacesTheFile() throws {
        _ = try log([option])
        let number = try fileNumber()
        #expect(measurements(try log([option, "--recalibrate"])).count == 1)
        #expect(try fileNumber() != number)
        #expect(text(path).contains("cipher/aes-cbc"))
        #expect(measurements(try log([option])).isEmpty)
        #expect(
          try FileManager.default.contentsOfDirectory(atPath: directory.file("folder"))
            == ["speeds.json"])
      }

      @Test func noneKeepsNothing() throws {
        let unit = ["CACHE_DIRECTORY": directory.path]
        for _ in 0..<2 {
          let lines = try log(["--calibration-cache=none"], environment: unit)
          #expect(measurements(lines).count == 1)
          #expect(!lines.contains { $0.contains("speeds are not kept") })
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
      }

      @Test func systemdsCacheDirectoryIsTheUsualPlace() throws {
        let unit = ["CACHE_DIRECTORY": directory.path]
        #expect(measurements(try log([], environment: unit)).count == 1)
        #expect(text(directory.file("calibration.json")).contains("cipher/aes-cbc"))
        #expect(measurements(try log([], environment: unit)).isEmpty)
      }

      @Test(arguments: ["", "{}", "not JSON", "{\"fingerprint\": [], \"sizes\": []}"])
      func damagedFilesAreMeasuredAnewAndReplaced(_ content: String) throws {
        _ = try log([option])
        let right = text(path).split(separator: "\n").count
        try content.write(toFile: path, atomically: false, encoding: .utf8)
        #expect(measurements(try log([option])).count == 1)
        #expect(text(path).split(separator: "\n").count == right)
      }

      @Test func placeThatCannotBeWrittenIsSaidOnceAndHindersNothing() throws {
        let bad = try directory.write("", to: "file") + "/speeds.json"
        let lines = try log(["--calibration-cache=\(bad)"])
        #expect(measurements(lines).count == 1)
        let complaints = lines.filter { $0.contains("speeds are not kept") }
        #expect(complaints.count == 1 && complaints.first?.contains(bad) == true, "\(lines)")
      }

      @Test func nothingIsMeasuredWhereEveryEngineIsNamed() throws {
        let configuration = ["cipher", "hash", "mac", "aead"].reduce(
          into: "version: 1\nalgorithms:\n"
        ) { $0 += "  \($1): { default: { engine: [openssl] } }\n" }
        let daemon = try DaemonProcess(
          arguments: [option, "--recalibrate"], configuration: configuration)
        try daemon.client().expectService()
        try daemon.terminate()
        #expect(!daemon.standardError.contains("engines measured"))
        #expect(!FileManager.default.fileExists(atPath: path))
      }
    }
  }

#endif
