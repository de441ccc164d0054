import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@Suite("Model", .serialized)
struct ModelTests {
  /// How long random guests go on; some seconds are enough for every kind of step.
  private static let seconds =
    ProcessInfo.processInfo.environment["VHOST_CRYPTO_MODEL_SECONDS"].flatMap(Double.init) ?? 8
  /// Steps to take again, as a failure prints them: `KIND:STEP,STEP,…`.
  private static let wanted = ProcessInfo.processInfo.environment["VHOST_CRYPTO_MODEL_STEPS"]
  private static let stepsPerGuest = 60

  private static let configuration = """
    version: 1
    device: { queues: 1, max-sessions: \(World.sessionCapacity), max-request: 64KiB }
    algorithms:
      cipher: { default: { engine: openssl } }
      hash: { default: { engine: openssl } }
      mac: { default: { engine: openssl } }
      aead: { default: { engine: openssl } }
      akcipher: { default: { engine: openssl } }

    """

  @Test func randomGuestsGetWhatTheSpecificationSays() throws {
    let daemon = try DaemonProcess(
      arguments: ["--calibration-cache=none"], configuration: Self.configuration)
    if let wanted = Self.wanted {
      let (kind, steps) = try Self.parse(wanted)
      if let failure = Replay(kind, daemon.socketPath).run(steps) {
        Issue.record("\(failure.what)")
      }
      return
    }
    var random = SeededRandom.printed()
    let end = ContinuousClock.now + .seconds(Self.seconds)
    var guests = 0
    while ContinuousClock.now < end {
      let kind = World.Kind.all[guests % World.Kind.all.count]
      guests += 1
      let steps = (0..<Self.stepsPerGuest).map { _ in random.next() }
      let replay = Replay(kind, daemon.socketPath)
      guard let failure = replay.run(steps) else { continue }
      let fewest = replay.shrunk(Array(steps.prefix(failure.stepCount)))
      let last = replay.run(fewest) ?? failure
      Issue.record(
        """
        guest \(guests) (\(kind.name)), step \(failure.stepCount): \(failure.what)
        with \(fewest.count) steps: \(last.what)
        VHOST_CRYPTO_MODEL_STEPS=\(kind.name):\(fewest.map(String.init).joined(separator: ","))
        """)
      return
    }
    print("model: \(guests) guests of \(Self.stepsPerGuest) steps")
    #expect(guests >= World.Kind.all.count)
    #expect(try daemon.terminate() == .status(0))
  }

  private static func parse(_ text: String) throws -> (World.Kind, [UInt64]) {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let kind = World.Kind.all.first(where: { $0.name == parts[0] }) else {
      throw TestSupportError("VHOST_CRYPTO_MODEL_STEPS is KIND:STEP,STEP,…")
    }
    return (kind, parts[1].split(separator: ",").compactMap { UInt64($0) })
  }
}

/// Takes the same steps again and again, each time with a new front-end.
private struct Replay {
  struct Failure {
    var what: String
    /// How many steps it took, the failing one included.
    var stepCount: Int
  }

  private let kind: World.Kind
  private let path: String
  /// Bounds what shrinking costs.
  private static let mostReplays = 150

  init(_ kind: World.Kind, _ path: String) {
    self.kind = kind
    self.path = path
  }

  func run(_ steps: [UInt64]) -> Failure? {
    var world: World?
    defer { world?.leave() }
    do {
      let made = try World(kind, path: path)
      world = made
      for step in steps { try made.take(step) }
      return nil
    } catch {
      return Failure(
        what: "\(world?.lastStep ?? "connecting"): \(error)", stepCount: world?.stepCount ?? 0)
    }
  }

  /// As few of the steps as still fail, each of them needed, or as many as there was time for.
  func shrunk(_ steps: [UInt64]) -> [UInt64] {
    var fewest = steps
    var count = fewest.count / 2
    var replays = 0
    while count > 0 {
      var start = 0
      while start < fewest.count, replays < Self.mostReplays {
        var fewer = fewest
        fewer.removeSubrange(start..<min(start + count, fewer.count))
        replays += 1
        if run(fewer) != nil { fewest = fewer } else { start += count }
      }
      count /= 2
    }
    return fewest
  }
}
