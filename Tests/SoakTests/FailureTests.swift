import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What the daemon makes of single failures, one kind at a time.
@Suite("Failures", .serialized)
struct FailureTests {
  /// A daemon whose calls can be made to fail.
  private struct Stage {
    let directory: TemporaryDirectory
    let daemon: DaemonProcess
    let faults: Faults

    init() throws {
      directory = try TemporaryDirectory()
      faults = try Faults(path: directory.file("faults"))
      daemon = try DaemonProcess(environment: [
        "LD_PRELOAD": try DaemonProcess.besideTests("libFaultInjector.so"),
        "FAULT_INJECTOR_FILE": directory.file("faults"), "FAULT_INJECTOR_SEED": "1",
      ])
      try faults.begin()
    }
  }

  /// libcrypto that has run out of memory in the middle of a signature gives wrong ones afterwards, and calls them right:
  /// RSA's blinding factors no longer belong together.
  @Test func signaturesAreRightAfterAllocationsHaveFailed() throws {
    let stage = try Stage()
    let client = try stage.daemon.client()
    let key = RSAKeyPair.ofCurveNumbers
    let spec = AKCipherSpec.rsa(.pkcs1, .sha1, key: key.privateKey)
    let digest = [UInt8](repeating: 7, count: 20)
    let session = try client.openSession(.akcipher(spec))
    let operation = OperationSpec(
      .sign, spec, sessionID: session, source: digest, room: key.modulusByteCount)
    let expected = try #require(key.sign(digest, .sha1))
    stage.faults.set([.allocation: 4000])
    var failureCount = 0
    for _ in 0..<4000 {
      let answer = try client.perform(operation)
      if answer.status == .err {
        failureCount += 1
      } else {
        try #require(answer.status == .ok && answer.output == expected)
      }
    }
    // Else nothing was tried.
    #expect(failureCount > 20)
    stage.faults.none()
    for _ in 0..<100 { #expect(try client.perform(operation).output == expected) }
  }

  /// Having no memory is no lack of an algorithm.
  @Test func aKeyThatCannotBeReadForLackOfMemoryIsAnError() throws {
    let stage = try Stage()
    let client = try stage.daemon.client()
    let pair = try #require(ECKeyPair(generatedOn: .p256))
    stage.faults.set([.allocation: 20_000])
    var refusals = 0
    for _ in 0..<500 {
      let answer = try client.createSession(.akcipher(.ecdsa(.p256, key: pair.publicKey)))
      if answer.statusWord == 0 {
        try client.destroySession(answer.sessionID, service: .akcipher)
      } else {
        refusals += 1
        #expect(answer.status == .err)
      }
    }
    #expect(refusals > 20)
    stage.faults.none()
    _ = try client.openSession(.akcipher(.ecdsa(.p256, key: pair.publicKey)))
  }
}
