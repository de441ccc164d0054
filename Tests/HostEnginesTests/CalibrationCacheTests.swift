import CryptoTypes
import Foundation
import TestSupport
import Testing

@testable import HostEngines

@Suite struct CalibrationCacheTests {
  private let directory: TemporaryDirectory
  private let cache: CalibrationCache
  private let path: String
  private let calibration = Calibration(speeds: [
    .cipher(.aesCBC): ["openssl": [1.5e9, 2, 0], "ipsec-mb": [3, 4, 5.25]],
    .hash(.sha256): ["openssl": [7, 8, 9]],
  ])
  private let here = ["a processor", "flags : aes", "Linux 6.1"]

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("some/folders/calibration.json")
    cache = CalibrationCache(path: path)
  }

  private func text() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  /// Writes a file that differs in one place from the right one.
  private func spoil(_ part: String, _ replacement: String) throws {
    #expect(cache.store(calibration, fingerprint: here) == nil)
    let whole = try text()
    #expect(whole.contains(part), "\(part)")
    try whole.replacingOccurrences(of: part, with: replacement)
      .write(toFile: path, atomically: false, encoding: .utf8)
  }

  @Test func whatIsStoredIsLoadedAgain() throws {
    #expect(cache.load(fingerprint: here) == nil)
    #expect(cache.store(calibration, fingerprint: here) == nil)
    #expect(cache.load(fingerprint: here) == calibration)
    // Two services may have algorithms of one name.
    #expect(try text().contains("\"cipher/aes-cbc\""))
  }

  @Test func anotherHostOrConfigurationMeasuresForItself() {
    #expect(cache.store(calibration, fingerprint: here) == nil)
    for other in [[], ["a processor"], here + ["x"], here.reversed()] {
      #expect(cache.load(fingerprint: other) == nil)
    }
    #expect(cache.load(fingerprint: here) == calibration)
  }

  @Test func damagedFilesAreNothing() throws {
    try spoil("\"sizes\"", "\"size\"")
    #expect(cache.load(fingerprint: here) == nil)
    try spoil("16384", "16385")
    #expect(cache.load(fingerprint: here) == nil)
    try spoil("cipher/aes-cbc", "cipher/aes-cbd")
    #expect(cache.load(fingerprint: here) == nil)
    try spoil("5.25", "5.25, 6")
    #expect(cache.load(fingerprint: here) == nil)
    try spoil("{", "[")
    #expect(cache.load(fingerprint: here) == nil)
    #expect(cache.store(calibration, fingerprint: here) == nil)
    let bytes = try Data(contentsOf: URL(filePath: path))
    for count in [0, 1, bytes.count / 2, bytes.count - 2] {
      try bytes.prefix(count).write(to: URL(filePath: path))
      #expect(cache.load(fingerprint: here) == nil, "\(count) bytes")
    }
  }

  @Test(arguments: ["-1", "-0.5", "1e999", "-1e999", "NaN", "Infinity", "null", "\"5\""])
  func speedsThatAreNoneAreNothing(_ speed: String) throws {
    try spoil("5.25", speed)
    #expect(cache.load(fingerprint: here) == nil)
  }

  @Test func longFilesAreNotRead() throws {
    #expect(cache.store(calibration, fingerprint: here) == nil)
    let whole = try text()
    let fitting = whole + String(repeating: " ", count: 1 << 20 - whole.utf8.count)
    try fitting.write(toFile: path, atomically: false, encoding: .utf8)
    #expect(cache.load(fingerprint: here) == calibration)
    try (fitting + " ").write(toFile: path, atomically: false, encoding: .utf8)
    #expect(cache.load(fingerprint: here) == nil)
    #expect(CalibrationCache(path: "/dev/zero").load(fingerprint: here) == nil)
  }

  @Test func pathThatCannotBeWrittenIsNamed() throws {
    _ = try directory.write("", to: "file")
    for bad in [directory.file("file/calibration.json"), directory.path] {
      let complaint = CalibrationCache(path: bad).store(calibration, fingerprint: here)
      #expect(complaint?.hasPrefix("\(bad): ") == true, "\(complaint ?? "stored")")
      #expect(CalibrationCache(path: bad).load(fingerprint: here) == nil)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["file"])
  }

  @Test func noPathKeepsNothing() {
    let none = CalibrationCache(path: nil)
    #expect(none.store(calibration, fingerprint: here) == nil)
    #expect(none.load(fingerprint: here) == nil)
  }

  /// Somebody who is reading gets the old file or the new one, whole.
  @Test func fileIsReplacedAsAWhole() throws {
    #expect(cache.store(calibration, fingerprint: here) == nil)
    let old = try text()
    let reader = try #require(FileHandle(forReadingAtPath: path))
    #expect(cache.store(Calibration(), fingerprint: here) == nil)
    #expect(try reader.readToEnd() == Data(old.utf8))
    #expect(cache.load(fingerprint: here) == Calibration())
    let folder = directory.file("some/folders")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["calibration.json"])
  }

  @Test func usualPlaceDependsOnWhoOneIs() {
    typealias Cache = CalibrationCache
    #expect(
      Cache.usualPath([:], isRoot: true) == "/var/cache/vhost-user-crypto/calibration.json")
    #expect(Cache.usualPath([:], isRoot: false) == nil)
    let home = ["HOME": "/home/me"]
    #expect(
      Cache.usualPath(home, isRoot: false)
        == "/home/me/.cache/vhost-user-crypto/calibration.json")
    #expect(
      Cache.usualPath(home, isRoot: true) == "/var/cache/vhost-user-crypto/calibration.json")
    let own = home.merging(["XDG_CACHE_HOME": "/tmp/c"]) { $1 }
    #expect(Cache.usualPath(own, isRoot: false) == "/tmp/c/vhost-user-crypto/calibration.json")
    // The specification has relative paths ignored.
    let relative = home.merging(["XDG_CACHE_HOME": "c"]) { $1 }
    #expect(
      Cache.usualPath(relative, isRoot: false)
        == "/home/me/.cache/vhost-user-crypto/calibration.json")
    let unit = own.merging(["CACHE_DIRECTORY": "/var/cache/x:/var/cache/y"]) { $1 }
    for isRoot in [false, true] {
      #expect(Cache.usualPath(unit, isRoot: isRoot) == "/var/cache/x/calibration.json")
    }
  }
}
