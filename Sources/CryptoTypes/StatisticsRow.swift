/// The row of the statistics that a request counts in: algorithm × operation, numbered densely so that a worker's
/// counters are one flat table.
public struct StatisticsRow: Hashable, Sendable {
  public var index: UInt16

  @inlinable public init(index: UInt16) { self.index = index }

  private static let ciphers = UInt16(CipherAlgorithm.allCases.count)
  private static let hashes = UInt16(HashAlgorithm.allCases.count)
  private static let macs = UInt16(MACAlgorithm.allCases.count)
  private static let aeads = UInt16(AEADAlgorithm.allCases.count)
  private static let hashBase = ciphers * 2
  private static let macBase = hashBase + hashes
  private static let aeadBase = macBase + macs
  private static let chainBase = aeadBase + aeads * 2
  /// A chain's second half: a plain hash, a nested hash or a MAC.
  private static let chainHalves = hashes * 2 + macs

  /// How many rows there are.
  public static let count = Int(chainBase + ciphers * chainHalves * 2)

  /// The row of every request of a session.
  public init(_ session: SessionParameters) {
    let direction = UInt16(session.direction.rawValue)
    switch session.service {
    case .cipher: index = UInt16(session.cipher.rawValue) * 2 + direction
    case .hash: index = Self.hashBase + UInt16(session.hash.rawValue)
    case .mac: index = Self.macBase + UInt16(session.mac.rawValue)
    case .aead: index = Self.aeadBase + UInt16(session.aead.rawValue) * 2 + direction
    case .chain:
      let half: UInt16 =
        switch session.hashMode {
        case .plain: UInt16(session.hash.rawValue)
        case .nested: Self.hashes + UInt16(session.hash.rawValue)
        case .authenticated: Self.hashes * 2 + UInt16(session.mac.rawValue)
        }
      index =
        Self.chainBase
        + (UInt16(session.cipher.rawValue) * Self.chainHalves + half) * 2 + direction
    }
  }

  /// The algorithm's name, such as `aes-cbc` or `aes-cbc+hmac-sha1`.
  public var algorithmName: String {
    if index < Self.hashBase { return CipherAlgorithm.allCases[Int(index / 2)].name }
    if index < Self.macBase { return HashAlgorithm.allCases[Int(index - Self.hashBase)].name }
    if index < Self.aeadBase { return MACAlgorithm.allCases[Int(index - Self.macBase)].name }
    if index < Self.chainBase {
      return AEADAlgorithm.allCases[Int((index - Self.aeadBase) / 2)].name
    }
    let pair = (index - Self.chainBase) / 2
    let cipher = CipherAlgorithm.allCases[Int(pair / Self.chainHalves)].name
    let half = pair % Self.chainHalves
    if half < Self.hashes { return cipher + "+" + HashAlgorithm.allCases[Int(half)].name }
    if half < Self.hashes * 2 {
      return cipher + "+nested-" + HashAlgorithm.allCases[Int(half - Self.hashes)].name
    }
    return cipher + "+" + MACAlgorithm.allCases[Int(half - Self.hashes * 2)].name
  }

  /// `encrypt`, `decrypt`, `hash` or `mac`.
  public var operationName: String {
    if index >= Self.hashBase && index < Self.macBase { return "hash" }
    if index >= Self.macBase && index < Self.aeadBase { return "mac" }
    let base = index < Self.hashBase ? 0 : index < Self.chainBase ? Self.aeadBase : Self.chainBase
    return (index - base) % 2 == 0 ? "encrypt" : "decrypt"
  }

  /// The service's name: `cipher`, `hash`, `mac`, `aead` or `chain`.
  public var serviceName: String {
    if index < Self.hashBase { return "cipher" }
    if index < Self.macBase { return "hash" }
    if index < Self.aeadBase { return "mac" }
    return index < Self.chainBase ? "aead" : "chain"
  }
}
