/// The row of the statistics that a request counts in: algorithm × operation, numbered densely so that a worker's
/// counters are one flat table.
public struct StatisticsRow: Hashable, Sendable {
  public var index: UInt16

  @_noAllocation @_noLocks
  @inlinable public init(index: UInt16) { self.index = index }

  // How many algorithms each service has, as constants: the data path numbers stateless requests with them.
  public static var ciphers: UInt16 { @_noAllocation @_noLocks @inlinable get { 14 } }
  public static var hashes: UInt16 { @_noAllocation @_noLocks @inlinable get { 12 } }
  public static var macs: UInt16 { @_noAllocation @_noLocks @inlinable get { 16 } }
  public static var aeads: UInt16 { @_noAllocation @_noLocks @inlinable get { 3 } }
  public static var hashBase: UInt16 { @_noAllocation @_noLocks @inlinable get { ciphers * 2 } }
  public static var macBase: UInt16 {
    @_noAllocation @_noLocks @inlinable get { hashBase + hashes }
  }
  public static var aeadBase: UInt16 { @_noAllocation @_noLocks @inlinable get { macBase + macs } }
  public static var chainBase: UInt16 {
    @_noAllocation @_noLocks @inlinable get { aeadBase + aeads * 2 }
  }
  /// A chain's second half: a plain hash, a nested hash or a MAC.
  public static var chainHalves: UInt16 {
    @_noAllocation @_noLocks @inlinable get { hashes * 2 + macs }
  }

  public static var akcipherBase: UInt16 {
    @_noAllocation @_noLocks @inlinable get { chainBase + ciphers * chainHalves * 2 }
  }
  public static var asymmetrics: UInt16 { @_noAllocation @_noLocks @inlinable get { 5 } }
  /// What asymmetric requests do.
  public static var asymmetricOperations: UInt16 {
    @_noAllocation @_noLocks @inlinable get { 7 }
  }

  /// How many rows there are.
  @inlinable public static var count: Int {
    Int(akcipherBase + asymmetrics * asymmetricOperations)
  }

  /// The algorithm's name, such as `aes-cbc` or `aes-cbc+hmac-sha1`.
  public var algorithmName: String {
    if index < Self.hashBase { return CipherAlgorithm.allCases[Int(index / 2)].name }
    if index < Self.macBase { return HashAlgorithm.allCases[Int(index - Self.hashBase)].name }
    if index < Self.aeadBase { return MACAlgorithm.allCases[Int(index - Self.macBase)].name }
    if index < Self.chainBase {
      return AEADAlgorithm.allCases[Int((index - Self.aeadBase) / 2)].name
    }
    if index >= Self.akcipherBase {
      let number = (index - Self.akcipherBase) / Self.asymmetricOperations
      return AsymmetricAlgorithm.allCases[Int(number)].name
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

  /// `encrypt`, `decrypt`, `hash`, `mac`, or what an asymmetric request does.
  public var operationName: String {
    if index >= Self.akcipherBase {
      let number = (index - Self.akcipherBase) % Self.asymmetricOperations
      return AsymmetricOperation.allCases[Int(number)].name
    }
    if index >= Self.hashBase && index < Self.macBase { return "hash" }
    if index >= Self.macBase && index < Self.aeadBase { return "mac" }
    let base = index < Self.hashBase ? 0 : index < Self.chainBase ? Self.aeadBase : Self.chainBase
    return (index - base) % 2 == 0 ? "encrypt" : "decrypt"
  }

  /// The service's name: `cipher`, `hash`, `mac`, `aead`, `chain` or `akcipher`.
  public var serviceName: String {
    if index < Self.hashBase { return "cipher" }
    if index < Self.macBase { return "hash" }
    if index < Self.aeadBase { return "mac" }
    if index < Self.chainBase { return "aead" }
    return index < Self.akcipherBase ? "chain" : "akcipher"
  }
}
