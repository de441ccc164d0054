import Foundation
import TestSupport
import Testing
import VhostUserFrontend

/// A stock Linux guest in QEMU encrypts through the daemon: the test that nothing else replaces.
@Suite("RealGuest", .serialized)
struct RealGuest {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  @Test(arguments: [1, 4])
  func encryptsThroughTheDaemon(queues: Int) throws {
    for name in ["vmlinux", "initramfs.cpio.gz"] {
      let path = Self.root + "/.build/guest/" + name
      // Making them takes a download, which is nobody's test.
      guard FileManager.default.fileExists(atPath: path) else {
        throw TestSupportError("\(path) is missing: run Tests/Guest/guest-assets.sh")
      }
    }
    var environment = ProcessInfo.processInfo.environment
    environment["DAEMON"] = try DaemonProcess.executable("vhost-user-crypto")
    environment["TOOL"] = try DaemonProcess.executable("vhost-crypto")
    let result = try FinishedProgram.run(
      path: "/bin/bash", [Self.root + "/Tests/Guest/run.sh", "--queues", "\(queues)"],
      environment: environment, milliseconds: 150_000)
    let words = "\(result.output)\(result.errorOutput)"
    #expect(result.status == .status(0), "\(words)")
    for line in [
      "  ok    virtio_crypto is bound to the device",
      "  ok    the kernel's self-test of virtio_crypto_aes_cbc passed",
      "  ok    what the guest sent came back right, byte for byte",
      "same ciphertext as openssl enc", "  ok    encrypt: guest sent requests=",
      "  ok    decrypt: guest sent requests=", "\nrun: PASS",
    ] { #expect(result.output.contains(line), "\(line) in \(words)") }
    #expect(!result.output.contains("FAIL"))
    // What the guest says it sent is what the daemon counted, and it is not nothing.
    for operation in ["encrypt", "decrypt"] {
      let line = result.output.split(separator: "\n").first {
        $0.contains("ok    \(operation): guest sent requests=")
      }
      let numbers = line?.split { !$0.isNumber }.compactMap { Int($0) } ?? []
      #expect(numbers.count == 5 && numbers[0] > 0 && numbers[0] == numbers[2], "\(line ?? "")")
      #expect(numbers.count == 5 && numbers[1] == numbers[3] && numbers[4] == 0)
    }
    #expect(result.output.contains("\(queues) queue(s)"))
  }
}
