import CryptoTypes
import Foundation
import LinuxSystem
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

@testable import CryptoDevice

/// A device whose engines take every key, with sessions of every service.
enum Kept {
  static func offer(
    _ algorithms: [CryptoAlgorithm] = CryptoAlgorithm.allCases, capacity: Int = 16
  ) -> DeviceOffer {
    let route = EngineRoute([EngineRoute.Stop(engine: 0)])
    return DeviceOffer(
      dataQueueCount: 1, sessionCapacity: capacity, maximumRequestByteCount: 4096,
      algorithms: AlgorithmTable(
        offered: Dictionary(uniqueKeysWithValues: algorithms.map { ($0, route) })),
      statelessServices: [])
  }

  static func core(
    _ journal: SessionJournal? = nil, _ offer: DeviceOffer = offer(),
    outcome: CryptoOutcome = .ok
  ) -> DeviceCore {
    DeviceCore(offer: offer, journal: journal) { _ in outcome }
  }

  static func journal(capacity: Int = 16) throws -> SessionJournal {
    try SessionJournal(name: "test", slotCount: DeviceCore.slotCount(capacity: capacity))
  }

  /// Requests of all services, the last with a key that takes a place of its own.
  static let requests: [(SessionRequest, cipherKey: [UInt8], authKey: [UInt8])] = {
    var cipher = SessionRequest(service: .cipher)
    cipher.cipher = AlgorithmNumbers.number(of: .cipher(.aesCBC)) ?? 0
    cipher.operation = VirtioCryptoWire.operationEncrypt
    cipher.cipherKeyByteCount = 16
    var hash = SessionRequest(service: .hash)
    hash.hash = AlgorithmNumbers.number(of: .hash(.sha256)) ?? 0
    hash.resultByteCount = 32
    var mac = SessionRequest(service: .mac)
    mac.hash = AlgorithmNumbers.number(of: .mac(.hmacSHA256)) ?? 0
    mac.resultByteCount = 32
    mac.authKeyByteCount = 200
    var aead = SessionRequest(service: .aead)
    aead.cipher = AlgorithmNumbers.number(of: .aead(.gcm)) ?? 0
    aead.operation = VirtioCryptoWire.operationDecrypt
    aead.cipherKeyByteCount = 32
    aead.resultByteCount = 16
    var chain = cipher
    chain.symmetricType = VirtioCryptoWire.symmetricChain
    chain.chainOrder = VirtioCryptoWire.cipherThenHash
    chain.hashMode = VirtioCryptoWire.hashModeAuthenticated
    chain.hash = AlgorithmNumbers.number(of: .mac(.hmacSHA1)) ?? 0
    chain.resultByteCount = 20
    chain.authKeyByteCount = 20
    var rsa = SessionRequest(service: .akcipher)
    rsa.cipher = AlgorithmNumbers.number(of: .akcipher(.rsa)) ?? 0
    rsa.keyType = VirtioCryptoWire.keyTypePrivate
    rsa.firstParameter = VirtioCryptoWire.rsaPKCS1Padding
    rsa.secondParameter = 6
    rsa.cipherKeyByteCount = 9300
    return [cipher, hash, mac, aead, chain, rsa].enumerated().map { number, request in
      (
        request,
        (0..<Int(request.cipherKeyByteCount)).map { UInt8(truncatingIfNeeded: $0 + number) },
        (0..<Int(request.authKeyByteCount)).map { UInt8(truncatingIfNeeded: $0 * 3 + number) }
      )
    }
  }()

  static func fill(_ core: DeviceCore) throws -> [UInt64] {
    try requests.map { request, cipherKey, authKey in
      try cipherKey.withUnsafeBytes { cipherKey in
        try authKey.withUnsafeBytes { authKey in
          try core.createSession(request, cipherKey: cipherKey, authKey: authKey)
        }
      }
    }
  }

  /// What the workers would find: parameters and keys.
  static func expect(
    _ core: DeviceCore, _ identifiers: [UInt64], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (identifier, (request, cipherKey, authKey)) in zip(identifiers, requests) {
      let block = try #require(core.sessions.view.find(identifier), sourceLocation: sourceLocation)
      let parameters = block.pointee.parameters
      let wanted = try request.resolve(core.offer.algorithms)
      #expect(parameters.service == wanted.service && parameters.cipher == wanted.cipher)
      #expect(parameters.direction == wanted.direction && parameters.hash == wanted.hash)
      #expect(parameters.mac == wanted.mac && parameters.aead == wanted.aead)
      #expect(parameters.keyForm == wanted.keyForm && parameters.padding == wanted.padding)
      #expect(parameters.resultByteCount == wanted.resultByteCount)
      #expect(parameters.route == wanted.route)
      func bytes(_ start: UnsafePointer<UInt8>?, _ count: UInt32) -> [UInt8] {
        Array(UnsafeBufferPointer(start: start, count: Int(count)))
      }
      #expect(bytes(parameters.cipherKey, parameters.cipherKeyByteCount) == cipherKey)
      #expect(bytes(parameters.authKey, parameters.authKeyByteCount) == authKey)
    }
  }

  static let owner = SessionOwner(
    memory: FileIdentity(device: 1, inode: 4711),
    peer: PeerProcess(number: 42, user: 0, startTime: 99))

  /// A device whose guest is known.
  static func owned(_ journal: SessionJournal) throws -> (DeviceCore, [UInt64]) {
    let core = core(journal)
    core.beginConnection()
    core.setOwner(owner)
    return (core, try fill(core))
  }

  static func bytes(_ journal: SessionJournal) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: journal.layout.byteCount)
    pread(journal.descriptor, &bytes, bytes.count, 0)
    return bytes
  }

  /// Whether slots and long keys hold nothing at all.
  static func isWiped(_ journal: SessionJournal) -> Bool {
    let bytes = bytes(journal).dropFirst(journal.layout.slotsOffset)
    return bytes.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return true }
      return bytes[0] == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
    }
  }

  static func adopt(_ bytes: [UInt8]) throws -> SessionJournal {
    let file = try MemoryFile.makeSealed(name: "copy", byteCount: bytes.count)
    pwrite(file.rawValue, bytes, bytes.count, 0)
    return try SessionJournal(adopting: file)
  }
}

struct SessionJournalTests {
  @Test func theNextProcessFindsTheSameSessionsForTheSameGuest() throws {
    let journal = try Kept.journal()
    let (first, identifiers) = try Kept.owned(journal)
    try Kept.expect(first, identifiers)
    let second = Kept.core(try Kept.adopt(Kept.bytes(journal)))
    #expect(second.restoration.heldCount == identifiers.count)
    // Until its guest has come nobody finds them.
    for identifier in identifiers { #expect(second.sessions.view.find(identifier) == nil) }
    second.beginConnection()
    #expect(second.heldOwner == Kept.owner)
    second.admitHeld()
    try Kept.expect(second, identifiers)
    #expect(second.sessions.openCount == identifiers.count)
    // And goes on with others.
    let more = try Kept.fill(second)
    #expect(Set(more + identifiers).count == 2 * identifiers.count)
    try Kept.expect(second, more)
    for identifier in identifiers { try second.destroySession(identifier, services: .all) }
    // The third finds what the second has made, and nothing else.
    let third = Kept.core(try Kept.adopt(Kept.bytes(try #require(second.sessions.journal))))
    #expect(third.restoration.heldCount == more.count)
    third.beginConnection()
    third.admitHeld()
    try Kept.expect(third, more)
    // No identifier ever comes back.
    let last = try Kept.fill(third)
    #expect(Set(last + more + identifiers).count == 3 * identifiers.count)
  }

  @Test func heldSessionsThatAreNotGivenAreWiped() throws {
    let journal = try Kept.journal()
    let (_, identifiers) = try Kept.owned(journal)
    let copy = try Kept.adopt(Kept.bytes(journal))
    let core = Kept.core(copy)
    core.beginConnection()
    core.destroyHeld()
    #expect(core.heldOwner == nil && core.sessions.heldCount == 0)
    for identifier in identifiers { #expect(core.sessions.view.find(identifier) == nil) }
    #expect(Kept.isWiped(copy))
    #expect(Set(try Kept.fill(core) + identifiers).count == 2 * identifiers.count)
  }

  @Test func whatAnUnknownFrontEndMakesIsNotTheOwners() throws {
    let journal = try Kept.journal()
    let (_, identifiers) = try Kept.owned(journal)
    let core = Kept.core(try Kept.adopt(Kept.bytes(journal)))
    core.beginConnection()
    _ = try Kept.fill(core)
    // Killed before anybody knows who it is: its sessions are nobody's, the others are still held.
    let next = Kept.core(try Kept.adopt(Kept.bytes(try #require(core.sessions.journal))))
    #expect(next.restoration.heldCount == identifiers.count)
    #expect(next.restoration.ownerlessCount == identifiers.count)
    // It leaves: its sessions go with it.
    core.endConnection()
    #expect(core.sessions.openCount == 0 && core.sessions.heldCount == identifiers.count)
    // It was the owner: all of them are its.
    core.beginConnection()
    let mine = try Kept.fill(core)
    core.admitHeld()
    let last = Kept.core(try Kept.adopt(Kept.bytes(try #require(core.sessions.journal))))
    #expect(last.restoration.heldCount == 2 * identifiers.count)
    last.admitHeld()
    try Kept.expect(last, identifiers)
    try Kept.expect(last, mine)
  }

  /// A control request that had its change made and its answer not shown comes again.
  @Test(arguments: [UInt32(7), 8])
  func whatNobodyWasToldOfIsTakenBack(position: UInt32) throws {
    let wasShown = position != 7
    let journal = try Kept.journal()
    let (core, identifiers) = try Kept.owned(journal)
    core.beginRequest(at: 7)
    let made = try Kept.fill(core).last
    let making = Kept.bytes(journal)
    core.answersWereShown()
    core.beginRequest(at: 7)
    try core.destroySession(identifiers[1], services: .all)
    let ending = Kept.bytes(journal)
    core.answersWereShown()

    var next = Kept.core(try Kept.adopt(making))
    next.admitHeld()
    next.resumeRequests(at: position)
    #expect((next.sessions.view.find(try #require(made)) != nil) == wasShown)
    try Kept.expect(next, identifiers)
    next = Kept.core(try Kept.adopt(ending))
    next.admitHeld()
    next.resumeRequests(at: position)
    #expect(throws: Refusal.invalidSession) {
      try next.destroySession(identifiers[1] &+ 1 << 32, services: .all)
    }
    if !wasShown { try next.destroySession(identifiers[1], services: .all) }
    #expect(throws: Refusal.invalidSession) {
      try next.destroySession(identifiers[1], services: .all)
    }
    // Once is enough, and afterwards there is no mark.
    for bytes in [making, ending] {
      let another = Kept.core(try Kept.adopt(bytes))
      another.admitHeld()
      another.resumeRequests(at: 9)
      let count = another.sessions.openCount
      another.resumeRequests(at: 7)
      #expect(another.sessions.openCount == count)
    }
  }

  @Test func withoutAKnownGuestNothingIsKept() throws {
    let journal = try Kept.journal()
    let core = Kept.core(journal)
    core.beginConnection()
    let identifiers = try Kept.fill(core)
    let next = Kept.core(try Kept.adopt(Kept.bytes(journal)))
    #expect(next.restoration == Restoration(held: 0, refused: 0, ownerless: identifiers.count))
  }

  @Test func algorithmsThatAreGoneTakeTheirSessionsAlone() throws {
    let journal = try Kept.journal()
    let (_, identifiers) = try Kept.owned(journal)
    let offer = Kept.offer(
      CryptoAlgorithm.allCases.filter { $0 != .aead(.gcm) && $0 != .cipher(.aesCBC) })
    let core = Kept.core(try Kept.adopt(Kept.bytes(journal)), offer)
    #expect(core.restoration == Restoration(held: 3, refused: 3, ownerless: 0))
    core.admitHeld()
    let found = identifiers.map { core.sessions.view.find($0) != nil }
    #expect(found == [false, true, true, false, false, true])
    // No engine takes any of the keys.
    let refusing = Kept.core(try Kept.adopt(Kept.bytes(journal)), outcome: .failed)
    #expect(refusing.restoration == Restoration(held: 0, refused: 6, ownerless: 0))
  }

  @Test func leavingAndResettingEndsThemInTheJournalToo() throws {
    let journal = try Kept.journal()
    let (core, identifiers) = try Kept.owned(journal)
    try core.destroySession(identifiers[2], services: .all)
    #expect(Kept.core(try Kept.adopt(Kept.bytes(journal))).restoration.heldCount == 5)
    core.endConnection()
    #expect(Kept.isWiped(journal))
    #expect(Kept.core(try Kept.adopt(Kept.bytes(journal))).restoration == Restoration())
  }

  @Test func anotherCapacityLosesNothing() throws {
    let journal = try Kept.journal(capacity: 16)
    let (_, identifiers) = try Kept.owned(journal)
    for capacity in [4, 1000] {
      let core = Kept.core(
        try Kept.adopt(Kept.bytes(journal)), Kept.offer(capacity: capacity))
      core.admitHeld()
      try Kept.expect(core, identifiers)
      #expect(core.sessions.capacity <= 16)
      if capacity == 4 { #expect(throws: Refusal.tableFull) { try Kept.fill(core) } }
    }
  }

  /// Every bit of header and slots, one after the other.
  @Test func everyFlippedBitIsRefusedOrHarmless() throws {
    let journal = try SessionJournal(name: "test", slotCount: 3)
    let core = Kept.core(journal, Kept.offer(capacity: 1))
    core.beginConnection()
    core.setOwner(Kept.owner)
    let (request, key, _) = Kept.requests[0]
    let identifier = try key.withUnsafeBytes {
      try core.createSession(
        request, cipherKey: $0, authKey: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    var bytes = Kept.bytes(journal)
    let layout = journal.layout
    let places =
      Array(0..<256) + Array(layout.generationsOffset..<layout.generationsOffset + 8)
      + Array(layout.slotsOffset..<layout.slotsOffset + 256)
    var (refused, lost, kept) = (0, 0, 0)
    for place in places {
      for bit in 0..<8 {
        bytes[place] ^= 1 << UInt8(bit)
        defer { bytes[place] ^= 1 << UInt8(bit) }
        guard let adopted = try? Kept.adopt(bytes) else {
          refused += 1
          continue
        }
        let next = Kept.core(adopted, Kept.offer(capacity: 1))
        next.admitHeld()
        // What is there is as it was; what is not there has left no key.
        if let block = next.sessions.view.find(identifier) {
          kept += 1
          let stored = Array(
            UnsafeBufferPointer(
              start: block.pointee.parameters.cipherKey,
              count: Int(block.pointee.parameters.cipherKeyByteCount)))
          #expect(stored == key, "byte \(place), bit \(bit)")
        } else {
          lost += 1
          #expect(next.sessions.openCount == 0)
          #expect(Kept.isWiped(adopted), "byte \(place), bit \(bit)")
        }
      }
    }
    print("\(refused) refused, \(lost) without the session, \(kept) with it")
    // Magic, sizes, counters, owner, identifier and all of the session.
    #expect(refused > 1200 && lost < 64)
  }

  @Test func filesThatAreNoJournalsAreRefused() throws {
    func complaint(_ make: () throws -> SessionJournal) -> String {
      do {
        _ = try make()
        return "none"
      } catch { return "\(error)" }
    }
    let good = Kept.bytes(try Kept.journal(capacity: 4))
    for count in [0, 1, 64, 4095, 4096, 8192, good.count - 4096, good.count + 4096] {
      let bytes = Array((good + [UInt8](repeating: 0, count: 4096)).prefix(count))
      #expect(complaint { try Kept.adopt(bytes) } != "none", "\(count) bytes")
    }
    #expect(complaint { try Kept.adopt(good) } == "none")
    var version = good
    version[8] = 2
    #expect(complaint { try Kept.adopt(version) } == "it has version 2, and this program reads 1")
    // Somebody could cut it off under us.
    #expect(
      complaint {
        let file = try MemoryFile.make(name: "open", byteCount: good.count)
        pwrite(file.rawValue, good, good.count, 0)
        return try SessionJournal(adopting: file)
      } == "the file is not sealed")
    #expect(
      complaint { try SessionJournal(adopting: FileDescriptor(owning: open("/dev/null", O_RDWR))) }
        != "none")
  }

  @Test func aSessionTakesNoMoreThanAKilobyte() {
    // Slot, block and table entry.
    let count =
      JournalLayout.slotByteCount + MemoryLayout<SessionBlock>.stride
      + MemoryLayout<SessionSlot>.stride + 8
    #expect(count <= 1024, "\(count)")
  }
}

extension Restoration {
  init(held: Int, refused: Int, ownerless: Int) {
    self.init()
    heldCount = held
    refusedCount = refused
    ownerlessCount = ownerless
  }
}
