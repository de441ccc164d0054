import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Keys that many tests share, because making them takes long.
enum Keys {
  static let rsa512 = RSAKeyPair.generated(bitCount: 512)
  static let rsa1024 = RSAKeyPair.generated(bitCount: 1024)
  static let rsa2048 = RSAKeyPair.generated(bitCount: 2048)
  static let curves: [AKCipherCurve: ECKeyPair] = Dictionary(
    uniqueKeysWithValues: AKCipherCurve.allCases.compactMap { curve in
      ECKeyPair(generatedOn: curve).map { (curve, $0) }
    })

  static func on(_ curve: AKCipherCurve) throws -> ECKeyPair {
    try #require(curves[curve], "libcrypto has no \(curve)")
  }
}

extension AsymmetricBench {
  /// Does the task in every way that has room for its key; the replies, each without a fault.
  func replies(
    _ task: KeyTask, _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> [Reply] {
    var replies: [Reply] = []
    for guest in guests where guest.carries(task.spec) {
      let reply = try guest.run(task)
      #expect(reply.fault == nil, "\(comment) \(guest.way)", sourceLocation: sourceLocation)
      replies.append(reply)
    }
    #expect(!replies.isEmpty, "\(comment): no way has room", sourceLocation: sourceLocation)
    return replies
  }

  /// The task has this result in every way.
  func expect(
    _ task: KeyTask, gives result: [UInt8]?, _ comment: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try #require(result, sourceLocation: sourceLocation)
    for reply in try replies(task, comment, sourceLocation: sourceLocation) {
      #expect(reply.status == .ok, "\(comment)", sourceLocation: sourceLocation)
      #expect(reply.result == expected, "\(comment)", sourceLocation: sourceLocation)
    }
  }

  /// The task is refused in every way, with one of the statuses.
  func expect(
    _ task: KeyTask, refusedWith statuses: VirtioCryptoStatus..., ofSession: Bool? = nil,
    comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for guest in guests where guest.carries(task.spec) {
      let reply = try guest.run(task)
      #expect(
        statuses.contains(reply.status), "\(comment) \(guest.way): \(reply.status)",
        sourceLocation: sourceLocation)
      #expect(reply.fault == nil, "\(comment) \(guest.way)", sourceLocation: sourceLocation)
      if let ofSession, guest.way != .stateless {
        #expect(
          reply.isOfSession == ofSession, "\(comment) \(guest.way)", sourceLocation: sourceLocation)
      }
    }
  }

  /// Whatever the device makes of the task, it does not make something wrong of it: the result or a refusal, soon.
  func expect(
    _ task: KeyTask, givesOrRefuses result: [UInt8]?, _ comment: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let start = ContinuousClock.now
    for reply in try replies(task, comment, sourceLocation: sourceLocation) {
      if reply.status == .ok {
        #expect(reply.result == result, "\(comment)", sourceLocation: sourceLocation)
      } else {
        let refusals: [VirtioCryptoStatus] = [.err, .notsupp, .keyRejected]
        #expect(
          refusals.contains(reply.status), "\(comment): \(reply.status)",
          sourceLocation: sourceLocation)
      }
    }
    let took = ContinuousClock.now - start
    #expect(took < .seconds(10), "\(comment)", sourceLocation: sourceLocation)
  }

  /// Every guest still has its requests served: a signature that only one answer fits.
  func expectAllIsWell(
    _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let digest = [UInt8](repeating: 0x31, count: 32)
    let task = KeyTask(
      .sign, .rsa(.pkcs1, .sha256, key: Keys.rsa1024.privateKey), digest, room: 128)
    try expect(
      task, gives: Keys.rsa1024.sign(digest, .sha256), comment, sourceLocation: sourceLocation)
  }
}
