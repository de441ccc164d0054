import Foundation
import TestSupport
import Testing

/// The kernel engine on a kernel that has AF_ALG: these tests' own bundle, the daemon and the vectors, in a guest.
@Suite("RealGuestKernel", .serialized)
struct RealGuestKernel {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// What runs there, and how many tests of it must have passed.
  static let runs: [(filter: String, testCount: Int)] = [
    ("KernelEngineTests", 12),
    ("VectorTests.DeviceTests/(PublishedVectorTests|KnownAnswerTests|TamperingTests)", 6),
    ("TrafficTests", 2),
    ("KeyTests.KeyTests/KeyLifeTests", 11),
  ]

  private static let programs = ["vhost-user-crypto", "vhost-crypto", "traffic-driver"]

  @Test(arguments: runs)
  func kernelEnginePassesInAGuestWithAFALG(run: (filter: String, testCount: Int)) throws {
    let bundle = try DaemonProcess.besideTests("vhost-user-cryptoPackageTests.xctest")
    var arguments = [Self.root + "/Tests/Guest/run-in-kernel-guest.sh", "--timeout", "900"]
    for variable in [
      "CI=true", "NO_COLOR=1", "VHOST_CRYPTO_BIN=\(DaemonProcess.buildDirectory)",
      "VHOST_CRYPTO_TEST_ENGINES=kernel", "VHOST_CRYPTO_VECTORS=/vectors",
      // Emulation is slow.
      "VHOST_CRYPTO_TEST_REQUESTS=200",
    ] { arguments += ["--env", variable] }
    arguments += ["--include", "\(Vectors.directory):/vectors"]
    for program in Self.programs {
      arguments += ["--include", try DaemonProcess.executable(program)]
    }
    arguments += ["--", bundle, "--testing-library", "swift-testing", "--no-parallel"]
    arguments += ["--filter", run.filter]
    let result = try FinishedProgram.run(
      path: "/bin/bash", arguments, environment: ProcessInfo.processInfo.environment,
      milliseconds: 960_000)
    let words = "\(result.output.suffix(6000))\(result.errorOutput.suffix(2000))"
    #expect(result.status == .status(0), "\(words)")
    // The runner's own word: how many ran, that all passed, and that none was skipped.
    let verdict = result.output.split(separator: "\n").last { $0.contains("Test run with ") }
    let line = try #require(verdict, "\(words)")
    let count = line.split { !$0.isNumber }.compactMap { Int($0) }.first { $0 > 0 }
    #expect(line.contains("passed"), "\(line)")
    #expect(try #require(count) >= run.testCount, "\(line)")
    for line in result.output.split(separator: "\n")
    where line.hasPrefix("in-flight:") || line.hasPrefix("overtaking:") { print(line) }
  }
}
