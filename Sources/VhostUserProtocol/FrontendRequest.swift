// VhostUserProtocol: the messages of vhost-user as values: codes, headers, payloads and their limits.
//
// Shared by the server (VhostUserBackend) and by whoever plays the front-end. It opens no socket, keeps no state and
// decides nothing: what a message means for a device is the server's business. All fields are in host byte order, as
// the protocol asks. Spec: vhost-user, "Message Specification".

/// The request codes that a front-end sends (`VHOST_USER_*`).
///
/// Open on purpose: an unknown code survives to be counted, logged and refused.
public struct FrontendRequest: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let getFeatures = Self(rawValue: 1)
  public static let setFeatures = Self(rawValue: 2)
  public static let setOwner = Self(rawValue: 3)
  public static let resetOwner = Self(rawValue: 4)
  public static let setMemoryTable = Self(rawValue: 5)
  public static let setLogBase = Self(rawValue: 6)
  public static let setLogDescriptor = Self(rawValue: 7)
  public static let setVringNum = Self(rawValue: 8)
  public static let setVringAddress = Self(rawValue: 9)
  public static let setVringBase = Self(rawValue: 10)
  public static let getVringBase = Self(rawValue: 11)
  public static let setVringKick = Self(rawValue: 12)
  public static let setVringCall = Self(rawValue: 13)
  public static let setVringError = Self(rawValue: 14)
  public static let getProtocolFeatures = Self(rawValue: 15)
  public static let setProtocolFeatures = Self(rawValue: 16)
  public static let getQueueNum = Self(rawValue: 17)
  public static let setVringEnable = Self(rawValue: 18)
  public static let sendRARP = Self(rawValue: 19)
  public static let netSetMTU = Self(rawValue: 20)
  public static let setBackendRequestDescriptor = Self(rawValue: 21)
  public static let iotlbMessage = Self(rawValue: 22)
  public static let setVringEndian = Self(rawValue: 23)
  public static let getConfig = Self(rawValue: 24)
  public static let setConfig = Self(rawValue: 25)
  public static let createCryptoSession = Self(rawValue: 26)
  public static let closeCryptoSession = Self(rawValue: 27)
  public static let postcopyAdvise = Self(rawValue: 28)
  public static let postcopyListen = Self(rawValue: 29)
  public static let postcopyEnd = Self(rawValue: 30)
  public static let getInflightDescriptor = Self(rawValue: 31)
  public static let setInflightDescriptor = Self(rawValue: 32)
  public static let gpuSetSocket = Self(rawValue: 33)
  public static let resetDevice = Self(rawValue: 34)
  public static let vringKick = Self(rawValue: 35)
  public static let getMaxMemorySlots = Self(rawValue: 36)
  public static let addMemoryRegion = Self(rawValue: 37)
  public static let removeMemoryRegion = Self(rawValue: 38)
  public static let setStatus = Self(rawValue: 39)
  public static let getStatus = Self(rawValue: 40)
  public static let getSharedObject = Self(rawValue: 41)
  public static let setDeviceStateDescriptor = Self(rawValue: 42)
  public static let checkDeviceState = Self(rawValue: 43)
}

extension FrontendRequest: CustomStringConvertible {
  private static let names = [
    "NONE", "GET_FEATURES", "SET_FEATURES", "SET_OWNER", "RESET_OWNER", "SET_MEM_TABLE",
    "SET_LOG_BASE", "SET_LOG_FD", "SET_VRING_NUM", "SET_VRING_ADDR", "SET_VRING_BASE",
    "GET_VRING_BASE", "SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR", "GET_PROTOCOL_FEATURES",
    "SET_PROTOCOL_FEATURES", "GET_QUEUE_NUM", "SET_VRING_ENABLE", "SEND_RARP", "NET_SET_MTU",
    "SET_BACKEND_REQ_FD", "IOTLB_MSG", "SET_VRING_ENDIAN", "GET_CONFIG", "SET_CONFIG",
    "CREATE_CRYPTO_SESSION", "CLOSE_CRYPTO_SESSION", "POSTCOPY_ADVISE", "POSTCOPY_LISTEN",
    "POSTCOPY_END", "GET_INFLIGHT_FD", "SET_INFLIGHT_FD", "GPU_SET_SOCKET", "RESET_DEVICE",
    "VRING_KICK", "GET_MAX_MEM_SLOTS", "ADD_MEM_REG", "REM_MEM_REG", "SET_STATUS", "GET_STATUS",
    "GET_SHARED_OBJECT", "SET_DEVICE_STATE_FD", "CHECK_DEVICE_STATE",
  ]

  /// The specification's name without its prefix, such as `SET_MEM_TABLE`.
  public var description: String {
    rawValue < UInt32(Self.names.count) ? Self.names[Int(rawValue)] : "request \(rawValue)"
  }
}

/// The request codes that a back-end sends on its own channel (`VHOST_USER_BACKEND_*`).
public struct BackendRequest: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let iotlbMessage = Self(rawValue: 1)
  public static let configChange = Self(rawValue: 2)
  public static let vringHostNotifier = Self(rawValue: 3)
  public static let vringCall = Self(rawValue: 4)
  public static let vringError = Self(rawValue: 5)
}
