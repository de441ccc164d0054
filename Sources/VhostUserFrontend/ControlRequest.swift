import CryptoTypes
public import VirtioSpec

/// A request for the control queue: bytes that the device reads, and how many it may write.
///
/// Tests spoil a field with `fixed.set32(…)` before they send it.
public struct ControlRequest: Hashable, Sendable {
  /// Header (16 bytes) and fixed fields.
  public var fixed: WireBytes
  /// Keys, in the order of the specification.
  public var keys: [UInt8]
  /// Bytes of the device-writable part: 16 for a creation, 1 (or 8, draft v23) for a destruction.
  public var writableByteCount: Int

  public init(fixed: WireBytes, keys: [UInt8], writableByteCount: Int) {
    self.fixed = fixed
    self.keys = keys
    self.writableByteCount = writableByteCount
  }
}

/// Writes virtio-crypto requests in every layout that was ever negotiated.
///
/// Spec: virtio-crypto v25, "Control Virtqueue" and "Data Virtqueue".
public enum CryptoRequestBuilder {}

extension CryptoRequestBuilder {
  /// A request that creates the session.
  public static func createSession(_ spec: SessionSpec, format: RequestFormat) -> ControlRequest {
    var request = WireBytes()
    request.append32(createOpcode(spec.service).rawValue)
    request.append32(spec.algorithmCode)
    request.append64(0)
    appendCreateFields(of: spec, to: &request)
    if !format.isRevision1 {
      request.pad(
        to: VirtioCryptoWire.controlHeaderByteCount + VirtioCryptoWire.controlLegacyFixedByteCount)
    }
    return ControlRequest(
      fixed: request, keys: spec.cipherKey + spec.authKey,
      writableByteCount: VirtioCryptoWire.createSessionInputByteCount)
  }

  /// A request that destroys a session of `service`.
  ///
  /// `writableByteCount` 8 is the shape of draft v23.
  public static func destroySession(
    _ session: UInt64, service: VirtioCryptoService, format: RequestFormat,
    writableByteCount: Int = 1
  ) -> ControlRequest {
    var request = WireBytes()
    request.append32(createOpcode(service).rawValue &+ 1)
    request.append32(0)
    request.append64(0)
    request.append64(session)
    if !format.isRevision1 {
      request.pad(
        to: VirtioCryptoWire.controlHeaderByteCount + VirtioCryptoWire.controlLegacyFixedByteCount)
    }
    return ControlRequest(fixed: request, keys: [], writableByteCount: writableByteCount)
  }

  static func createOpcode(_ service: VirtioCryptoService) -> VirtioCryptoControlOpcode {
    switch service {
    case .hash: .hashCreateSession
    case .mac: .macCreateSession
    case .aead: .aeadCreateSession
    case .akcipher: .akcipherCreateSession
    default: .cipherCreateSession
    }
  }

  private static func appendCreateFields(of spec: SessionSpec, to request: inout WireBytes) {
    switch spec {
    case .cipher(let algorithm, let direction, let key):
      appendCipher(algorithm, direction, key, to: &request)
      finishSymmetric(VirtioCryptoWire.symmetricCipher, &request)
    case .chain(let chain):
      request.append32(chain.order.wireCode)
      request.append32(chain.second.mode.wireCode)
      appendCipher(chain.cipher, chain.direction, chain.cipherKey, to: &request)
      // struct virtio_crypto_hash_create_session_flf or …_mac_create_session_flf, 16 bytes either
      // way.
      request.append32(chain.second.algorithmCode)
      request.append32(UInt32(truncatingIfNeeded: chain.resultByteCount))
      request.append32(UInt32(truncatingIfNeeded: chain.second.key.count))
      request.append32(0)
      request.append32(UInt32(truncatingIfNeeded: chain.aadByteCount))
      request.append32(0)
      finishSymmetric(VirtioCryptoWire.symmetricChain, &request)
    case .hash(let algorithm, let resultByteCount):
      request.append32(algorithm.wireCode)
      request.append32(UInt32(truncatingIfNeeded: resultByteCount))
    case .mac(let algorithm, let key, let resultByteCount):
      request.append32(algorithm.wireCode)
      request.append32(UInt32(truncatingIfNeeded: resultByteCount))
      request.append32(UInt32(truncatingIfNeeded: key.count))
      request.append32(0)
    case .aead(let algorithm, let direction, let key, let tagByteCount, let aadByteCount):
      request.append32(algorithm.wireCode)
      request.append32(UInt32(truncatingIfNeeded: key.count))
      request.append32(UInt32(truncatingIfNeeded: tagByteCount))
      request.append32(UInt32(truncatingIfNeeded: aadByteCount))
      request.append32(direction.wireCode)
      request.append32(0)
    case .akcipher(let spec):
      spec.append(to: &request)
      request.pad(
        to: VirtioCryptoWire.controlHeaderByteCount + AKCipherWire.createFixedByteCount)
    }
  }

  /// `struct virtio_crypto_cipher_session_flf`.
  private static func appendCipher(
    _ algorithm: CipherAlgorithm, _ direction: CryptoDirection, _ key: [UInt8],
    to request: inout WireBytes
  ) {
    request.append32(algorithm.wireCode)
    request.append32(UInt32(truncatingIfNeeded: key.count))
    request.append32(direction.wireCode)
    request.append32(0)
  }

  /// The end of `struct virtio_crypto_sym_create_session_flf`: 48 bytes of union, then `op_type`.
  private static func finishSymmetric(_ operationType: UInt32, _ request: inout WireBytes) {
    request.pad(to: VirtioCryptoWire.controlHeaderByteCount + 48)
    request.append32(operationType)
    request.append32(0)
  }
}
