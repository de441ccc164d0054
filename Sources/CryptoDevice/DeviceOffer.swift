public import CryptoTypes
public import VirtioSpec

/// What a device offers.
///
/// Its sizes are fixed when it is made; the algorithms, and what is allowed of the sizes, may change.
public struct DeviceOffer: Sendable {
  public var dialect: Dialect
  public var dataQueueCount: Int
  public var sessionCapacity: Int
  public var maximumRequestByteCount: UInt32
  /// What is allowed of the sizes above, for now.
  public var allowedSessionCount: Int
  public var allowedRequestByteCount: UInt32
  public var algorithms: AlgorithmTable
  /// The services with a stateless mode; they need algorithms to be offered.
  public var statelessServices: Set<CryptoService>
  /// Asymmetric keys with which one operation would take longer are refused.
  public var maximumOperationMilliseconds: UInt32

  public init(
    dataQueueCount: Int, sessionCapacity: Int, maximumRequestByteCount: UInt32,
    algorithms: AlgorithmTable, statelessServices: Set<CryptoService>,
    maximumOperationMilliseconds: UInt32 = SessionParameters().maximumOperationMilliseconds,
    dialect: Dialect = .virtio13
  ) {
    self.dialect = dialect
    self.dataQueueCount = dataQueueCount
    self.sessionCapacity = sessionCapacity
    self.maximumRequestByteCount = maximumRequestByteCount
    allowedSessionCount = sessionCapacity
    allowedRequestByteCount = maximumRequestByteCount
    self.algorithms = dialect.hasAKCipher ? algorithms : algorithms.withoutAKCipher()
    self.statelessServices = statelessServices
    self.maximumOperationMilliseconds = maximumOperationMilliseconds
  }

  /// Takes other algorithms; a dialect without AKCIPHER leaves those out.
  public mutating func offer(_ algorithms: AlgorithmTable) {
    self.algorithms = dialect.hasAKCipher ? algorithms : algorithms.withoutAKCipher()
  }

  /// What workers have to know of changes.
  public var orders: DeviceOrders {
    DeviceOrders(
      algorithms: algorithms,
      maximumRequestByteCount: min(allowedRequestByteCount, maximumRequestByteCount))
  }

  /// The configuration space.
  ///
  /// Spec: draft v25 §Device configuration layout. Draft v15's has the same 56 bytes, with `reserved` for
  /// `akcipher_algo`: 0, as the service is not offered. The asymmetric RFC inserts two words, and its service has the
  /// same number.
  public var configuration: VirtioCryptoConfig {
    var configuration = VirtioCryptoConfig()
    configuration.status = VirtioCryptoConfig.statusReady
    configuration.maxDataQueues = UInt32(dataQueueCount)
    configuration.cipherAlgorithms = algorithms.cipherMask
    configuration.hashAlgorithms = algorithms.hashMask
    configuration.macAlgorithms = algorithms.macMask
    configuration.aeadAlgorithms = algorithms.aeadMask
    configuration.akcipherAlgorithms = algorithms.akcipherMask
    if dialect.hasASYM {
      let hasRSA = algorithms.asymmetricMask & 1 << VirtioCryptoASYM.Algorithm.rsa != 0
      configuration.asymmetric = .init(
        algorithms: algorithms.asymmetricMask,
        rsaPaddings: hasRSA ? VirtioCryptoASYM.Padding.all : 0)
    }
    let offered: [(VirtioCryptoService, Bool)] = [
      (.cipher, algorithms.cipherMask != 0), (.hash, algorithms.hashMask != 0),
      (.mac, algorithms.macMask != 0), (.aead, algorithms.aeadMask != 0),
      (.akcipher, algorithms.akcipherMask != 0),
      (.asym, dialect.hasASYM && algorithms.asymmetricMask != 0),
    ]
    configuration.cryptoServices = offered.reduce(0) { $1.1 ? $0 | 1 << $1.0.rawValue : $0 }
    configuration.maxCipherKeyByteCount = min(
      algorithms.maximumCipherKeyByteCount,
      CipherAlgorithm.allCases
        .filter { algorithms.cipher(AlgorithmNumbers.number(of: $0)) != nil }
        .map { UInt32($0.maximumKeyByteCount) }.max() ?? (algorithms.aeadMask != 0 ? 32 : 0))
    configuration.maxAuthKeyByteCount = min(
      algorithms.maximumAuthKeyByteCount,
      algorithms.macMask != 0 ? UInt32(MACAlgorithm.maximumKeyByteCount) : 0)
    configuration.maxRequestByteCount = UInt64(
      min(allowedRequestByteCount, maximumRequestByteCount))
    return configuration
  }

  /// The feature bits of the device and its rings.
  public var features: UInt64 {
    VirtioFeature.version1 | VirtioFeature.ringIndirectDescriptors | VirtioFeature.ringEventIndex
      | VirtioFeature.ringPacked | VirtioFeature.inOrder | VirtioFeature.vhostUserProtocolFeatures
      | (dialect.isDraftV15 ? sessionFeatures : revision1Features)
  }

  private var revision1Features: UInt64 {
    let stateless: [(CryptoService, UInt64)] = [
      (.cipher, VirtioFeature.cryptoCipherStateless), (.hash, VirtioFeature.cryptoHashStateless),
      (.mac, VirtioFeature.cryptoMACStateless), (.aead, VirtioFeature.cryptoAEADStateless),
      (.akcipher, VirtioFeature.cryptoAKCipherStateless),
    ]
    return stateless.reduce(VirtioFeature.cryptoRevision1) { features, stateless in
      statelessServices.contains(stateless.0) ? features | stateless.1 : features
    }
  }

  /// Draft v15's: the services that are there at all can have sessions.
  private var sessionFeatures: UInt64 {
    (algorithms.cipherMask != 0 ? VirtioFeature.cryptoCipherSessions : 0)
      | (algorithms.hashMask != 0 ? VirtioFeature.cryptoHashSessions : 0)
      | (algorithms.macMask != 0 ? VirtioFeature.cryptoMACSessions : 0)
      | (algorithms.aeadMask != 0 ? VirtioFeature.cryptoAEADSessions : 0)
  }

  /// The shape of requests under negotiated features.
  public func layout(features: UInt64) -> RequestLayout {
    var layout = RequestLayout()
    layout.dialect = dialect
    layout.maximumRequestByteCount = maximumRequestByteCount
    layout.maximumOperationMilliseconds = maximumOperationMilliseconds
    if dialect.isDraftV15 {
      layout.cipherSessions = features & VirtioFeature.cryptoCipherSessions != 0
      layout.hashSessions = features & VirtioFeature.cryptoHashSessions != 0
      layout.macSessions = features & VirtioFeature.cryptoMACSessions != 0
      layout.aeadSessions = features & VirtioFeature.cryptoAEADSessions != 0
      layout.cipherStateless = statelessServices.contains(.cipher)
      layout.hashStateless = statelessServices.contains(.hash)
      layout.macStateless = statelessServices.contains(.mac)
      layout.aeadStateless = statelessServices.contains(.aead)
      return layout
    }
    layout.revision1 = features & VirtioFeature.cryptoRevision1 != 0
    // The stateless bits require REVISION_1; without it they mean nothing.
    guard layout.revision1 else { return layout }
    layout.cipherStateless = features & VirtioFeature.cryptoCipherStateless != 0
    layout.hashStateless = features & VirtioFeature.cryptoHashStateless != 0
    layout.macStateless = features & VirtioFeature.cryptoMACStateless != 0
    layout.aeadStateless = features & VirtioFeature.cryptoAEADStateless != 0
    layout.akcipherStateless = features & VirtioFeature.cryptoAKCipherStateless != 0
    return layout
  }
}
