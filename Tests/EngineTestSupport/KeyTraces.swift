import CryptoTypes
import EngineContract
import Testing
import VhostUserFrontend

/// When a lane has no more use for a key.
public enum KeyEnd: CaseIterable, Sendable { case forgottenSession, statelessRequest, lane }

/// Looks for what a lane, and the library behind it, keep of keys.
public struct KeyTraces<Lane: EngineLane & ~Copyable> {
  /// A request whose session has a key of at least 16 bytes, and whether a lane that has it keeps those bytes as they
  /// are, as an AES key schedule does.
  public typealias Keyed = (request: Request, keepsKey: Bool)

  private let keyed: [Keyed]
  private let makeHarness: () throws -> LaneHarness<Lane>

  /// `keepsKey`: by request, as in `Keyed`.
  public init(
    _ requests: [Request], keepsKey: (Request) -> Bool,
    makeHarness: @escaping () throws -> LaneHarness<Lane>
  ) {
    keyed = requests.map { ($0, keepsKey($0)) }
    self.makeHarness = makeHarness
  }

  /// Nothing of a key is left in memory after `end`.
  public func expectNone(after end: KeyEnd) throws {
    switch end {
    case .forgottenSession: try expectNoneAfterForget()
    case .statelessRequest: try expectNoneAfterStatelessRequests()
    case .lane: try expectNoneAfterTheLane()
    }
  }

  /// Runs a request under a key that stands nowhere else in memory, and returns that key with all bits flipped.
  private func runUnderSecretKey(
    _ request: Request, on harness: LaneHarness<Lane>, sessionIndex: UInt32,
    _ generator: inout SeededRandom
  ) -> [UInt8] {
    let prepared = PreparedRequest(request, inPlace: false)
    let isMAC = request.session.service == .mac
    let key = isMAC ? prepared.session.pointee.authKey : prepared.session.pointee.cipherKey
    let count = isMAC ? request.authKey.count : request.cipherKey.count
    let writable = UnsafeMutablePointer(mutating: key)
    var flipped: [UInt8] = []
    for index in 0..<count {
      let byte = UInt8(truncatingIfNeeded: generator.next() >> 24)
      writable?[index] = byte
      flipped.append(~byte)
    }
    prepared.operation.pointee.sessionIndex = sessionIndex
    prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
    harness.run(prepared)
    #expect(prepared.operation.pointee.outcome == .ok)
    prepared.release()
    return flipped
  }

  /// The first bytes of a key, which every AES schedule begins with.
  private func occurrences(_ flipped: [UInt8]) throws -> Int {
    try MemorySearch.occurrences(ofComplement: Array(flipped.prefix(16)))
  }

  /// Keys are there while a session is, and gone when the lane is told to forget it.
  private func expectNoneAfterForget() throws {
    let harness = try makeHarness()
    var generator = SeededRandom(seed: 0xfeed)
    for (index, item) in keyed.enumerated() {
      let flipped = runUnderSecretKey(item.request, on: harness, sessionIndex: 3, &generator)
      // The search is able to find what is there.
      #expect(try (occurrences(flipped) > 0) == item.keepsKey, "request \(index)")
      harness.lane.forget(sessionIndex: 3)
      #expect(try occurrences(flipped) == 0, "request \(index)")
    }
  }

  /// A stateless request's keys are gone when it is done.
  private func expectNoneAfterStatelessRequests() throws {
    let harness = try makeHarness()
    var generator = SeededRandom(seed: 0xbeef)
    for (index, item) in keyed.enumerated() {
      let flipped = runUnderSecretKey(
        item.request, on: harness, sessionIndex: CryptoOperation.transientSession, &generator)
      #expect(try occurrences(flipped) == 0, "request \(index)")
    }
  }

  /// Keys of sessions that are still there go with the lane.
  private func expectNoneAfterTheLane() throws {
    var generator = SeededRandom(seed: 0xcafe)
    var keys: [[UInt8]] = []
    do {
      let harness = try makeHarness()
      for (index, item) in keyed.enumerated() {
        let flipped = runUnderSecretKey(
          item.request, on: harness, sessionIndex: UInt32(index), &generator)
        keys.append(flipped)
        #expect(try (occurrences(flipped) > 0) == item.keepsKey, "request \(index)")
      }
    }
    for key in keys { #expect(try occurrences(key) == 0) }
  }
}
