import CryptoTypes
import VirtioSpec

/// A request for a data queue: its bytes in order, still without addresses.
///
/// Tests spoil a header field with `fixed.set32(…)`, drop or lengthen a field, then place it in
/// guest memory.
public struct DataRequest: Hashable, Sendable {
  /// A variable-length field that the device reads.
  public struct Field: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case cipherKey, authKey, iv, source, aad }
    public var kind: Kind
    public var bytes: [UInt8]

    public init(_ kind: Kind, _ bytes: [UInt8]) {
      self.kind = kind
      self.bytes = bytes
    }
  }

  /// Header (24 bytes) and fixed fields.
  public var fixed: WireBytes
  /// In wire order.
  public var fields: [Field]
  /// Bytes of `dst_data`.
  public var destinationByteCount: Int
  /// Bytes of `hash_result`.
  public var resultByteCount: Int

  public init(
    fixed: WireBytes, fields: [Field], destinationByteCount: Int, resultByteCount: Int
  ) {
    self.fixed = fixed
    self.fields = fields
    self.destinationByteCount = destinationByteCount
    self.resultByteCount = resultByteCount
  }
}

extension CryptoRequestBuilder {
  /// A data request.
  ///
  /// Without a session id it is stateless, whether or not the format allows that.
  public static func data(_ operation: OperationSpec, format: RequestFormat) -> DataRequest {
    let service = operation.session.service
    var request = WireBytes()
    request.append32(operation.opcode.rawValue)
    request.append32(operation.session.algorithmCode)
    request.append64(operation.sessionID ?? 0)
    request.append32(flag(of: operation, format))
    request.append32(0)
    if format.dialect.isDraftV15 {
      appendDraftV15Fields(of: operation, to: &request)
    } else if operation.sessionID == nil {
      appendStatelessFields(of: operation, to: &request)
    } else {
      appendSessionFields(of: operation, to: &request)
    }
    // The flag of each request decides, not the stateless feature (docs/wire.md).
    var fixedByteCount = VirtioCryptoWire.dataLegacyFixedByteCount
    if format.dialect.isDraftV15 {
      fixedByteCount = VirtioCryptoWire.draftV15DataFixedByteCount
    } else if operation.sessionID == nil {
      fixedByteCount = statelessFixedByteCount(service)
    } else if format.isRevision1 {
      fixedByteCount = sessionFixedByteCount(service)
    }
    request.pad(to: VirtioCryptoWire.dataHeaderByteCount + fixedByteCount)
    return DataRequest(
      fixed: request, fields: fields(of: operation, format),
      destinationByteCount: operation.writableDestinationByteCount,
      resultByteCount: operation.trailingResultByteCount)
  }

  /// `flag` of the header.
  private static func flag(of operation: OperationSpec, _ format: RequestFormat) -> UInt32 {
    guard operation.sessionID == nil else { return VirtioCryptoWire.flagSessionMode }
    return format.dialect.isDraftV15 ? VirtioCryptoWire.flagNoSessionMode : 0
  }

  static func sessionFixedByteCount(_ service: VirtioCryptoService) -> Int {
    switch service {
    case .hash: VirtioCryptoWire.hashDataFixedByteCount
    case .mac: VirtioCryptoWire.macDataFixedByteCount
    case .aead: VirtioCryptoWire.aeadDataFixedByteCount
    case .akcipher: AKCipherWire.dataFixedByteCount
    default: VirtioCryptoWire.symmetricDataFixedByteCount
    }
  }

  static func statelessFixedByteCount(_ service: VirtioCryptoService) -> Int {
    switch service {
    case .hash: VirtioCryptoWire.hashStatelessFixedByteCount
    case .mac: VirtioCryptoWire.macStatelessFixedByteCount
    case .aead: VirtioCryptoWire.aeadStatelessFixedByteCount
    case .akcipher: AKCipherWire.statelessFixedByteCount
    default: VirtioCryptoWire.symmetricStatelessFixedByteCount
    }
  }

  /// The variable fields.
  ///
  /// A chain's order differs between the modes: iv, src, aad with a session; keys, iv, aad, src
  /// without. An AEAD's does not: (key,) iv, src, aad. Neither does draft v15's chain: (keys,) iv, src, aad.
  private static func fields(
    of operation: OperationSpec, _ format: RequestFormat
  ) -> [DataRequest.Field] {
    var fields: [DataRequest.Field] = []
    let isStateless = operation.sessionID == nil
    let session = operation.session
    if isStateless {
      fields.append(.init(.cipherKey, session.cipherKey))
      fields.append(.init(.authKey, session.authKey))
    }
    switch session {
    case .cipher: fields += [.init(.iv, operation.iv), .init(.source, operation.source)]
    case .hash, .mac: fields.append(.init(.source, operation.source))
    // A signature and what it signs are one run of bytes, as Linux sends them.
    case .akcipher: fields.append(.init(.source, operation.source + operation.digest))
    case .chain where isStateless && !format.dialect.isDraftV15:
      fields += [
        .init(.iv, operation.iv), .init(.aad, operation.aad), .init(.source, operation.source),
      ]
    case .chain, .aead:
      fields += [
        .init(.iv, operation.iv), .init(.source, operation.source), .init(.aad, operation.aad),
      ]
    }
    return fields.filter { !$0.bytes.isEmpty }
  }

  private static func appendSessionFields(
    of operation: OperationSpec, to request: inout WireBytes
  ) {
    let start = request.count
    switch operation.session {
    case .cipher:
      appendCipherLengths(operation, to: &request)
      request.pad(to: start + 40)
      request.append32(VirtioCryptoWire.symmetricCipher)
      request.append32(0)
    case .chain:
      appendChainLengths(operation, to: &request)
      request.append32(VirtioCryptoWire.symmetricChain)
      request.append32(0)
    case .hash, .mac:
      request.append32(UInt32(truncatingIfNeeded: operation.source.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
    case .aead:
      request.append32(UInt32(truncatingIfNeeded: operation.iv.count))
      request.append32(UInt32(truncatingIfNeeded: operation.aad.count))
      request.append32(UInt32(truncatingIfNeeded: operation.source.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireDestinationByteCount))
      request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
      request.append32(0)
    case .akcipher: appendAsymmetricLengths(operation, to: &request)
    }
  }

  private static func appendAsymmetricLengths(
    _ operation: OperationSpec, to request: inout WireBytes
  ) {
    request.append32(UInt32(truncatingIfNeeded: operation.source.count))
    request.append32(UInt32(truncatingIfNeeded: operation.wireDestinationByteCount))
  }

  /// The fields of a stateless request; one with a session leaves `sess_para` at 0.
  private static func appendDraftV15Fields(
    of operation: OperationSpec, to request: inout WireBytes
  ) {
    let start = request.count
    appendStatelessFields(of: operation, to: &request)
    guard operation.sessionID != nil else { return }
    let byteCount =
      switch operation.session {
      case .hash: 4
      case .mac: 8
      case .cipher, .aead: 12
      case .chain: 32
      case .akcipher: 0
      }
    for offset in stride(from: start, to: start + byteCount, by: 4) { request.set32(0, at: offset) }
  }

  private static func appendStatelessFields(
    of operation: OperationSpec, to request: inout WireBytes
  ) {
    let start = request.count
    let session = operation.session
    switch session {
    case .cipher(let algorithm, let direction, let key):
      appendKeyed(algorithm.wireCode, key.count, direction.wireCode, to: &request)
      appendCipherLengths(operation, to: &request)
      request.pad(to: start + 72)
      request.append32(VirtioCryptoWire.symmetricCipher)
    case .chain(let chain):
      request.append32(chain.order.wireCode)
      request.append32(UInt32(truncatingIfNeeded: operation.aad.count))
      appendKeyed(
        chain.cipher.wireCode, chain.cipherKey.count, chain.direction.wireCode, to: &request)
      appendKeyed(
        chain.second.algorithmCode, chain.second.key.count, chain.second.mode.wireCode, to: &request
      )
      appendChainLengths(operation, to: &request)
      request.append32(VirtioCryptoWire.symmetricChain)
    case .hash(let algorithm, _):
      request.append32(algorithm.wireCode)
      request.append32(UInt32(truncatingIfNeeded: operation.source.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
      request.append32(0)
    case .mac(let algorithm, let key, _):
      request.append32(algorithm.wireCode)
      request.append32(UInt32(truncatingIfNeeded: key.count))
      request.append32(UInt32(truncatingIfNeeded: operation.source.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
    case .aead(let algorithm, let direction, let key, _, _):
      appendKeyed(algorithm.wireCode, key.count, direction.wireCode, to: &request)
      request.append32(UInt32(truncatingIfNeeded: operation.iv.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
      request.append32(UInt32(truncatingIfNeeded: operation.aad.count))
      request.append32(UInt32(truncatingIfNeeded: operation.source.count))
      request.append32(UInt32(truncatingIfNeeded: operation.wireDestinationByteCount))
    case .akcipher(let spec):
      spec.append(to: &request)
      appendAsymmetricLengths(operation, to: &request)
    }
  }

  /// `algo`, `key_len` and `op` (or `hash_mode`) of a `sess_para`.
  private static func appendKeyed(
    _ algorithm: UInt32, _ keyByteCount: Int, _ operation: UInt32, to request: inout WireBytes
  ) {
    request.append32(algorithm)
    request.append32(UInt32(truncatingIfNeeded: keyByteCount))
    request.append32(operation)
  }

  /// `iv_len`, `src_data_len`, `dst_data_len`.
  private static func appendCipherLengths(
    _ operation: OperationSpec, to request: inout WireBytes
  ) {
    request.append32(UInt32(truncatingIfNeeded: operation.iv.count))
    request.append32(UInt32(truncatingIfNeeded: operation.source.count))
    request.append32(UInt32(truncatingIfNeeded: operation.wireDestinationByteCount))
  }

  /// The 40 bytes of `struct virtio_crypto_alg_chain_data_flf`.
  private static func appendChainLengths(
    _ operation: OperationSpec, to request: inout WireBytes
  ) {
    let ranges = operation.wireRanges
    appendCipherLengths(operation, to: &request)
    request.append32(UInt32(truncatingIfNeeded: ranges.cipherOffset))
    request.append32(UInt32(truncatingIfNeeded: ranges.cipherByteCount))
    request.append32(UInt32(truncatingIfNeeded: ranges.hashOffset))
    request.append32(UInt32(truncatingIfNeeded: ranges.hashByteCount))
    request.append32(UInt32(truncatingIfNeeded: operation.aad.count))
    request.append32(UInt32(truncatingIfNeeded: operation.wireResultByteCount))
    request.append32(0)
  }
}
