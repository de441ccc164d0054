public import CryptoTypes
public import VirtioSpec

/// What a device offers, fixed when it is made.
public struct DeviceOffer: Sendable {
  public var dataQueueCount: Int
  public var sessionCapacity: Int
  public var maximumRequestByteCount: UInt32
  public var algorithms: AlgorithmTable
  /// The services with a stateless mode; they need algorithms to be offered.
  public var statelessServices: Set<CryptoService>
  /// Asymmetric keys with which one operation would take longer are refused.
  public var maximumOperationMilliseconds: UInt32

  public init(
    dataQueueCount: Int, sessionCapacity: Int, maximumRequestByteCount: UInt32,
    algorithms: AlgorithmTable, statelessServices: Set<CryptoService>,
    maximumOperationMilliseconds: UInt32 = SessionParameters().maximumOperationMilliseconds
  ) {
    self.dataQueueCount = dataQueueCount
    self.sessionCapacity = sessionCapacity
    self.maximumRequestByteCount = maximumRequestByteCount
    self.algorithms = algorithms
    self.statelessServices = statelessServices
    self.maximumOperationMilliseconds = maximumOperationMilliseconds
  }

  /// The configuration space.
  ///
  /// Spec: draft v25 §Device configuration layout.
  public var configuration: VirtioCryptoConfig {
    var configuration = VirtioCryptoConfig()
    configuration.status = VirtioCryptoConfig.statusReady
    configuration.maxDataQueues = UInt32(dataQueueCount)
    configuration.cipherAlgorithms = algorithms.cipherMask
    configuration.hashAlgorithms = algorithms.hashMask
    configuration.macAlgorithms = algorithms.macMask
    configuration.aeadAlgorithms = algorithms.aeadMask
    configuration.akcipherAlgorithms = algorithms.akcipherMask
    let offered: [(VirtioCryptoService, Bool)] = [
      (.cipher, algorithms.cipherMask != 0), (.hash, algorithms.hashMask != 0),
      (.mac, algorithms.macMask != 0), (.aead, algorithms.aeadMask != 0),
      (.akcipher, algorithms.akcipherMask != 0),
    ]
    configuration.cryptoServices = offered.reduce(0) { $1.1 ? $0 | 1 << $1.0.rawValue : $0 }
    configuration.maxCipherKeyByteCount =
      CipherAlgorithm.allCases
      .filter { algorithms.cipher(AlgorithmNumbers.number(of: $0)) != nil }
      .map { UInt32($0.maximumKeyByteCount) }.max() ?? (algorithms.aeadMask != 0 ? 32 : 0)
    configuration.maxAuthKeyByteCount =
      algorithms.macMask != 0 ? UInt32(MACAlgorithm.maximumKeyByteCount) : 0
    configuration.maxRequestByteCount = UInt64(maximumRequestByteCount)
    return configuration
  }

  /// The feature bits of the device and its rings.
  public var features: UInt64 {
    var features =
      VirtioFeature.version1 | VirtioFeature.ringIndirectDescriptors | VirtioFeature.ringEventIndex
      | VirtioFeature.ringPacked | VirtioFeature.inOrder | VirtioFeature.vhostUserProtocolFeatures
      | VirtioFeature.cryptoRevision1
    let stateless: [(CryptoService, UInt64)] = [
      (.cipher, VirtioFeature.cryptoCipherStateless), (.hash, VirtioFeature.cryptoHashStateless),
      (.mac, VirtioFeature.cryptoMACStateless), (.aead, VirtioFeature.cryptoAEADStateless),
      (.akcipher, VirtioFeature.cryptoAKCipherStateless),
    ]
    for (service, bit) in stateless where statelessServices.contains(service) { features |= bit }
    return features
  }

  /// The shape of requests under negotiated features.
  public func layout(features: UInt64) -> RequestLayout {
    var layout = RequestLayout()
    layout.maximumRequestByteCount = maximumRequestByteCount
    layout.maximumOperationMilliseconds = maximumOperationMilliseconds
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

/// The control side of one virtio-crypto device: its sessions, and the control requests that make and end them.
///
/// Used by one thread, the device's own.
@safe
public final class DeviceCore {
  public let offer: DeviceOffer
  public let sessions: SessionTable
  /// Sessions refused since the start, for the statistics.
  public private(set) var refusedCount: UInt64 = 0
  /// Negotiated; decides the control requests' layout and whether `NOSPC` exists.
  public var revision1 = false

  /// As many as one round of the largest control queue can destroy before a worker gets to hear of it.
  private static let spareSessionCount = 1024

  private let validate: (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome

  /// `validate`: tries to expand a new session's keys in the engines of its route, and takes those out that cannot.
  public init(
    offer: DeviceOffer,
    validate: @escaping (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome
  ) {
    self.offer = offer
    unsafe self.validate = unsafe validate
    sessions = SessionTable(
      capacity: offer.sessionCapacity, workerCount: offer.dataQueueCount,
      spareCount: Self.spareSessionCount)
  }

  /// Makes a session; the keys are copied.
  ///
  /// Returns its identifier, which is positive as a signed number too.
  public func createSession(
    _ request: SessionRequest, cipherKey: UnsafeRawBufferPointer, authKey: UnsafeRawBufferPointer
  ) throws(Refusal) -> UInt64 {
    do throws(Refusal) {
      var parameters = try request.resolve(offer.algorithms)
      parameters.maximumOperationMilliseconds = offer.maximumOperationMilliseconds
      switch unsafe sessions.create(
        parameters, cipherKey: cipherKey, authKey: authKey, check: validate)
      {
      case .success(let identifier): return identifier
      case .failure(.tableFull): throw .tableFull
      case .failure(.keyUnusable): throw .error
      case .failure(.unsupported): throw .unsupported
      }
    } catch {
      refusedCount += 1
      throw error
    }
  }

  /// Ends a session of one of these services.
  public func destroySession(
    _ identifier: UInt64, services: Set<CryptoService>
  ) throws(Refusal) {
    guard sessions.destroy(identifier, of: services) else { throw .invalidSession }
  }

  /// Carries out a control request: the bytes of its outcome, as many as the guest left room for.
  ///
  /// - `bytes`: the readable part, copied out of guest memory.
  /// - `outcomeByteCount`: the size of the writable part.
  /// Returns nil if the outcome does not fit.
  ///
  /// Spec: draft v25 §Control Virtqueue. Destroying answers with one byte, or, where the guest leaves eight (draft
  /// v23), with a le32 and zeros.
  public func perform(_ bytes: UnsafeRawBufferPointer, outcomeByteCount: Int) -> [UInt8]? {
    do throws(Refusal) {
      let request = try ControlRequest(unsafe bytes.bytes, revision1: revision1)
      switch request {
      case .create(let session, let cipherKey, let authKey):
        guard outcomeByteCount >= VirtioCryptoWire.createSessionInputByteCount else { return nil }
        let identifier = unsafe try createSession(
          session, cipherKey: unsafe UnsafeRawBufferPointer(rebasing: bytes[cipherKey]),
          authKey: unsafe UnsafeRawBufferPointer(rebasing: bytes[authKey]))
        return Self.createOutcome(identifier, .ok)
      case .destroy(let identifier, let services):
        guard outcomeByteCount >= 1 else { return nil }
        try destroySession(identifier, services: services)
        return Self.destroyOutcome(.ok, outcomeByteCount)
      }
    } catch {
      let status = VirtioCryptoStatus(error, revision1: revision1)
      let isDestroy = unsafe bytes.count >= 4 && Self.destroyOperations.contains(bytes[0])
      if !isDestroy, outcomeByteCount >= VirtioCryptoWire.createSessionInputByteCount {
        return Self.createOutcome(0, status)
      }
      return outcomeByteCount >= 1 ? Self.destroyOutcome(status, outcomeByteCount) : nil
    }
  }

  /// The low byte of an opcode that ends a session: its outcome has another shape.
  private static let destroyOperations: Set<UInt8> = [0x03, 0x05]

  /// `struct virtio_crypto_create_session_input`; the identifier is 0 unless the status is `OK`.
  private static func createOutcome(_ identifier: UInt64, _ status: VirtioCryptoStatus) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: identifier >> (8 * UInt64($0))) }
      + [status.rawValue] + [UInt8](repeating: 0, count: 7)
  }

  /// `struct virtio_crypto_destroy_session_input`.
  private static func destroyOutcome(_ status: VirtioCryptoStatus, _ room: Int) -> [UInt8] {
    [status.rawValue] + [UInt8](repeating: 0, count: room >= 8 ? 7 : 0)
  }
}
