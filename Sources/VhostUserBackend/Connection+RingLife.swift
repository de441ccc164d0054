internal import GuestMemory
internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// When rings run, and how they are handed to the device and taken back.
extension Connection {
  /// `VIRTIO_F_RING_PACKED`.
  private static let ringPacked: UInt64 = 1 << 34

  var usesPackedRings: Bool { features & Self.ringPacked != 0 }

  /// Where rings begin that nobody has set the base of: packed ones with both wrap counters set.
  var initialBase: UInt32 { usesPackedRings ? 0x8000_8000 : 0 }

  /// Whether a ring is enabled: as last told, or, by front-ends that never tell, always.
  func isEnabled(_ ring: Ring) -> Bool { ring.enable ?? !sawRingEnable }

  /// Whether all is there for the ring to run; its addresses have not been looked at.
  func mayRun(_ ring: Ring) -> Bool {
    ring.isComplete && !ring.isCorrupt && isEnabled(ring) && !memory.isEmpty
  }

  /// Takes the ring back from the device; from then on nothing of it is in flight and nothing is written.
  func stop(_ ring: Ring) {
    guard ring.isRunning else { return }
    ring.isRunning = false
    if device.ringIsCorrupt(ring.index) { ring.isCorrupt = true }
    if let base = device.stopQueue(ring.index) { ring.base = base }
  }

  func stopAll() {
    for ring in rings { stop(ring) }
  }

  /// Starts the ring if it may run and does not; throws `queueStart` when it may and cannot.
  func startIfItMay(_ ring: Ring) throws(Refusal) {
    guard !ring.isRunning, mayRun(ring) else { return }
    do {
      try device.startQueue(try setup(of: ring))
      ring.isRunning = true
      // Whoever served the ring before may have died between showing results and calling, and a driver with event indices
      // would then wait for ever: no later result calls it. One call too many does no harm.
      ring.call?.signal()
    } catch {
      ring.error?.signal()
      throw .queueStart(index: ring.index, reason: error.reason)
    }
  }

  /// Starts every ring that may run after a change that concerns them all; those that cannot stay stopped and say so.
  func startWhatMayRun() {
    for ring in rings {
      do {
        try startIfItMay(ring)
      } catch {
        log.log(.warning, "ring stays stopped", ["reason": "\(error)"])
      }
    }
  }

  /// Checks a ring's addresses against its size and the memory, and gathers what the device needs.
  private func setup(of ring: Ring) throws(QueueStartError) -> QueueSetup {
    guard let address = ring.address else { throw QueueStartError(reason: "no addresses") }
    guard !memory.isLost else {
      throw QueueStartError(reason: "guest memory was lost: share it anew")
    }
    guard !logIsLost(of: ring) else {
      throw QueueStartError(reason: "the log of dirty pages was lost: give another one")
    }
    let size = Int(ring.size)
    let packed = usesPackedRings
    // Spec: virtio 1.3 §2.7 Split Virtqueues and §2.8 Packed Virtqueues: 16 bytes per descriptor; the split rings have
    // flags, index, entries and an event index, the packed event suppression areas four bytes.
    let descriptorTable = try slice(
      address.descriptorTable, byteCount: 16 * size, alignment: 16, "descriptor table")
    let availableRing = try slice(
      address.availableRing, byteCount: packed ? 4 : 6 + 2 * size, alignment: packed ? 4 : 2,
      "available ring")
    let usedRing = try slice(
      address.usedRing, byteCount: packed ? 4 : 6 + 8 * size, alignment: 4, "used ring")
    return QueueSetup(
      index: ring.index, size: ring.size, base: ring.base ?? initialBase, isPacked: packed,
      descriptorTable: descriptorTable, availableRing: availableRing, usedRing: usedRing,
      memory: memory, kick: try duplicate(ring.kick), call: try duplicate(ring.call),
      error: try duplicate(ring.error), inflight: try inflightRegion(of: ring),
      dirtyLogging: logging(of: ring, address), logEvent: try duplicate(logEvent))
  }

  private func slice(
    _ address: UInt64, byteCount: Int, alignment: UInt, _ part: StaticString
  ) throws(QueueStartError) -> GuestSlice {
    guard
      let slice = memory.translate(FrontendAddress(rawValue: address), byteCount: byteCount)
    else { throw QueueStartError(reason: "\(part) outside guest memory") }
    // SAFETY: only the pointer's number is looked at.
    guard unsafe UInt(bitPattern: slice.pointer) % alignment == 0 else {
      throw QueueStartError(reason: "\(part) misaligned")
    }
    return slice
  }

  /// A descriptor for the device to own; the original serves the next start.
  private func duplicate(
    _ descriptor: borrowing FileDescriptor?
  ) throws(QueueStartError) -> FileDescriptor? {
    do {
      switch descriptor {
      case .none: return nil
      case .some(let descriptor): return try descriptor.duplicate()
      }
    } catch {
      throw QueueStartError(reason: "out of file descriptors")
    }
  }
}
