public import CryptoTypes

/// From a number in a request to an algorithm that is offered, and to the engine that serves it.
///
/// Flat tables, fit for the data path, where stateless requests name their algorithms.
public struct AlgorithmTable: Sendable {
  /// What stands in a table for "nothing".
  private static let absent: UInt8 = 0xff
  /// How many engines an algorithm's list holds at most.
  public static let engineListCapacity = 4

  /// Raw value of an algorithm by its number, or `absent`.
  private var ciphers = InlineArray<64, UInt8>(repeating: absent)
  private var hashes = InlineArray<64, UInt8>(repeating: absent)
  private var macs = InlineArray<64, UInt8>(repeating: absent)
  private var aeads = InlineArray<64, UInt8>(repeating: absent)
  /// Engine indices by an algorithm's raw value: one byte each, the best in the lowest, `absent` above the last.
  private var cipherEngines = InlineArray<16, UInt32>(repeating: .max)
  private var hashEngines = InlineArray<16, UInt32>(repeating: .max)
  private var macEngines = InlineArray<16, UInt32>(repeating: .max)
  private var aeadEngines = InlineArray<16, UInt32>(repeating: .max)

  /// The algorithms that are offered, each with the engines that may serve it, best first; an empty list offers nothing.
  public init(offered: [CryptoAlgorithm: [UInt8]]) {
    for (algorithm, engines) in offered where !engines.isEmpty {
      let number = Int(AlgorithmNumbers.number(of: algorithm))
      let list = engines.prefix(Self.engineListCapacity).reversed()
        .reduce(UInt32.max) { $0 << 8 | UInt32($1) }
      switch algorithm {
      case .cipher(let cipher):
        ciphers[number] = cipher.rawValue
        cipherEngines[Int(cipher.rawValue)] = list
      case .hash(let hash):
        hashes[number] = hash.rawValue
        hashEngines[Int(hash.rawValue)] = list
      case .mac(let mac):
        macs[number] = mac.rawValue
        macEngines[Int(mac.rawValue)] = list
      case .aead(let aead):
        aeads[number] = aead.rawValue
        aeadEngines[Int(aead.rawValue)] = list
      }
    }
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

  // MARK: - Engines

  /// The engine for a session: the first of its algorithm's list; for a chain the first that does both halves.
  @_noAllocation @_noLocks
  public func engine(for session: SessionParameters) -> UInt8? {
    let list: UInt32 =
      switch session.service {
      case .cipher: cipherEngines[Int(session.cipher.rawValue)]
      case .hash: hashEngines[Int(session.hash.rawValue)]
      case .mac: macEngines[Int(session.mac.rawValue)]
      case .aead: aeadEngines[Int(session.aead.rawValue)]
      case .chain: chainEngines(for: session)
      }
    let first = UInt8(truncatingIfNeeded: list)
    return first == Self.absent ? nil : first
  }

  /// The cipher's list, less the engines that lack the other half.
  @_noAllocation @_noLocks
  private func chainEngines(for session: SessionParameters) -> UInt32 {
    let second =
      session.hashMode == .authenticated
      ? macEngines[Int(session.mac.rawValue)] : hashEngines[Int(session.hash.rawValue)]
    var candidates = cipherEngines[Int(session.cipher.rawValue)]
    while UInt8(truncatingIfNeeded: candidates) != Self.absent {
      if contains(second, UInt8(truncatingIfNeeded: candidates)) { return candidates }
      candidates = candidates >> 8 | 0xff00_0000
    }
    return .max
  }

  @_noAllocation @_noLocks
  private func contains(_ list: UInt32, _ engine: UInt8) -> Bool {
    var rest = list
    while UInt8(truncatingIfNeeded: rest) != Self.absent {
      if UInt8(truncatingIfNeeded: rest) == engine { return true }
      rest = rest >> 8 | 0xff00_0000
    }
    return false
  }

  // MARK: - Masks of the configuration space

  private static func mask(_ table: InlineArray<64, UInt8>) -> UInt64 {
    table.indices.filter { table[$0] != absent }.reduce(0) { $0 | 1 << UInt64($1) }
  }

  public var cipherMask: UInt64 { Self.mask(ciphers) }
  public var hashMask: UInt32 { UInt32(truncatingIfNeeded: Self.mask(hashes)) }
  public var macMask: UInt64 { Self.mask(macs) }
  public var aeadMask: UInt32 { UInt32(truncatingIfNeeded: Self.mask(aeads)) }
}
