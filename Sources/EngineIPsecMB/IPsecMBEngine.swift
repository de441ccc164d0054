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

/// The multi-buffer library on this processor.
@safe public final class IPsecMBEngine: CryptoEngine {
  /// Always `ipsec-mb`.
  public let name = "ipsec-mb"

  /// The library's version and the instruction set that it uses here, such as `libipsec-mb 1.3.0 (AVX512)`.
  public let version: String

  /// Finds out what the processor has.
  ///
  /// - Throws: `EngineError` if it has no AES instructions, or the library cannot start.
  public init() throws(EngineError) {
    // SAFETY: the manager is ours until it is freed below; both strings are constants of the library.
    guard let manager = unsafe cipsecmb_make() else {
      throw EngineError("ipsec-mb: the library does not start on this processor")
    }
    let library = unsafe String(cString: imb_get_version_str())
    let architecture = unsafe String(cString: cipsecmb_architecture(manager))
    version = "libipsec-mb \(library) (\(architecture))"
    unsafe cipsecmb_free(manager)
  }

  /// A lane for one worker.
  ///
  /// - Parameter sessionCapacity: keys are kept for sessions of lower index; operations of others are served like
  ///   stateless ones. Costs address space only until a session is used.
  /// - Returns: the lane, for one thread at a time.
  /// - Throws: `EngineError` if there is no memory for it.
  public func makeLane(sessionCapacity: Int) throws(EngineError) -> IPsecMBLane {
    try IPsecMBLane(sessionCapacity: sessionCapacity)
  }

  /// Runs known answers of every algorithm through a lane: both directions, every key size.
  public func selfTest() -> [CryptoAlgorithm: SelfTestResult] {
    SelfTest(engine: self).run()
  }
}
