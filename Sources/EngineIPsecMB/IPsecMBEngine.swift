// EngineIPsecMB: the `ipsec-mb` engine, which runs crypto operations with Intel's multi-buffer library.
//
// The library is fast where one request alone is not: it works on up to sixteen of them at once. So operations become
// jobs that are finished when more of them have come, or at a flush. What the library has no job for is put together
// from jobs and finished at once. This room knows operations and sessions of CryptoTypes and has never heard of virtio,
// rings or guests: ranges were checked by the device.
//
//   IPsecMBEngine            version; makes lanes; self-test
//   IPsecMBLane              one worker's managers, jobs in flight and expanded keys
//   IPsecMBLane+Keys         expanding keys
//   IPsecMBLane+Jobs         operations as single jobs
//   IPsecMBLane+…            what is put together, one file per service

import CIPsecMB
public import CryptoTypes
public import EngineContract

/// The multi-buffer library on this processor.
@safe public final class IPsecMBEngine: CryptoEngine {
  public static let description = EngineDescription(
    name: "ipsec-mb",
    algorithms: Set(
      [.aesECB, .aesCBC, .aesCTR, .desCBC, .tripleDESCBC, .kasumiF8, .snow3gUEA2, .zucEEA3]
        .map(CryptoAlgorithm.cipher)
        + [.sha1, .sha224, .sha256, .sha384, .sha512].map(CryptoAlgorithm.hash)
        + MACAlgorithm.allCases.filter { ![.cmac3DES, .gmacTwofish, .cbcmacAES].contains($0) }
        .map(CryptoAlgorithm.mac) + AEADAlgorithm.allCases.map(CryptoAlgorithm.aead)))

  /// The library's version and the instruction set that it uses here, such as `libipsec-mb 1.3.0 (AVX512)`.
  public let version: String

  /// Finds out what the processor has.
  ///
  /// - Throws: `EngineError` if it has no AES instructions, or the library cannot start.
  public init(_ options: EngineOptions = EngineOptions()) throws(EngineError) {
    // SAFETY: the manager is ours until it is freed below; both strings are constants of the library.
    guard let manager = unsafe cipsecmb_make() else {
      throw EngineError("ipsec-mb: the library does not start on this processor")
    }
    let library = unsafe String(cString: imb_get_version_str())
    let architecture = unsafe String(cString: cipsecmb_architecture(manager))
    version = "libipsec-mb \(library) (\(architecture))"
    unsafe cipsecmb_free(manager)
  }

  /// Runs known answers of every algorithm through a lane: both directions, every key size.
  public func selfTest() -> [CryptoAlgorithm: SelfTestResult] { knownAnswerTest.run() }

  var knownAnswerTest: SelfTest<IPsecMBLane> {
    SelfTest(engine: self) { _ in "the library does not offer it" }
  }
}
