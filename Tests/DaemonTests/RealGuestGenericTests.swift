import Foundation
import TestSupport
import Testing
import VhostUserFrontend

/// The stock Linux guest behind a front-end that leaves config space and control queue to the daemon.
@Suite("RealGuestGeneric", .serialized)
struct RealGuestGeneric {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// What run-generic.sh ends with when no mirror gives it the QEMU that it needs (EX_TEMPFAIL).
  private static let notFetched: Int32 = 75

  @Test(arguments: ["packed", "split"])
  func servesAESAndRSAToAStockGuestByItself(rings: String) throws {
    var environment = ProcessInfo.processInfo.environment
    environment["DAEMON"] = try DaemonProcess.executable("vhost-user-crypto")
    environment["TOOL"] = try DaemonProcess.executable("vhost-crypto")
    // The first run fetches some 50 MB.
    let result = try FinishedProgram.run(
      path: "/bin/bash", [Self.root + "/Tests/Guest/run-generic.sh", "--rings", rings],
      environment: environment, milliseconds: 900_000)
    let words = "\(result.output)\(result.errorOutput)"
    if result.status == .status(Self.notFetched) {
      // A mirror that is away is nobody's mistake, but has to be seen.
      let reason = result.errorLines.last { $0.hasPrefix("generic-qemu: ") } ?? ""
      #expect(result.output.contains("run-generic: NOT RUN"), "\(words)")
      print("RealGuestGeneric: NOT RUN: \(reason)")
      return
    }
    #expect(result.status == .status(0), "\(words)")
    for line in [
      "guest: bound again 3 times", "  ok    virtio_crypto is bound to the device",
      "  ok    the kernel's self-test of virtio_crypto_aes_cbc passed",
      "  ok    what the guest sent came back right, byte for byte",
      "  ok    the guest's rings are \(rings)", "same ciphertext as openssl enc",
      "  ok    encrypt: guest sent requests=",
      "  ok    decrypt: guest sent requests=",
      "  ok    the kernel's self-test of virtio-crypto-rsa passed",
      "  ok    the kernel's self-test of virtio-pkcs1-rsa passed",
      "  ok    rsa-2048 encrypts, decrypts, signs and verifies as openssl does",
      "  ok    openssl decrypts what the guest encrypted, 8 of 8",
      "  ok    600 keys at once work", "  ok    RSA encrypt: guest sent requests=77 errors=4",
      "  ok    RSA decrypt: guest sent requests=621 errors=0", "\nrun: PASS",
    ] { #expect(result.output.contains(line), "\(line) in \(words)") }
    #expect(!result.output.contains("FAIL"), "\(words)")
  }
}
