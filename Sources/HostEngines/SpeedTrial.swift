import CryptoTypes
import EngineContract
import Glibc

/// Measures how fast an engine does an algorithm: a batch of requests at a time, as a busy ring brings them.
struct SpeedTrial: EngineVisitor {
  /// What is to be measured, by engine name.
  let wanted: [String: [CryptoAlgorithm]]
  /// How long one algorithm, engine and size may be measured, in nanoseconds, whatever else is left.
  let nanosecondsPerSize: UInt64
  /// How long one engine may take in all; what is left then stays unmeasured.
  let durationPerEngine: Duration
  /// A batch that would take longer is not run.
  private static let longestBatchSeconds = 0.02
  private(set) var speeds: [CryptoAlgorithm: [String: [Double]]] = [:]

  init(
    wanted: [String: [CryptoAlgorithm]], nanosecondsPerSize: UInt64, durationPerEngine: Duration
  ) {
    self.wanted = wanted
    self.nanosecondsPerSize = nanosecondsPerSize
    self.durationPerEngine = durationPerEngine
  }

  mutating func visit<Lane: EngineLane & ~Copyable>(
    _ engine: Lane.Engine, index: UInt8, lanes: Lane.Type
  ) {
    guard let algorithms = wanted[engine.name], !algorithms.isEmpty,
      var runner = try? LaneRunner<Lane>(engine: engine, sessionCapacity: 2)
    else { return }
    var generation: UInt32 = 0
    let deadline = ContinuousClock.now + durationPerEngine
    for algorithm in algorithms where algorithm.service != .akcipher {
      guard ContinuousClock.now < deadline else { return }
      generation += 1
      var last = 0.0
      speeds[algorithm, default: [:]][engine.name] = Calibration.sizes.map { size in
        // Some are so slow that what a shorter size took tells enough (DES of the multi-buffer library without AVX-512).
        if last > 0, Double(TrialBench.batchByteCount(size)) / last > Self.longestBatchSeconds {
          return last
        }
        let bench = TrialBench(algorithm, byteCount: size, generation: generation)
        last = bench.bytesPerSecond(on: &runner, nanoseconds: nanosecondsPerSize)
        return last
      }
    }
  }
}

/// A batch of requests of one algorithm and size, in memory of its own.
@safe
private final class TrialBench {
  private let byteCount: Int
  private let operationCount: Int
  private let memory: UnsafeMutablePointer<UInt8>
  private let sessions: UnsafeMutablePointer<SessionParameters>
  private let operations: UnsafeMutablePointer<CryptoOperation>
  private let batch: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>>
  private let clock = ContinuousClock()

  /// As many as a processor has lanes for at the most, in no more memory than its caches have.
  private static func operationCount(_ byteCount: Int) -> Int { byteCount > 4096 ? 16 : 32 }

  /// What one batch of requests of a size comes to.
  static func batchByteCount(_ byteCount: Int) -> Int { operationCount(byteCount) * byteCount }

  /// Ciphers run in both directions in turn; AEADs encrypt, since there is nothing genuine to decrypt.
  init(_ algorithm: CryptoAlgorithm, byteCount: Int, generation: UInt32) {
    self.byteCount = byteCount
    operationCount = Self.operationCount(byteCount)
    let stride = 2 * byteCount + 256
    // SAFETY: all of it is sized here, used by this object alone, and freed in deinit.
    unsafe memory = .allocate(capacity: stride * operationCount + 64)
    for index in 0..<stride * operationCount + 64 {
      unsafe memory[index] = UInt8(truncatingIfNeeded: index &* 73 &+ index >> 8)
    }
    unsafe sessions = .allocate(capacity: 2)
    unsafe operations = .allocate(capacity: operationCount)
    unsafe batch = .allocate(capacity: operationCount)
    for (index, direction) in CryptoDirection.allCases.enumerated() {
      unsafe (sessions + index).initialize(
        to: Self.session(algorithm, direction, key: memory + stride * operationCount))
    }
    let isTwoWay = algorithm.service == .cipher
    for index in 0..<operationCount {
      let direction = isTwoWay ? index & 1 : 0
      let start = unsafe memory + stride * index
      var operation = unsafe CryptoOperation(
        session: sessions + direction, placeholder: start + byteCount)
      operation.sessionIndex = UInt32(direction)
      operation.sessionGeneration = generation
      unsafe operation.source = UnsafePointer(start)
      operation.sourceByteCount = UInt32(byteCount)
      unsafe operation.result = start + 2 * byteCount
      operation.resultByteCount = Self.resultByteCount(algorithm)
      operation.ivByteCount = Self.ivByteCount(algorithm)
      operation.iv = (0x1716_1514_1312_1110, 0x1f1e_1d1c_1b1a_1918)
      unsafe (operations + index).initialize(to: operation)
      unsafe batch[index] = operations + index
    }
  }

  deinit {
    unsafe memory.deallocate()
    unsafe sessions.deallocate()
    unsafe operations.deallocate()
    unsafe batch.deallocate()
  }

  /// The best of several batches, 0 where the engine refuses; the first one expands keys and is not counted.
  ///
  /// What the kernel's threads do for us on other processors counts as time, too: an engine is not faster for taking two.
  func bytesPerSecond<Lane: EngineLane & ~Copyable>(
    on runner: inout LaneRunner<Lane>, nanoseconds: UInt64
  ) -> Double {
    guard run(on: &runner) else { return 0 }
    let deadline = clock.now.advanced(by: .nanoseconds(Int64(nanoseconds)))
    var best = Duration.seconds(3600)
    repeat {
      let cpuStart = Self.processorTime
      let wall = clock.measure { _ = run(on: &runner) }
      best = min(best, max(wall, Self.processorTime - cpuStart))
    } while clock.now < deadline
    let seconds = Double(best.components.attoseconds) / 1e18 + Double(best.components.seconds)
    return seconds > 0 ? Double(operationCount * byteCount) / seconds : 0
  }

  /// What all threads of this process have used.
  private static var processorTime: Duration {
    var time = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  private func run<Lane: EngineLane & ~Copyable>(on runner: inout LaneRunner<Lane>) -> Bool {
    // SAFETY: the batch has operationCount operations, alive as long as this object.
    unsafe runner.run(UnsafeMutableBufferPointer(start: batch, count: operationCount))
    return unsafe operations.pointee.outcome == .ok
  }

  private static func session(
    _ algorithm: CryptoAlgorithm, _ direction: CryptoDirection, key: UnsafeMutablePointer<UInt8>
  ) -> SessionParameters {
    var session = SessionParameters()
    session.service = algorithm.service
    session.direction = direction
    var keyByteCount = 0
    switch algorithm {
    case .cipher(let cipher):
      session.cipher = cipher
      keyByteCount = ([16, 32, 24, 8].first { cipher.accepts(keyByteCount: $0) }) ?? 16
    case .hash(let hash): session.hash = hash
    case .mac(let mac):
      session.mac = mac
      keyByteCount = ([16, 24].first { mac.accepts(keyByteCount: $0) }) ?? 16
    case .aead(let aead):
      session.aead = aead
      keyByteCount = ([16, 32].first { aead.accepts(keyByteCount: $0) }) ?? 16
    // Only one engine has public keys, and their speed is no number of bytes.
    case .akcipher: break
    }
    unsafe session.cipherKey = UnsafePointer(key)
    unsafe session.authKey = UnsafePointer(key)
    if algorithm.service == .mac {
      session.authKeyByteCount = UInt32(keyByteCount)
    } else {
      session.cipherKeyByteCount = UInt32(keyByteCount)
    }
    session.resultByteCount = resultByteCount(algorithm)
    return session
  }

  private static func resultByteCount(_ algorithm: CryptoAlgorithm) -> UInt32 {
    switch algorithm {
    case .cipher: 0
    case .hash(let hash): hash.isExtendable ? 32 : UInt32(hash.maximumResultByteCount)
    case .mac(.xcbcAES): 12
    case .mac(let mac): UInt32(mac.maximumResultByteCount)
    case .aead: 16
    case .akcipher: 0
    }
  }

  private static func ivByteCount(_ algorithm: CryptoAlgorithm) -> UInt8 {
    switch algorithm {
    case .cipher(let cipher): UInt8(cipher.ivByteCount)
    case .hash: 0
    case .mac(let mac): UInt8(mac.ivByteCount)
    case .aead: 12
    case .akcipher: 0
    }
  }
}
