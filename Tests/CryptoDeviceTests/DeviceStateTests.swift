import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

@testable import CryptoDevice

struct DeviceStateTests {
  /// No SHA-256, but as long, and different for different bytes; the tests with a daemon have the real one.
  private static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var words: [UInt64] = []
    for number in 0..<4 {
      var check = RecordCheck(UInt64(number))
      check.add(bytes)
      words.append(check.value)
    }
    return words.flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
    }
  }

  private func save(_ core: DeviceCore) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: core.stateByteCount)
    try bytes.withUnsafeMutableBytes { try core.saveState(to: $0, digest: Self.digest) }
    return bytes
  }

  private func load(_ bytes: [UInt8], into core: DeviceCore) throws {
    try bytes.withUnsafeBytes { try core.loadState($0, digest: Self.digest) }
  }

  private func signed(_ bytes: [UInt8]) -> [UInt8] {
    let body = Array(bytes.dropLast(32))
    return body + body.withUnsafeBytes { Self.digest($0) }
  }

  @Test(arguments: [true, false])
  func sessionsOfAllServicesArrive(isKept: Bool) throws {
    let source = Kept.core()
    let identifiers = try Kept.fill(source)
    // Gaps between them.
    let more = try Kept.fill(source)
    for identifier in more.dropLast() { try source.destroySession(identifier, services: .all) }
    let state = try save(source)
    let destination = Kept.core(isKept ? try Kept.journal() : nil)
    destination.beginConnection()
    destination.setOwner(Kept.owner)
    // What was there before is replaced.
    let old = try Kept.fill(destination)
    try load(state, into: destination)
    try Kept.expect(destination, identifiers)
    #expect(destination.sessions.openCount == 7)
    for identifier in old { #expect(destination.sessions.view.find(identifier) == nil) }
    #expect(try save(destination) == state)
    // New ones are new.
    let fresh = try Kept.fill(destination)
    #expect(Set(fresh + identifiers + more).count == 18)
    try Kept.expect(destination, fresh)
    guard isKept, let journal = destination.sessions.journal else { return }
    let next = Kept.core(try Kept.adopt(Kept.bytes(journal)))
    next.admitHeld()
    try Kept.expect(next, identifiers)
    try Kept.expect(next, fresh)
  }

  @Test func aDeviceWithoutSessionsHasAState() throws {
    let destination = Kept.core()
    _ = try Kept.fill(destination)
    try load(try save(Kept.core()), into: destination)
    #expect(destination.sessions.openCount == 0)
  }

  /// Nothing of a state that is refused is loaded, and nothing that was there is lost.
  private func expectRefused(
    _ bytes: [UInt8], _ words: String, offer: DeviceOffer = Kept.offer(),
    outcome: CryptoOutcome = .ok, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let destination = Kept.core(nil, Kept.offer())
    let old = try Kept.fill(destination)
    destination.offer = offer
    do {
      try load(bytes, into: destination)
      Issue.record("it was loaded", sourceLocation: sourceLocation)
    } catch {
      #expect("\(error)".contains(words), "\(error)", sourceLocation: sourceLocation)
    }
    destination.offer = Kept.offer()
    try Kept.expect(destination, old)
    #expect(destination.sessions.openCount == old.count)
  }

  @Test func everyTruncationIsRefused() throws {
    let source = Kept.core()
    _ = try Kept.fill(source)
    let state = try save(source)
    let destination = Kept.core()
    for count in 0..<state.count {
      #expect(throws: DeviceStateError.self) {
        try load(Array(state.prefix(count)), into: destination)
      }
      // Nor with a checksum of its own.
      if count >= 96, count % 7 == 0 {
        #expect(throws: DeviceStateError.self) {
          try load(signed(Array(state.prefix(count))), into: destination)
        }
      }
    }
    #expect(throws: DeviceStateError.self) { try load(state + [0], into: destination) }
    #expect(destination.sessions.createdCount == 0)
  }

  @Test func everyFlippedBitIsRefused() throws {
    let source = Kept.core()
    _ = try Kept.fill(source)
    var state = try save(source)
    let destination = Kept.core()
    for place in state.indices {
      for bit in 0..<8 where place < 1200 || bit == place % 8 {
        state[place] ^= 1 << UInt8(bit)
        #expect(throws: DeviceStateError.self, "byte \(place)") {
          try load(state, into: destination)
        }
        state[place] ^= 1 << UInt8(bit)
      }
    }
    #expect(destination.sessions.createdCount == 0)
    try load(state, into: destination)
  }

  /// Whoever writes a state can compute its checksum, too.
  @Test func lyingStatesAreRefusedWhole() throws {
    let source = Kept.core()
    _ = try Kept.fill(source)
    let state = try save(source)
    func changed(_ place: Int, _ bytes: [UInt8]) -> [UInt8] {
      var copy = state
      copy.replaceSubrange(place..<place + bytes.count, with: bytes)
      return signed(copy)
    }
    try expectRefused(changed(8, [2]), "it has version 2")
    try expectRefused(changed(0, [0]), "no device state of ours")
    try expectRefused(changed(12, [65]), "header is damaged")
    try expectRefused(changed(40, [1]), "header is damaged")
    try expectRefused(changed(16, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "header")
    try expectRefused(changed(24, [0xff, 0xff, 0xff, 0xff]), "there is room for 16")
    try expectRefused(changed(24, [7]), "session 6 ends early")
    try expectRefused(changed(24, [5]), "goes on behind its sessions")
    // Index beyond the table, twice the same, generation 0 or with the sign's bit.
    try expectRefused(changed(64, [0xff, 0xff, 0xff, 0x7f]), "no place here")
    try expectRefused(changed(64 + 72 + 16, [0, 0, 0, 0]), "no place here")
    try expectRefused(changed(68, [0, 0, 0, 0]), "no place here")
    try expectRefused(changed(68, [0, 0, 0, 0x80]), "no place here")
    // Lengths of keys that disagree, and that no algorithm has.
    try expectRefused(changed(72, [17]), "malformed")
    try expectRefused(changed(76, [1]), "malformed")
    try expectRefused(changed(64 + 16 + 12, [0xff, 0xff, 0xff, 0xff]), "malformed")
    // Words that no guest could have said.
    for word in [0, 1, 2, 4] {
      try expectRefused(changed(64 + 16 + 4 * word, [0xee, 0xee]), "not offered here")
    }
    try expectRefused(
      state, "session 3 is of a kind that is not offered here",
      offer: Kept.offer(CryptoAlgorithm.allCases.filter { $0 != .aead(.gcm) }))
  }

  @Test func keysThatNoEngineTakesAreRefused() throws {
    let source = Kept.core()
    _ = try Kept.fill(source)
    let destination = Kept.core(nil, Kept.offer(), outcome: .failed)
    #expect {
      try load(try save(source), into: destination)
    } throws: {
      "\($0)".contains("a key that no engine here takes")
    }
    #expect(destination.sessions.openCount == 0)
  }

  @Test func randomStatesAreRefused() throws {
    var random = SeededRandom.printed()
    let source = Kept.core()
    _ = try Kept.fill(source)
    let state = try save(source)
    let destination = Kept.core()
    for _ in 0..<3000 {
      var copy = state
      for _ in 0..<(1 + random.next() % 4) {
        copy[Int(random.next() % UInt64(600))] = UInt8(truncatingIfNeeded: random.next())
      }
      // It may be sound by chance; then it is what it says.
      if (try? load(signed(copy), into: destination)) != nil {
        #expect(try save(destination).count == copy.count)
      }
    }
  }
}
