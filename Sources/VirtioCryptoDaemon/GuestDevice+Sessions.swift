import CryptoDevice
import GuestMemory
import LinuxSystem
import Logging
import VhostUserBackend

// Sessions of an earlier process: to whom they are given back.
extension GuestDevice {
  /// Says what became of the sessions that an earlier process left, and drops those that nobody can come back to.
  ///
  /// Before the filter of system calls is there.
  func reportRestoration(_ duration: Duration) {
    let restoration = core.restoration
    guard restoration != Restoration() else { return }
    logger.info(
      "sessions of an earlier process wait for their guest",
      metadata: [
        "sessions": "\(restoration.heldCount)", "refused": "\(restoration.refusedCount)",
        "without a guest": "\(restoration.ownerlessCount)",
        "milliseconds": "\(duration / .milliseconds(1))",
      ])
    guard let owner = core.heldOwner else { return }
    if owner.peer.number > 0, !PeerProcess.exists(owner.peer.number) {
      dropHeldSessions("its front-end has ended")
    } else {
      // Without one they are held until somebody comes.
      do throws(SystemError) {
        heldAlarm = try Alarm(seconds: sessionPatience)
      } catch { heldAlarm = nil }
    }
  }

  /// The guest has not come back in time.
  func giveUpHeldSessions() {
    heldAlarm = nil
    guard core.heldOwner != nil else { return }
    dropHeldSessions("its front-end has not come back")
    core.setOwner(currentOwner)
  }

  func dropHeldSessions(_ reason: String) {
    heldAlarm = nil
    let count = core.sessions.heldCount
    core.destroyHeld()
    peerLog.log(
      .notice, "sessions of an earlier process are destroyed",
      ["sessions": "\(count)", "reason": "\(reason)"])
  }

  func memoryChanged(_ memory: MemoryMap) {
    // A table without regions says nothing of whose it is.
    guard let identity = memory.identity else { return }
    memoryIdentity = identity
    core.setOwner(currentOwner)
  }

  /// Who this connection's guest is, once it has shared memory.
  var currentOwner: SessionOwner? {
    guard let memoryIdentity, let frontend else { return nil }
    return SessionOwner(memory: memoryIdentity, peer: frontend.peer)
  }

  /// Gives held sessions to the guest if they are its.
  ///
  /// `isFinal`: nothing can be found out any more, and they are destroyed if they are another's.
  func settleHeldSessions(isFinal: Bool) {
    guard let owner = core.heldOwner else { return }
    if let currentOwner, currentOwner == owner {
      core.admitHeld()
      heldAlarm = nil
      countSessions()
      peerLog.log(
        .info, "the guest has its sessions again", ["sessions": "\(core.sessions.openCount)"])
    } else if isFinal {
      dropHeldSessions("another guest came")
      core.setOwner(currentOwner)
    }
  }

  /// The process ends while the front-end is there.
  func connectionInterrupted() {
    guard core.sessions.isKept else { return connectionClosed() }
    endConnection()
  }
}
