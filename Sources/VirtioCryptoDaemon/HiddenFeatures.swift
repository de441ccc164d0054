/// What devices do not offer although they could, because of front-ends or drivers that it would harm.
struct HiddenFeatures: Sendable {
  /// `VHOST_USER_PROTOCOL_F_CONFIG`.
  var config = false
  /// `VIRTIO_F_RING_PACKED`.
  var packedRings = false
}
