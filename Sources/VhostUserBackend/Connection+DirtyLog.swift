internal import GuestMemory
internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// The log of dirty pages, for live migration.
///
/// What is logged is said elsewhere: `VHOST_F_LOG_ALL` of SET_FEATURES for buffers, `VHOST_VRING_F_LOG` of SET_VRING_ADDR
/// for a ring. Like everything under a ring, the log changes while it stands still.
extension Connection {
  /// Exchanges the log; the answer is sent when nothing more will be written to the one before.
  ///
  /// QEMU looks at no more than the answer's code, and would take a refusal for consent: where the log cannot be mapped,
  /// the connection ends. rust-vmm wants the payload back.
  func setLogBase(_ message: inout Message) throws(Refusal) {
    let payload = try parse(message, LogPayload.init(parsing:))
    guard let file = message.descriptors.take() else { throw .descriptorCount(0) }
    let log: DirtyLog
    do {
      log = try DirtyLog(
        file: file, offset: payload.mmapOffset, byteCount: payload.mmapByteCount)
    } catch {
      throw .dirtyLog(reason: "\(error)")
    }
    let stopped = rings.filter { $0.isRunning && isLogged($0) }
    for ring in stopped { stop(ring) }
    dirtyLog = log
    // Rings that were refused because the one before was lost, too.
    startWhatMayRun()
    reply(to: .setLogBase, payload.encoded)
  }

  /// Takes the eventfd that says that pages were logged.
  func setLogDescriptor(_ message: inout Message) {
    stopAll()
    logEvent = message.descriptors.take()
    startWhatMayRun()
  }

  /// Whether anything of a ring would be logged, given a log.
  private func isLogged(_ ring: Ring) -> Bool {
    features & VhostUserLimit.logAllBit != 0
      || (ring.address?.flags ?? 0) & VringAddress.logFlag != 0
  }

  /// Whether a ring would be logged where its front-end has truncated the log.
  func logIsLost(of ring: Ring) -> Bool { isLogged(ring) && dirtyLog?.isLost == true }

  /// What of a ring is logged, whose addresses were translated; nil: nothing.
  func logging(of ring: Ring, _ address: VringAddress) -> DirtyLogging? {
    guard let dirtyLog, isLogged(ring) else { return nil }
    if !dirtyLog.covers(memory) {
      self.log.log(
        .warning, "the log of dirty pages is shorter than guest memory",
        ["pages": "\(dirtyLog.pageCount)"])
    }
    let size = UInt64(ring.size)
    let usedRange: LoggedRange?
    let usedByteCount = usesPackedRings ? 4 : 6 + 8 * size
    if address.flags & VringAddress.logFlag != 0 {
      usedRange = LoggedRange(
        address: GuestAddress(rawValue: address.log), byteCount: usedByteCount)
    } else {
      usedRange = range(address.usedRing, usedByteCount)
    }
    // A packed ring's used descriptors lie over the available ones, which have no address for the log of their own.
    let descriptors = usesPackedRings ? range(address.descriptorTable, 16 * size) : nil
    return DirtyLogging(
      log: dirtyLog, includesBuffers: features & VhostUserLimit.logAllBit != 0,
      ring: [usedRange, descriptors].compactMap { $0 })
  }

  private func range(_ address: UInt64, _ byteCount: UInt64) -> LoggedRange? {
    memory.guestAddress(of: FrontendAddress(rawValue: address)).map {
      LoggedRange(address: $0, byteCount: byteCount)
    }
  }
}
