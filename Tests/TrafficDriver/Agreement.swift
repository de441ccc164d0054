import CryptoTypes
import TestSupport
import VhostUserFrontend
import VirtioSpec

/// Sends the same random requests to devices with different engines, and compares their answers with each other, and with
/// libcrypto's own where that has the algorithm.
struct Agreement {
  let rings: [Ring]
  let requestCount: Int
  let seed: UInt64
  private static let batchCount = 50

  init(_ rings: [Ring], requestCount: Int, seed: UInt64) {
    self.rings = rings
    self.requestCount = requestCount
    self.seed = seed
  }

  /// One line: how many requests were compared with how many engines, and how many with libcrypto.
  func run(_ algorithm: CryptoAlgorithm) throws -> String {
    var source = RequestSource(
      algorithm, seed: seed &+ UInt64(CryptoAlgorithm.symmetric.firstIndex(of: algorithm) ?? 0))
    let serving = try rings.filter { try serves($0, source) }
    guard !serving.isEmpty else { return "\(algorithm.name): no engine" }
    var compared = 0
    var referenced = 0
    var accepted = 0
    while compared < requestCount {
      let session = source.session()
      let sample = (0..<min(Self.batchCount, requestCount - compared)).map { _ in
        (operation: source.operation(session, nil), isStateless: source.upTo(3) == 0)
      }
      let references = sample.map { ReferenceCrypto.answer(to: $0.operation) }
      var first: [OperationAnswer]?
      // One engine alone is compared with itself, the requests lying otherwise in memory.
      for ring in serving.count > 1 ? serving : serving + serving {
        let identifier = try ring.client.openSession(session)
        let answers = try ring.perform(
          sample.map { item in
            var operation = item.operation
            operation.sessionID = item.isStateless ? nil : identifier
            return operation
          }, sample.map { _ in source.plan() })
        _ = try ring.client.destroySession(identifier, service: session.service)
        for (index, answer) in answers.enumerated() {
          let place = "\(algorithm.name), request \(compared + index), \(ring.name)"
          if let other = first?[index] { try Self.compare(answer, other, place) }
          if answer.status == .ok {
            accepted += 1
            if let reference = references[index] {
              referenced += 1
              guard answer.output.elementsEqual(reference.output),
                answer.result.elementsEqual(reference.result)
              else { throw DriverError("\(place): not what libcrypto computes") }
            }
          }
        }
        first = first ?? answers
      }
      try checkInverse(session, sample.map(\.operation), first ?? [], serving[0], &source)
      compared += sample.count
    }
    guard accepted * 2 > compared else {
      throw DriverError("\(algorithm.name): only \(accepted) of \(compared) requests were accepted")
    }
    let names = serving.map(\.name).joined(separator: "+")
    return "\(algorithm.name): requests=\(compared) engines=\(names) libcrypto=\(referenced)"
  }

  private func serves(_ ring: Ring, _ source: RequestSource) throws -> Bool {
    var source = source
    let answer = try ring.client.createSession(source.session())
    guard answer.statusWord == 0 else { return false }
    _ = try ring.client.destroySession(answer.sessionID, service: source.session().service)
    return true
  }

  private static func compare(
    _ answer: OperationAnswer, _ other: OperationAnswer, _ place: String
  ) throws {
    guard answer.status == other.status else {
      throw DriverError("\(place): status \(answer.status) instead of \(other.status)")
    }
    guard answer.status == .ok else { return }
    guard answer.output == other.output, answer.result == other.result else {
      throw DriverError("\(place): another result than the first engine's")
    }
  }

  /// Where libcrypto lacks a cipher, undoing it must give the source back.
  private func checkInverse(
    _ session: SessionSpec, _ operations: [OperationSpec], _ answers: [OperationAnswer],
    _ ring: Ring, _ source: inout RequestSource
  ) throws {
    guard case .cipher(let cipher, let direction, let key) = session,
      [.kasumiF8, .snow3gUEA2, .zucEEA3].contains(cipher)
    else { return }
    let inverse = SessionSpec.cipher(
      cipher, direction == .encrypt ? .decrypt : .encrypt, key: key)
    let identifier = try ring.client.openSession(inverse)
    let done = operations.indices.filter { answers[$0].status == .ok }
    let back = try ring.perform(
      done.map {
        OperationSpec(
          inverse, sessionID: identifier, iv: operations[$0].iv, source: answers[$0].output)
      }, done.map { _ in source.plan() })
    for (index, answer) in zip(done, back) where answer.output != operations[index].source {
      throw DriverError("\(cipher.name): deciphering does not undo enciphering")
    }
    _ = try ring.client.destroySession(identifier, service: .cipher)
  }
}
