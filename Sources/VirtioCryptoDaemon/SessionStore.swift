import CryptoDevice
import LinuxSystem
import Logging
import ServiceManager

/// The service manager's descriptor store, where sessions' journals outlive the daemon.
///
/// Spec: systemd, sd_notify(3), `FDSTORE=1`; systemd.service(5), `FileDescriptorStoreMax=`
struct SessionStore {
  /// What journals' names in the store begin with.
  static let prefix = "sessions-"

  /// Nil: sessions end with the daemon.
  private let notifier: ServiceNotifier?
  /// What an earlier process has left, by name.
  private var stored: [String: Int32] = [:]
  private let logger: Logger

  /// - `files`: what the service manager has given back; they belong to the store from here on.
  /// - `isWanted`: false gives up what is in the store.
  init(_ manager: ServiceManager, files: [StoredFile], isWanted: Bool, logger: Logger) {
    let isWanted = isWanted && manager.notifier != nil
    notifier = isWanted ? manager.notifier : nil
    self.logger = logger
    for file in files {
      if stored[file.name] == nil, isWanted {
        stored[file.name] = file.rawValue
      } else {
        _ = FileDescriptor(owning: file.rawValue)
        if stored[file.name] == nil { try? manager.notifier?.send([.forgetDescriptors(file.name)]) }
      }
    }
  }

  /// The journal of a device: the one that an earlier process has left, or a new one; nil: its sessions end with us.
  mutating func journal(ofDevice device: String, slotCount: Int) -> SessionJournal? {
    guard let notifier else { return nil }
    let name = Self.name(ofDevice: device)
    if let rawValue = stored.removeValue(forKey: name) {
      if let journal = adopt(rawValue, device: device, slotCount: slotCount) { return journal }
      try? notifier.send([.forgetDescriptors(name)])
    }
    do throws(SystemError) {
      let journal = try SessionJournal(name: "vhost-crypto-sessions", slotCount: slotCount)
      try notifier.store(journal.descriptor, name: name)
      return journal
    } catch {
      logger.warning(
        "sessions will end with the daemon",
        metadata: ["device": "\(device)", "reason": "\(error)"])
      return nil
    }
  }

  private func adopt(_ rawValue: Int32, device: String, slotCount: Int) -> SessionJournal? {
    do throws(JournalError) {
      let journal = try SessionJournal(adopting: FileDescriptor(owning: rawValue))
      // Another max-sessions now: sessions keep what they have, and with the last of them it goes.
      return journal.slotCount == slotCount || journal.hasSessions ? journal : nil
    } catch {
      logger.warning(
        "sessions of an earlier process are damaged, and lost",
        metadata: ["device": "\(device)", "reason": "\(error)"])
      return nil
    }
  }

  /// Gives up what is for no device; after the last one's `journal(ofDevice:slotCount:)`.
  mutating func finish() {
    for (name, rawValue) in stored {
      logger.notice(
        "sessions of a device that is no more are destroyed", metadata: ["name": "\(name)"])
      _ = FileDescriptor(owning: rawValue)
      try? notifier?.send([.forgetDescriptors(name)])
    }
    stored = [:]
  }

  /// A device's name as the store takes it: printable, without colons.
  static func name(ofDevice device: String) -> String {
    let isPlain = device.utf8.allSatisfy { byte in
      (0x21...0x7E).contains(byte) && byte != UInt8(ascii: ":") && byte != UInt8(ascii: "%")
    }
    if isPlain, device.utf8.count <= 200 { return prefix + device }
    let hex = device.utf8.prefix(60).map { byte in
      "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return prefix + hex.joined()
  }
}
