import CryptoDevice
import HostEngines
import LinuxSystem
import Logging
import VhostUserBackend
import VhostUserProtocol

// The device's state for another host: its sessions, over the front-end's descriptor and nowhere else.
extension GuestDevice {
  /// Makes libcrypto ready to check states, before the filter of system calls is there.
  static func prepareStateTransfers() { _ = unsafe HostDigest.sha256(.init(start: nil, count: 0)) }

  func beginStateTransfer(
    _ direction: StateTransferDirection, _ channel: consuming FileDescriptor
  ) -> Bool {
    transfer?.cancel()
    transfer = nil
    do {
      let channel = try TransferChannel(owning: channel, writes: direction == .save)
      switch direction {
      case .save:
        settleHeldSessions(isFinal: true)
        let buffer = try StateBuffer(byteCount: core.stateByteCount)
        try unsafe core.saveState(to: buffer.bytes, digest: HostDigest.sha256)
        transfer = try .sending(buffer, to: channel)
      case .load:
        let limits = core.stateLimits
        transfer = try unsafe .receiving(from: channel) { header in
          Result { () throws(DeviceStateError) in try unsafe limits.byteCount(header: header) }
        }
      }
      return true
    } catch {
      peerLog.log(
        .warning, "the device's state is not transferred", ["reason": "\(error)"])
      return false
    }
  }

  func endStateTransfer() -> Bool {
    guard let transfer = transfer.take() else {
      peerLog.log(
        .warning, "the device's state is not transferred", ["reason": "no transfer was begun"])
      return false
    }
    switch transfer.finish() {
    case .sent: return true
    case .received(let buffer): return load(buffer)
    case .failed(let reason):
      peerLog.log(.warning, "the device's state is not transferred", ["reason": "\(reason)"])
      return false
    }
  }

  private func load(_ buffer: StateBuffer) -> Bool {
    defer {
      UnusedStack.wipe()
      countSessions()
    }
    do throws(DeviceStateError) {
      // The last byte is the one that did not come.
      try unsafe core.loadState(
        UnsafeRawBufferPointer(rebasing: buffer.bytes.dropLast()), digest: HostDigest.sha256)
    } catch {
      peerLog.log(.warning, "the device's state is refused", ["reason": "\(error)"])
      return false
    }
    peerLog.log(
      .info, "the device's state was taken over", ["sessions": "\(core.sessions.openCount)"])
    return true
  }
}
