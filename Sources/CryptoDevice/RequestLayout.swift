public import VirtioSpec

/// What the negotiated features say about the shape of requests; fixed while a queue runs.
public struct RequestLayout: Sendable {
  /// Which decoder reads the requests.
  public var dialect = Dialect.virtio13
  /// `VIRTIO_CRYPTO_F_REVISION_1`: exact fixed parts instead of padded ones, and `flag` counts.
  public var revision1 = false
  // The services' stateless features; they need `revision1`. In draft v15: those whose requests without a session are
  // served, which no feature says.
  public var cipherStateless = false
  public var hashStateless = false
  public var macStateless = false
  public var aeadStateless = false
  public var akcipherStateless = false
  // Draft v15: the services whose session mode is negotiated.
  public var cipherSessions = true
  public var hashSessions = true
  public var macSessions = true
  public var aeadSessions = true
  /// The most bytes of source and associated data, and of destination, that a request may bring (`max_size`).
  public var maximumRequestByteCount: UInt32 = 1 << 20

  /// For the keys of stateless requests (`SessionParameters.maximumOperationMilliseconds`).
  public var maximumOperationMilliseconds: UInt32 = 2000

  public init() {}

  /// Whether a driver may make sessions of a service.
  public func hasSessions(_ service: VirtioCryptoService) -> Bool {
    switch service {
    case .cipher: cipherSessions
    case .hash: hashSessions
    case .mac: macSessions
    case .aead: aeadSessions
    default: true
    }
  }
}
