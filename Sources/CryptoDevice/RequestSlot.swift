import CRingShims
public import CryptoTypes
public import VirtQueue
import VirtioSpec

/// A data request between its descriptor chain and its used entry.
///
/// Lives at a stable address in the worker's slot table while an engine works on it.
@safe
@frozen
public struct RequestSlot {
  /// What the engine sees.
  ///
  /// First, so that an operation's address is its slot's.
  public var operation: CryptoOperation
  var isTransient = false
  /// What the chain's used entry is written with.
  public var ticket = ChainTicket(id: 0, slotCount: 0)
  /// Row of the statistics; valid once a session is known.
  public var row: UInt16 = 0
  public var hasRow = false
  /// The virtio-crypto status that was given.
  public var status: UInt8 = 0
  /// The half of the worker's grace period that it was submitted in.
  public var epoch: UInt8 = 0
  /// Index of its bounce buffer, or -1.
  var bounce: Int16 = -1
  /// Whether some of its payload was copied, as it was in pieces or lay where its result goes.
  public var isBounced: Bool { @_noAllocation @_noLocks get { bounce >= 0 } }
  /// The result lies in the bounce buffer and has to be scattered.
  var isOutputBounced = false
  /// What is written may lie over the source; where this is not set, it does not.
  var mayWriteOverSource = false
  /// Bytes that success writes to the device-writable part, without the status byte.
  var outputByteCount: UInt32 = 0
  /// A public-key request: the result has the length that the operation gives, and key and result are wiped.
  var isAsymmetric = false
  /// Bytes of key at the head of its bounce buffer; of an ASYM request, everything that was copied there.
  var secretByteCount: UInt32 = 0
  /// A request of the ASYM service, which has its own place for the status.
  var isASYM = false
  /// There is room for that; the spans of the result begin with it.
  var hasASYMHeader = false
  /// There is a byte behind the result, for the status that all services have.
  var hasLastByte = false
  /// Bytes of status and lengths in front of an ASYM result.
  var asymFrontByteCount: UInt32 = 0
  /// Where the status goes: the last writable byte of the chain.
  var statusByte: UnsafeMutablePointer<UInt8>
  /// When its batch was taken, in ticks.
  public var startTicks: UInt64 = 0
  /// Next free slot; the slot table's.
  @usableFromInline var nextFree: UnsafeMutablePointer<RequestSlot>?
  /// Parameters of a stateless request; the operation points here, the keys lie in the slot's key area.
  ///
  /// Last, as it is seldom used.
  var transient: SessionParameters

  init(placeholder: UnsafeMutablePointer<UInt8>, parameters: UnsafePointer<SessionParameters>) {
    unsafe operation = CryptoOperation(session: parameters, placeholder: placeholder)
    transient = SessionParameters()
    unsafe statusByte = placeholder
    unsafe nextFree = nil
  }
}

/// Slots of requests that were finished, and whose output is not in the log of dirty pages yet.
///
/// Not linked through the slots, whose lines are out of the first cache by then: a list would have them fetched one after
/// the other.
@safe
struct UnloggedSlots: ~Copyable {
  let start: UnsafeMutablePointer<UnsafeMutablePointer<RequestSlot>>
  private(set) var end: UnsafeMutablePointer<UnsafeMutablePointer<RequestSlot>>

  /// - `capacity`: as many as there are slots, since none is taken again before it is logged.
  init(capacity: Int) {
    unsafe start = .allocate(capacity: capacity)
    unsafe end = start
  }

  deinit { unsafe start.deallocate() }

  var isEmpty: Bool { @_noAllocation @_noLocks get { unsafe start == end } }

  @_noAllocation @_noLocks
  @inline(__always)
  mutating func append(_ slot: UnsafeMutablePointer<RequestSlot>) {
    // SAFETY: there is room for all slots, see `init`.
    unsafe end.pointee = slot
    unsafe end += 1
  }

  @_noAllocation @_noLocks
  @inline(__always)
  mutating func removeAll() { unsafe end = start }
}

/// A worker's request slots: as many as may be in flight at once, with room for the keys of stateless requests.
@safe
public struct SlotTable: ~Copyable {
  /// Longest cipher key (ARC4) and longest authentication key that a stateless request can carry.
  static var keyAreaByteCount: Int {
    @_noAllocation @_noLocks get { 256 + MACAlgorithm.maximumKeyByteCount }
  }

  public let capacity: Int
  @usableFromInline let slots: UnsafeMutablePointer<RequestSlot>
  private let keyAreas: UnsafeMutablePointer<UInt8>
  /// The free slot that was used last; nil when all are in flight.
  @usableFromInline var firstFree: UnsafeMutablePointer<RequestSlot>?
  @usableFromInline var freeCount: Int

  public init(capacity: Int) {
    self.capacity = capacity
    freeCount = capacity
    unsafe slots = .allocate(capacity: capacity)
    unsafe keyAreas = .allocate(capacity: capacity * Self.keyAreaByteCount)
    unsafe keyAreas.initialize(repeating: 0, count: capacity * Self.keyAreaByteCount)
    unsafe firstFree = nil
    for index in (0..<capacity).reversed() {
      // SAFETY: index < capacity. The placeholder is never dereferenced: lengths are 0 until a request is parsed.
      let slot = unsafe slots + index
      unsafe slot.initialize(
        to: RequestSlot(
          placeholder: keyAreas,
          parameters: UnsafeRawPointer(slot).assumingMemoryBound(to: SessionParameters.self)))
      unsafe slot.pointee.nextFree = firstFree
      unsafe firstFree = slot
    }
  }

  deinit {
    // A ring that breaks behind a stateless request's keys leaves them here.
    unsafe cring_wipe(keyAreas, capacity * Self.keyAreaByteCount)
    unsafe slots.deallocate()
    unsafe keyAreas.deallocate()
  }

  /// Takes a free slot; nil when all are in flight.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func take() -> UnsafeMutablePointer<RequestSlot>? {
    // SAFETY: the free list holds slots of the table only.
    guard let slot = unsafe firstFree else { return nil }
    unsafe firstFree = slot.pointee.nextFree
    freeCount &-= 1
    return unsafe slot
  }

  /// Gives a slot back.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func release(_ slot: UnsafeMutablePointer<RequestSlot>) {
    // SAFETY: the slot came from `take`.
    unsafe slot.pointee.nextFree = firstFree
    unsafe firstFree = slot
    freeCount &+= 1
  }

  /// The room for a slot's keys: `keyAreaByteCount` bytes.
  @_noAllocation @_noLocks
  func keyArea(of slot: UnsafeMutablePointer<RequestSlot>) -> UnsafeMutablePointer<UInt8> {
    unsafe keyAreas + (slot - slots) &* Self.keyAreaByteCount
  }

  /// Where the parameters of a slot's stateless request are.
  @_noAllocation @_noLocks
  static func transientParameters(
    of slot: UnsafeMutablePointer<RequestSlot>
  ) -> UnsafeMutablePointer<SessionParameters> {
    // SAFETY: the address of a stored property of a struct in memory that the slot table owns.
    unsafe withUnsafeMutablePointer(to: &slot.pointee.transient) { unsafe $0 }
  }

  /// The slot of an operation that an engine gives back.
  @_noAllocation @_noLocks
  public static func slot(
    of operation: UnsafeMutablePointer<CryptoOperation>
  ) -> UnsafeMutablePointer<RequestSlot> {
    // SAFETY: every operation that an engine sees is the first field of a slot.
    unsafe UnsafeMutableRawPointer(operation).assumingMemoryBound(to: RequestSlot.self)
  }
}
