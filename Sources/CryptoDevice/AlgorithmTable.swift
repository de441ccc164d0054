public import CryptoTypes

/// From a number in a request to an algorithm that is offered, and to the engines that serve it.
///
/// Flat tables, fit for the data path, where stateless requests name their algorithms.
public struct AlgorithmTable: Sendable {
  /// What stands in a table for "nothing".
  private static let absent: UInt8 = 0xff

  /// Raw value of an algorithm by its number, or `absent`.
  private var ciphers = InlineArray<64, UInt8>(repeating: absent)
  private var hashes = InlineArray<64, UInt8>(repeating: absent)
  private var macs = InlineArray<64, UInt8>(repeating: absent)
  private var aeads = InlineArray<64, UInt8>(repeating: absent)
  private var akciphers = InlineArray<64, UInt8>(repeating: absent)
  /// Engines by an algorithm's raw value.
  private var cipherRoutes = InlineArray<16, EngineRoute>(repeating: EngineRoute())
  private var hashRoutes = InlineArray<16, EngineRoute>(repeating: EngineRoute())
  private var macRoutes = InlineArray<16, EngineRoute>(repeating: EngineRoute())
  private var aeadRoutes = InlineArray<16, EngineRoute>(repeating: EngineRoute())
  private var akcipherRoutes = InlineArray<16, EngineRoute>(repeating: EngineRoute())

  /// The longest keys that are taken, in bytes: of ciphers and AEADs; of MACs and nested hashes.
  public var maximumCipherKeyByteCount = UInt32.max
  public var maximumAuthKeyByteCount = UInt32.max

  /// The algorithms that are offered, each with the engines that may serve it; an empty route offers nothing.
  public init(offered: [CryptoAlgorithm: EngineRoute]) {
    for (algorithm, route) in offered where !route.isEmpty {
      // The ASYM service has numbers for all of them, the AKCIPHER service only for some.
      if case .akcipher(let akcipher) = algorithm { akcipherRoutes[Int(akcipher.rawValue)] = route }
      guard let word = AlgorithmNumbers.number(of: algorithm) else { continue }
      let number = Int(word)
      switch algorithm {
      case .cipher(let cipher):
        ciphers[number] = cipher.rawValue
        cipherRoutes[Int(cipher.rawValue)] = route
      case .hash(let hash):
        hashes[number] = hash.rawValue
        hashRoutes[Int(hash.rawValue)] = route
      case .mac(let mac):
        macs[number] = mac.rawValue
        macRoutes[Int(mac.rawValue)] = route
      case .aead(let aead):
        aeads[number] = aead.rawValue
        aeadRoutes[Int(aead.rawValue)] = route
      case .akcipher(let akcipher):
        akciphers[number] = akcipher.rawValue
      }
    }
  }

  /// The same without the AKCIPHER service, for dialects that do not have it.
  func withoutAKCipher() -> AlgorithmTable {
    var table = self
    table.akciphers = InlineArray(repeating: Self.absent)
    return table
  }

  // MARK: - Numbers

  @_noAllocation @_noLocks
  public func cipher(_ number: UInt32) -> CipherAlgorithm? {
    number < 64 ? CipherAlgorithm(rawValue: ciphers[Int(number)]) : nil
  }

  @_noAllocation @_noLocks
  public func hash(_ number: UInt32) -> HashAlgorithm? {
    number < 64 ? HashAlgorithm(rawValue: hashes[Int(number)]) : nil
  }

  @_noAllocation @_noLocks
  public func mac(_ number: UInt32) -> MACAlgorithm? {
    number < 64 ? MACAlgorithm(rawValue: macs[Int(number)]) : nil
  }

  @_noAllocation @_noLocks
  public func aead(_ number: UInt32) -> AEADAlgorithm? {
    number < 64 ? AEADAlgorithm(rawValue: aeads[Int(number)]) : nil
  }

  @_noAllocation @_noLocks
  public func akcipher(_ number: UInt32) -> AsymmetricAlgorithm? {
    number < 64 ? AsymmetricAlgorithm(rawValue: akciphers[Int(number)]) : nil
  }

  /// `VIRTIO_CRYPTO_ASYM_*` of the asymmetric RFC.
  @_noAllocation @_noLocks
  public func asymmetric(_ number: UInt32) -> AsymmetricAlgorithm? {
    let algorithm: AsymmetricAlgorithm
    switch number {
    case 1: algorithm = .rsa
    case 2: algorithm = .dsa
    case 3: algorithm = .dh
    case 4: algorithm = .ecdsa
    case 5: algorithm = .ecdh
    default: return nil
    }
    return akcipherRoutes[Int(algorithm.index)].isEmpty ? nil : algorithm
  }

  // MARK: - Engines

  /// The engines for a session: its algorithm's; for a chain those of the cipher's that also do the other half.
  @_noAllocation @_noLocks
  public func route(for session: SessionParameters) -> EngineRoute {
    switch session.service {
    case .cipher: cipherRoutes[Int(session.cipher.rawValue)]
    case .hash: hashRoutes[Int(session.hash.rawValue)]
    case .mac: macRoutes[Int(session.mac.rawValue)]
    case .aead: aeadRoutes[Int(session.aead.rawValue)]
    case .akcipher: akcipherRoutes[Int(session.asymmetric.index)]
    case .chain:
      cipherRoutes[Int(session.cipher.rawValue)].intersection(
        session.hashMode == .authenticated
          ? macRoutes[Int(session.mac.rawValue)] : hashRoutes[Int(session.hash.rawValue)])
    }
  }

  // MARK: - Masks of the configuration space

  private static func mask(_ table: InlineArray<64, UInt8>) -> UInt64 {
    table.indices.filter { table[$0] != absent }.reduce(0) { $0 | 1 << UInt64($1) }
  }

  public var cipherMask: UInt64 { Self.mask(ciphers) }
  public var hashMask: UInt32 { UInt32(truncatingIfNeeded: Self.mask(hashes)) }
  public var macMask: UInt64 { Self.mask(macs) }
  public var aeadMask: UInt32 { UInt32(truncatingIfNeeded: Self.mask(aeads)) }
  public var akcipherMask: UInt32 { UInt32(truncatingIfNeeded: Self.mask(akciphers)) }
  /// The ASYM service's, in the dialect that has it.
  public var asymmetricMask: UInt32 {
    (0..<32).filter { asymmetric($0) != nil }.reduce(0) { $0 | 1 << $1 }
  }
}
