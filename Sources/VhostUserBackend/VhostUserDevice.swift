// VhostUserBackend: the vhost-user server of one device on one socket.
//
// It owns the connection: negotiation, the memory table, the rings' set-up and life, acknowledgements. It leaves to the
// device what the rings carry, what a session is and what the configuration space says, and to GuestMemory what an
// address means. It never touches a ring's bytes.
// Spec: vhost-user, "Communication" and "Front-end message types".

public import GuestMemory
public import LinuxSystem
public import VhostUserProtocol

/// What a server serves; every call comes on the thread that is in ``VhostUserServer/run()``.
public protocol VhostUserDevice: AnyObject {
  /// Feature bits of the device and its rings, `VHOST_USER_F_PROTOCOL_FEATURES` (bit 30) included.
  var offeredFeatures: UInt64 { get }
  /// Bits of `ProtocolFeature`.
  var offeredProtocolFeatures: UInt64 { get }
  /// Number of rings, at most 256: data queues and the control queue.
  var queueCount: Int { get }
  /// Bytes that each queue wants beside its record of requests in flight (`InflightAnnex.data`); 0: none.
  var inflightAnnexByteCount: Int { get }
  /// The device status of `SET_STATUS`, as the guest's driver wrote it.
  var status: UInt8 { get set }
  /// Further descriptors to watch for input in the server's loop, read afresh before every wait.
  var serviceDescriptors: [Int32] { get }

  /// A front-end came; `frontend` stays usable, from any thread, until `connectionClosed()`.
  func connectionOpened(_ frontend: FrontendChannel)
  /// The front-end left and every queue was stopped: drop sessions and negotiated state.
  func connectionClosed()
  /// The server stops while the front-end is there, and every queue was stopped: keep what outlives the process.
  func connectionInterrupted()
  /// The front-end's memory is another from now on; no queue runs during the call.
  func memoryChanged(_ memory: MemoryMap)
  /// Takes the accepted features, a subset of the offered; no queue runs during the call.
  func setFeatures(_ accepted: UInt64)
  /// Takes the accepted protocol features, a subset of the offered.
  func setProtocolFeatures(_ accepted: UInt64)
  /// Starts processing a ring that is not running, and owns what the setup holds until `stopQueue`.
  func startQueue(_ setup: consuming QueueSetup) throws(QueueStartError)
  /// Stops a ring and returns its base once nothing of it is in flight and nothing more will be written.
  ///
  /// Nil if it did not run. For a split ring the base is the next available index (16 bits), for a packed one the
  /// word of `GET_VRING_BASE`.
  func stopQueue(_ index: Int) -> UInt32?
  /// Whether the guest has corrupted a ring that was started: it must not run again before the front-end has taken it
  /// back or set its base.
  func ringIsCorrupt(_ index: Int) -> Bool
  /// The bytes of a window of the configuration space, or nil if it does not lie inside.
  func readConfiguration(offset: Int, byteCount: Int) -> [UInt8]?
  /// Writes a window of the configuration space; false refuses.
  func writeConfiguration(offset: Int, bytes: [UInt8]) -> Bool
  /// Creates a session: not negative is its identifier, negative is minus the virtio-crypto status.
  func createSession(_ request: SessionRequest) -> Int64
  /// Closes a session; false if there is none of this identifier.
  func closeSession(_ id: UInt64) -> Bool
  /// Begins to send the device's state to a descriptor, or to read one from it; false refuses.
  ///
  /// No queue runs. Never waits for the other side.
  func beginStateTransfer(_ direction: StateTransferDirection, _ channel: consuming FileDescriptor)
    -> Bool
  /// Ends the transfer, waiting for it no longer than it may take; whether all of it went well.
  func endStateTransfer() -> Bool
  /// Back to the initial state (`RESET_DEVICE`): sessions go; every queue was stopped before.
  func reset()
  /// One of `serviceDescriptors` has input, an error or a hang-up.
  func descriptorIsReady(_ descriptor: Int32)
}

extension VhostUserDevice {
  public var inflightAnnexByteCount: Int { 0 }
  public func connectionInterrupted() { connectionClosed() }
  public func memoryChanged(_ memory: MemoryMap) {}
  public func beginStateTransfer(
    _ direction: StateTransferDirection, _ channel: consuming FileDescriptor
  ) -> Bool { false }
  public func endStateTransfer() -> Bool { false }
}

/// Why a device would not start a ring.
public struct QueueStartError: Error, Hashable, Sendable {
  /// Constant text for the log.
  public var reason: String

  public init(reason: String) { self.reason = reason }
}

/// A ring that is ready to run: checked addresses, its event descriptors, and the memory its buffers are in.
///
/// The three slices lie each inside one region, have the sizes that `size` asks for and the alignment of their kind
/// (16, 2 and 4 bytes; packed 16, 4 and 4). They stay valid as long as `memory` does. The descriptors are duplicates
/// that belong to the setup.
@safe
public struct QueueSetup: ~Copyable {
  public let index: Int
  /// Number of descriptors: 1…32768, for a split ring a power of two.
  public let size: UInt16
  /// The word of `SET_VRING_BASE`, or what `stopQueue` returned: where to go on.
  public let base: UInt32
  public let isPacked: Bool
  public let descriptorTable: GuestSlice
  /// The available ring; for a packed ring the driver's event suppression.
  public let availableRing: GuestSlice
  /// The used ring; for a packed ring the device's event suppression.
  public let usedRing: GuestSlice
  public let memory: MemoryMap
  /// Signalled by the driver when buffers are available; nil: the ring is to be polled.
  public var kick: FileDescriptor?
  /// To be signalled when buffers were used; nil: nobody listens.
  public var call: FileDescriptor?
  /// To be signalled when the ring is found corrupt; nil: nobody listens.
  public var error: FileDescriptor?
  /// Where requests in flight are to be recorded, and what was in flight when the daemon before ended; nil: nowhere.
  public let inflight: InflightRegion?
  /// What the ring's worker has to log; nil: nothing.
  public let dirtyLogging: DirtyLogging?
  /// To be signalled when pages were logged; nil: nobody listens.
  public var logEvent: FileDescriptor?

  /// The kick's descriptor, borrowed from the setup; -1 where there is none.
  public var kickRawValue: Int32 {
    switch kick {
    case .some(let descriptor): descriptor.rawValue
    case nil: -1
    }
  }

  /// The call's descriptor, borrowed from the setup; -1 where there is none.
  public var callRawValue: Int32 {
    switch call {
    case .some(let descriptor): descriptor.rawValue
    case nil: -1
    }
  }

  /// The error's descriptor, borrowed from the setup; -1 where there is none.
  public var errorRawValue: Int32 {
    switch error {
    case .some(let descriptor): descriptor.rawValue
    case nil: -1
    }
  }

  /// The log event's descriptor, borrowed from the setup; -1 where there is none, or nothing is logged.
  public var logEventRawValue: Int32 {
    switch logEvent {
    case .some(let descriptor): dirtyLogging == nil ? -1 : descriptor.rawValue
    case nil: -1
    }
  }

  /// For a split ring, the index of the next available entry to take.
  public var nextAvailable: UInt16 { UInt16(truncatingIfNeeded: base) }
}
