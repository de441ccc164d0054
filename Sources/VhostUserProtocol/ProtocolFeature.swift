/// Protocol feature bits (`VHOST_USER_PROTOCOL_F_*`), as masks.
///
/// Spec: vhost-user, "Protocol features".
public enum ProtocolFeature {
  public static let multiqueue: UInt64 = 1 << 0
  public static let logSharedMemory: UInt64 = 1 << 1
  public static let rarp: UInt64 = 1 << 2
  public static let replyAcknowledgement: UInt64 = 1 << 3
  public static let netMTU: UInt64 = 1 << 4
  public static let backendRequests: UInt64 = 1 << 5
  public static let crossEndian: UInt64 = 1 << 6
  public static let cryptoSession: UInt64 = 1 << 7
  public static let pageFault: UInt64 = 1 << 8
  public static let config: UInt64 = 1 << 9
  public static let backendSendDescriptor: UInt64 = 1 << 10
  public static let hostNotifier: UInt64 = 1 << 11
  public static let inflightSharedMemory: UInt64 = 1 << 12
  public static let resetDevice: UInt64 = 1 << 13
  public static let inBandNotifications: UInt64 = 1 << 14
  public static let configureMemorySlots: UInt64 = 1 << 15
  public static let status: UInt64 = 1 << 16
  public static let xenMmap: UInt64 = 1 << 17
  public static let sharedObject: UInt64 = 1 << 18
  public static let deviceState: UInt64 = 1 << 19
  public static let getVringBaseInflight: UInt64 = 1 << 20
}

/// Sizes and bounds of the protocol.
public enum VhostUserLimit {
  /// `VHOST_USER_F_PROTOCOL_FEATURES`, the virtio feature bit that belongs to vhost-user, as a mask.
  public static let protocolFeaturesBit: UInt64 = 1 << 30
  /// `VHOST_F_LOG_ALL`, likewise: every write to guest memory is logged.
  public static let logAllBit: UInt64 = 1 << 26
  /// Regions in one `SET_MEM_TABLE`, and file descriptors in one message.
  public static let memoryTableRegions = 8
  /// Regions that may be mapped at once through `ADD_MEM_REG` (the number QEMU's own back-end library offers).
  public static let memorySlots = 509
  /// Entries of a ring.
  ///
  /// Spec: virtio 1.3 §2.7 Split Virtqueues.
  public static let ringEntries = 32768
  /// Bytes of configuration space in one `GET_CONFIG` or `SET_CONFIG` (`VHOST_USER_MAX_CONFIG_SIZE`).
  public static let configurationByteCount = 256
  /// The largest payload that any message we know may carry: a session of QEMU 8.1 and later.
  public static let payloadByteCount = SessionLayout.current.byteCount
}
