/// What the negotiated features say about the shape of requests; fixed while a queue runs.
public struct RequestLayout: Sendable {
  /// `VIRTIO_CRYPTO_F_REVISION_1`: exact fixed parts instead of padded ones, and `flag` counts.
  public var revision1 = false
  // The services' stateless features; they need `revision1`.
  public var cipherStateless = false
  public var hashStateless = false
  public var macStateless = false
  public var aeadStateless = false
  public var akcipherStateless = false
  /// The most bytes of source and associated data, and of destination, that a request may bring (`max_size`).
  public var maximumRequestByteCount: UInt32 = 1 << 20

  /// For the keys of stateless requests (`SessionParameters.maximumOperationMilliseconds`).
  public var maximumOperationMilliseconds: UInt32 = 2000

  public init() {}
}
