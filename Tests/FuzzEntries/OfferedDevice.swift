import CryptoDevice
import CryptoTypes
import EngineContract
import EngineOpenSSL
import VirtioSpec

/// A device's sessions on libcrypto, without a front-end.
final class OfferedDevice {
  /// Starting it takes longer than many inputs, and it is the same for all.
  static let engine = Result { try OpenSSLEngine(EngineOptions()) }
  /// What asymmetric operations may take: enough for small keys, and few inputs a second would be lost to larger ones.
  static let mostMilliseconds: UInt32 = 20
  static let maximumRequestByteCount: UInt32 = 0x2000

  /// A lane, at an address of its own so that the device's check of keys can reach it.
  final class Lane {
    var runner: LaneRunner<OpenSSLLane>
    init(sessionCapacity: Int) throws {
      runner = try LaneRunner(
        engine: OfferedDevice.engine.get(), sessionCapacity: sessionCapacity)
    }
  }

  let core: DeviceCore
  let lane: Lane

  /// - `lane`: keys are tried in it; its capacity is that of the sessions.
  /// - `journal`: where sessions are kept, if they are.
  /// - `offers`: what of libcrypto's algorithms there is.
  init(
    _ dialect: Dialect, lane: Lane, sessionCapacity: Int, stateless: Set<CryptoService>,
    journal: SessionJournal? = nil, offers: (CryptoAlgorithm) -> Bool = { _ in true }
  ) {
    self.lane = lane
    let route = EngineRoute([.init(engine: 0)])
    let algorithms = OpenSSLEngine.description.algorithms.filter(offers)
    let offer = DeviceOffer(
      dataQueueCount: 1, sessionCapacity: sessionCapacity,
      maximumRequestByteCount: Self.maximumRequestByteCount,
      algorithms: AlgorithmTable(
        offered: Dictionary(uniqueKeysWithValues: algorithms.map { ($0, route) })),
      statelessServices: stateless, maximumOperationMilliseconds: Self.mostMilliseconds,
      dialect: dialect)
    core = DeviceCore(offer: offer, journal: journal) { lane.runner.lane.validate($0) }
  }
}
