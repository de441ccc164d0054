import CryptoDevice
import CryptoTypes
import VhostUserProtocol
import VirtioSpec

/// What the numbers of virtio-crypto and vhost-user mean.
enum Explanation {
  static let words = [
    "status", "features", "protocol_features", "crypto_services", "cipher_algo", "hash_algo",
    "mac_algo", "aead_algo", "config_status", "opcode",
  ]

  /// A decimal or `0x` number of 64 bits.
  static func number(_ text: String) -> UInt64? {
    let lowered = text.lowercased()
    return lowered.hasPrefix("0x") ? UInt64(lowered.dropFirst(2), radix: 16) : UInt64(lowered)
  }

  /// The meaning of a number of a known kind; nil for an unknown kind.
  static func of(
    _ word: String, _ number: UInt64, _ dialect: Dialect = .virtio13
  ) -> String? {
    switch word.lowercased().replacing("-", with: "_") {
    case "status": status(number)
    case "features": bits(number, features(dialect))
    case "protocol_features": bits(number, protocolFeatures)
    case "crypto_services":
      bits(number, [0: "cipher", 1: "hash", 2: "mac", 3: "aead", 4: "akcipher"])
    case "cipher_algo": algorithms(number, .cipher)
    case "hash_algo": algorithms(number, .hash)
    case "mac_algo": algorithms(number, .mac)
    case "aead_algo": algorithms(number, .aead)
    case "akcipher_algo": algorithms(number, .akcipher)
    case "config_status": bits(number, [0: "HW_READY: the device accepts requests"])
    case "opcode": opcodes[number] ?? "no opcode of virtio-crypto"
    default: nil
    }
  }

  /// The meanings that a number without a word may have.
  static func ofBareNumber(_ number: UInt64, _ dialect: Dialect = .virtio13) -> String {
    var lines = ["0x" + String(number, radix: 16)]
    if number < 7 { lines.append("  as status: \(status(number))") }
    if let opcode = opcodes[number] { lines.append("  as opcode: \(opcode)") }
    lines.append("  as features: \(bits(number, features(dialect)))")
    return lines.joined(separator: "\n")
  }

  private static func status(_ number: UInt64) -> String {
    let meanings = [
      "the request succeeded",
      "it failed: lengths, key or padding do not fit, or the engine failed",
      "an AEAD tag does not verify", "algorithm, operation or key size is not offered",
      "no such session for this service", "no room for another session",
      "a signature does not verify",
    ]
    guard number < meanings.count else { return "no status of virtio-crypto" }
    let name = VirtioCryptoStatus(rawValue: UInt8(number)).description
    return "\(name): \(meanings[Int(number)])"
  }

  /// The names of the bits that are set, lowest first.
  private static func bits(_ mask: UInt64, _ names: [Int: String]) -> String {
    let set = (0..<64).filter { mask >> UInt64($0) & 1 == 1 }
    return set.isEmpty
      ? "nothing" : set.map { "\(names[$0] ?? "unknown") (bit \($0))" }.joined(separator: ", ")
  }

  /// A mask of algorithms: bit n stands for the algorithm number n.
  private static func algorithms(_ mask: UInt64, _ service: CryptoService) -> String {
    var names: [Int: String] = [0: "none"]
    for algorithm in CryptoAlgorithm.allCases where algorithm.service == service {
      if let number = AlgorithmNumbers.number(of: algorithm) { names[Int(number)] = algorithm.name }
    }
    return bits(mask, names)
  }

  /// Draft v15 has nothing at bits 0 and 5, and the opposite at the ones between.
  private static func features(_ dialect: Dialect) -> [Int: String] {
    guard dialect.isDraftV15 else { return features }
    var names = features
    (names[0], names[5]) = (nil, nil)
    for (bit, service) in ["CIPHER", "HASH", "MAC", "AEAD"].enumerated() {
      names[bit + 1] = "CRYPTO_\(service)_SESSION_MODE"
    }
    return names
  }

  private static let features: [Int: String] = {
    let masks: [(UInt64, String)] = [
      (VirtioFeature.cryptoRevision1, "CRYPTO_REVISION_1"),
      (VirtioFeature.cryptoCipherStateless, "CRYPTO_CIPHER_STATELESS_MODE"),
      (VirtioFeature.cryptoHashStateless, "CRYPTO_HASH_STATELESS_MODE"),
      (VirtioFeature.cryptoMACStateless, "CRYPTO_MAC_STATELESS_MODE"),
      (VirtioFeature.cryptoAEADStateless, "CRYPTO_AEAD_STATELESS_MODE"),
      (VirtioFeature.cryptoAKCipherStateless, "CRYPTO_AKCIPHER_STATELESS_MODE"),
      (1 << 26, "VHOST_F_LOG_ALL"),
      (VirtioFeature.ringIndirectDescriptors, "RING_INDIRECT_DESC"),
      (VirtioFeature.ringEventIndex, "RING_EVENT_IDX"),
      (VirtioFeature.vhostUserProtocolFeatures, "VHOST_USER_PROTOCOL_FEATURES"),
      (VirtioFeature.version1, "VERSION_1"), (1 << 33, "ACCESS_PLATFORM"),
      (VirtioFeature.ringPacked, "RING_PACKED"), (VirtioFeature.inOrder, "IN_ORDER"),
      (1 << 36, "ORDER_PLATFORM"), (1 << 37, "SR_IOV"), (1 << 38, "NOTIFICATION_DATA"),
      (1 << 40, "RING_RESET"),
    ]
    return Dictionary(masks.map { ($0.0.trailingZeroBitCount, $0.1) }) { first, _ in first }
  }()

  private static let protocolFeatures: [Int: String] = {
    let masks: [(UInt64, String)] = [
      (ProtocolFeature.multiqueue, "MQ"), (ProtocolFeature.logSharedMemory, "LOG_SHMFD"),
      (ProtocolFeature.rarp, "RARP"), (ProtocolFeature.replyAcknowledgement, "REPLY_ACK"),
      (ProtocolFeature.netMTU, "NET_MTU"), (ProtocolFeature.backendRequests, "BACKEND_REQ"),
      (ProtocolFeature.crossEndian, "CROSS_ENDIAN"),
      (ProtocolFeature.cryptoSession, "CRYPTO_SESSION"), (ProtocolFeature.pageFault, "PAGEFAULT"),
      (ProtocolFeature.config, "CONFIG"),
      (ProtocolFeature.backendSendDescriptor, "BACKEND_SEND_FD"),
      (ProtocolFeature.hostNotifier, "HOST_NOTIFIER"),
      (ProtocolFeature.inflightSharedMemory, "INFLIGHT_SHMFD"),
      (ProtocolFeature.resetDevice, "RESET_DEVICE"),
      (ProtocolFeature.inBandNotifications, "INBAND_NOTIFICATIONS"),
      (ProtocolFeature.configureMemorySlots, "CONFIGURE_MEM_SLOTS"),
      (ProtocolFeature.status, "STATUS"), (ProtocolFeature.xenMmap, "XEN_MMAP"),
      (ProtocolFeature.sharedObject, "SHARED_OBJECT"),
      (ProtocolFeature.deviceState, "DEVICE_STATE"),
    ]
    return Dictionary(masks.map { ($0.0.trailingZeroBitCount, $0.1) }) { first, _ in first }
  }()

  /// Opcodes of control and data requests: the service in the high byte, what to do in the low one.
  private static let opcodes: [UInt64: String] = {
    var opcodes: [UInt64: String] = [:]
    for (service, name) in ["CIPHER", "HASH", "MAC", "AEAD", "AKCIPHER"].enumerated() {
      let base = UInt64(service) << 8
      let first: UInt64 = name == "AKCIPHER" ? 4 : 2
      opcodes[base + first] = "VIRTIO_CRYPTO_\(name)_CREATE_SESSION"
      opcodes[base + first + 1] = "VIRTIO_CRYPTO_\(name)_DESTROY_SESSION"
      switch name {
      case "HASH", "MAC": opcodes[base] = "VIRTIO_CRYPTO_\(name)"
      default:
        opcodes[base] = "VIRTIO_CRYPTO_\(name)_ENCRYPT"
        opcodes[base + 1] = "VIRTIO_CRYPTO_\(name)_DECRYPT"
      }
    }
    opcodes[0x402] = "VIRTIO_CRYPTO_AKCIPHER_SIGN"
    opcodes[0x403] = "VIRTIO_CRYPTO_AKCIPHER_VERIFY"
    return opcodes
  }()
}
