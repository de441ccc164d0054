// EngineAFALG: the `kernel` engine, which has the Linux kernel do crypto, in software or on whatever offload hardware it
// drives, through AF_ALG sockets.
//
// libkcapi answers what the kernel has. Operations go through the worker's io_uring: a message with the text to an
// operation socket, and a read that gives the result when the kernel has it. Many are in flight at once, each on a socket
// of its own; where the kernel finishes reads only while somebody waits, its own threads do the waiting. This room knows
// operations and sessions of CryptoTypes and has never heard of virtio, rings or guests: ranges were checked by the
// device.
//
//   KernelEngine             what the kernel has; self-test
//   TransformTable           every algorithm's name in the kernel, found once
//   KernelLane               one worker's operations in flight, and those that wait for room
//   KernelLane+Steps         what an operation takes, step by step
//   KernelLane+Exchange      a step as a message and a read
//   KernelLane+Transforms    sockets that hold sessions' keys

import CKcapi
public import CryptoTypes
public import EngineContract
import Glibc

/// The kernel's crypto, as far as it lets us at it.
@safe public final class KernelEngine: CryptoEngine {
  public static let description = EngineDescription(
    name: "kernel",
    algorithms: Set(CryptoAlgorithm.allCases.filter { KernelName.of($0) != nil }),
    hasDrivers: true, isAsynchronous: true)

  /// What the kernel and libkcapi call themselves.
  public let version: String

  // SAFETY: written in init only, behind pointers that lanes read.
  nonisolated(unsafe) let table: TransformTable
  /// Why the kernel lacks an algorithm.
  private let absences: [CryptoAlgorithm: String]
  /// Operations that one lane has in the kernel at once.
  let inFlightCount: Int
  /// The longest message that goes through an operation socket as it comes, and through one that was widened, in bytes.
  let usualByteCount: Int
  let messageByteCount: Int
  /// The longest that there will be.
  private let wantedByteCount: Int

  /// Finds out what the kernel has.
  ///
  /// - Throws: `EngineError` where there is no AF_ALG, or no permission to use it.
  public init(_ options: EngineOptions) throws(EngineError) {
    let problem = ckcapi_available()
    guard problem == 0 else { throw EngineError(Self.explain(problem)) }
    var text = [CChar](repeating: 0, count: 128)
    unsafe ckcapi_version(&text, UInt32(text.count))
    version = Self.describe(libraryVersion: text)
    let table = TransformTable()
    unsafe self.table = table
    let drivers = options.drivers[Self.description.name] ?? [:]
    var absences: [CryptoAlgorithm: String] = [:]
    for algorithm in Self.description.algorithms {
      if let reason = table.find(algorithm, driver: drivers[algorithm]) {
        absences[algorithm] = reason
      } else {
        table.measureAsynchrony(of: algorithm)
      }
    }
    self.absences = absences
    inFlightCount = max(1, min(options.inFlightCount, 4096))
    wantedByteCount = options.maximumByteCount + KernelLane.messageSlack
    (usualByteCount, messageByteCount) = Self.findMessageByteCounts(table, wanted: wantedByteCount)
  }

  deinit {
    // Lanes retain the engine, so none is left.
    unsafe table.release()
  }

  private static func explain(_ code: Int32) -> String {
    switch code {
    case EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT:
      "this kernel has no AF_ALG sockets (or a container hides them): load the modules af_alg and algif_*"
    case EPERM, EACCES: "AF_ALG sockets are forbidden here, as container runtimes do"
    // SAFETY: strerror's text is copied at once.
    default: unsafe "opening an AF_ALG socket failed: \(String(cString: strerror(code)))"
    }
  }

  private static func describe(libraryVersion: [CChar]) -> String {
    var names = utsname()
    let release =
      unsafe uname(&names) == 0
      ? unsafe withUnsafeBytes(of: &names.release) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      } : "?"
    let library = String(
      decoding: libraryVersion.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return "Linux \(release), \(library)"
  }

  /// How much an operation socket holds, tried out: several limits come together (the socket's buffers, which a process
  /// without privileges cannot make as long as it likes, and `net.core.optmem_max`), and beyond them the kernel gives
  /// short results or none.
  private static func findMessageByteCounts(
    _ table: TransformTable, wanted: Int
  ) -> (usual: Int, widened: Int) {
    guard let trial = MessageTrial(table, byteCount: wanted) else { return (4096, 4096) }
    let usual = trial.longest(upTo: wanted, widens: false)
    return (usual, max(usual, trial.longest(upTo: wanted, widens: true)))
  }

  /// Tells of limits that requests can meet.
  public var notes: [String] {
    guard messageByteCount < wantedByteCount else { return [] }
    return [
      "requests of more than \(messageByteCount) bytes are left to other engines, as the kernel's sockets hold no more: "
        + "raise net.core.optmem_max, wmem_max and rmem_max"
    ]
  }

  /// Runs known answers of every algorithm through a lane: both directions, every key size.
  public func selfTest() -> [CryptoAlgorithm: SelfTestResult] { knownAnswerTest.run() }

  var knownAnswerTest: SelfTest<KernelLane> {
    SelfTest(engine: self) { [absences] algorithm in
      absences[algorithm] ?? "the kernel does not have it"
    }
  }

  /// Whether the kernel finishes operations of an algorithm by itself, without one of its threads waiting for them.
  public func isAsynchronous(_ algorithm: CryptoAlgorithm) -> Bool {
    unsafe table.isAsynchronous(algorithm)
  }
}
