import CryptoTypes
import EngineContract
import TestSupport
import Testing

/// Runs files of published vectors on a lane: each vector alone in every way, then many of a file at once.
public struct VectorChecks<Lane: EngineLane & ~Copyable> {
  public typealias Vector = VectorFile.Test

  /// How many vectors of a file were right answers, and how many were wrong ones that must not come out.
  public struct Counts {
    public var valid = 0
    public var invalid = 0
  }

  private typealias Case = (request: Request, expected: Response)

  private let harness: LaneHarness<Lane>
  /// Whether GCM takes the pre-counter block J0 in place of an IV.
  private let takesPreCounterBlocks: Bool

  public init(_ harness: LaneHarness<Lane>, takesPreCounterBlocks: Bool = true) {
    self.harness = harness
    self.takesPreCounterBlocks = takesPreCounterBlocks
  }

  /// Runs requests alone in every way, then together in sessions and stateless by turns.
  private func check(_ cases: [Case], _ path: String) {
    for (index, item) in cases.enumerated() {
      #expect(harness.runAllWays(item.request) == item.expected, "\(path), request \(index)")
    }
    let capacity = LaneHarness<Lane>.sessionCapacity
    for start in stride(from: 0, to: cases.count, by: 512) {
      let part = cases[start..<min(start + 512, cases.count)]
      let generation = harness.nextGeneration()
      let prepared = part.enumerated().map { index, item in
        let prepared = PreparedRequest(item.request, inPlace: index % 3 == 0)
        prepared.operation.pointee.sessionIndex =
          index % 2 == 0 && index < 2 * capacity
          ? UInt32(index / 2) : CryptoOperation.transientSession
        prepared.operation.pointee.sessionGeneration = generation
        return prepared
      }
      harness.submit(prepared)
      harness.finish()
      for (item, prepared) in zip(part, prepared) {
        #expect(prepared.response(of: item.request) == item.expected, "\(path), among others")
        prepared.release()
      }
    }
  }

  // MARK: Services

  /// Both directions of every vector; the number of vectors.
  ///
  /// `iv`: of the algorithm, from a vector's.
  public func ciphers(
    _ path: String, _ cipher: CipherAlgorithm,
    iv: (Vector) throws -> [UInt8] = { try $0.ivBytes }
  ) throws -> Int {
    var cases: [Case] = []
    for vector in try Vectors.load(path).testGroups.flatMap(\.tests) {
      let key = try vector.keyBytes
      guard cipher.accepts(keyByteCount: key.count) else {
        // Wycheproof has AES-192 in XTS, which virtio-crypto and IEEE 1619 have not.
        let request = Request.cipher(cipher, .encrypt, key: key, iv: [], source: [])
        #expect(harness.validate(request) == .failed)
        continue
      }
      #expect(vector.isValid)
      let texts = [try vector.messageBytes, try vector.ciphertextBytes]
      for (direction, texts) in [(CryptoDirection.encrypt, texts), (.decrypt, texts.reversed())] {
        cases.append(
          (
            .cipher(cipher, direction, key: key, iv: try iv(vector), source: texts[0]),
            Response(outcome: .ok, destination: texts[1], result: [])
          ))
      }
    }
    check(cases, path)
    return cases.count / 2
  }

  /// Every vector; their number.
  ///
  /// `hash`: the algorithm by the bits of its result.
  public func hashes(_ path: String, _ hash: (Int) -> HashAlgorithm?) throws -> Int {
    var cases: [Case] = []
    for group in try Vectors.load(path).testGroups {
      let known = hash(group.tagSize ?? 0)
      let algorithm = try #require(known)
      for vector in group.tests {
        #expect(vector.isValid)
        let result = try vector.tagBytes
        cases.append(
          (
            .hash(algorithm, source: try vector.messageBytes, resultByteCount: result.count),
            Response(outcome: .ok, destination: [], result: result)
          ))
      }
    }
    check(cases, path)
    return cases.count
  }

  /// Valid vectors must match and invalid ones must not; key sizes that the algorithm has not are refused.
  ///
  /// `iv`: of the algorithm, from a vector's; nil leaves the vector out. `message`: likewise.
  public func macs(
    _ path: String, _ mac: MACAlgorithm, iv: (Vector) throws -> [UInt8]? = { try $0.ivBytes },
    message: (Vector) throws -> [UInt8] = { try $0.messageBytes }
  ) throws -> Counts {
    var cases: [Case] = []
    var counts = Counts()
    for group in try Vectors.load(path).testGroups {
      for vector in group.tests {
        guard let iv = mac.ivByteCount == 0 ? [] : try iv(vector) else { continue }
        // Some files give the whole tag beside the length that is to be compared.
        let whole = try vector.tagBytes
        let count = group.tagSize.map { $0 / 8 } ?? whole.count
        let tag = vector.isValid ? Array(whole.prefix(count)) : whole
        let request = Request.mac(
          mac, key: try vector.keyBytes, iv: iv, source: try message(vector),
          resultByteCount: count)
        if vector.isValid { counts.valid += 1 } else { counts.invalid += 1 }
        if !mac.accepts(keyByteCount: request.authKey.count) {
          #expect(!vector.isValid)
          #expect(harness.validate(request) == .failed)
          #expect(harness.runAllWays(request).outcome == .failed)
        } else if mac == .gmacAES && iv.count != 12 {
          #expect(harness.run(request).outcome == .failed)
          checkWithGCM(request, tag, vector, path)
        } else if vector.isValid {
          cases.append((request, Response(outcome: .ok, destination: [], result: tag)))
        } else {
          let response = harness.runAllWays(request)
          #expect(response.outcome == .ok)
          #expect(response.result != tag, "\(path) \(vector.tcId)")
        }
      }
    }
    check(cases, path)
    return counts
  }

  /// GMAC takes 12 bytes of IV; others give the same tag with GCM, the IV hashed to J0, and no text.
  private func checkWithGCM(_ request: Request, _ tag: [UInt8], _ vector: Vector, _ path: String) {
    guard takesPreCounterBlocks else { return }
    let sealed = harness.runAllWays(
      .seal(
        .gcm, key: request.authKey,
        iv: Reference.preCounterBlock(key: request.authKey, iv: request.iv), aad: request.source,
        source: [], tagByteCount: request.resultByteCount))
    #expect(sealed.outcome == .ok)
    #expect((sealed.result == tag) == vector.isValid, "\(path) \(vector.tcId)")
  }

  /// Valid vectors seal and open; invalid ones do not open, and leave no plaintext.
  ///
  /// GCM's IVs of other sizes than 12 bytes are hashed to J0, or left out where the engine does not take that.
  public func aeads(_ path: String, _ aead: AEADAlgorithm) throws -> Counts {
    var cases: [Case] = []
    var counts = Counts()
    for vector in try Vectors.load(path).testGroups.flatMap(\.tests) {
      let key = try vector.keyBytes
      var iv = try vector.ivBytes
      if aead == .gcm && iv.count != 12 && !iv.isEmpty {
        guard takesPreCounterBlocks else { continue }
        iv = Reference.preCounterBlock(key: key, iv: iv)
      }
      if vector.isValid { counts.valid += 1 } else { counts.invalid += 1 }
      let aad = try vector.aadBytes
      let tag = try vector.tagBytes
      let ciphertext = try vector.ciphertextBytes
      let message = try vector.messageBytes
      let opening = Request.open(aead, key: key, iv: iv, aad: aad, source: ciphertext, tag: tag)
      guard aead.accepts(ivByteCount: iv.count) else {
        #expect(!vector.isValid)
        #expect(harness.run(opening).outcome == .failed, "\(path) \(vector.tcId)")
        continue
      }
      guard vector.isValid else {
        let zeros = [UInt8](repeating: 0, count: ciphertext.count)
        cases.append(
          (opening, Response(outcome: .tagMismatch, destination: zeros, result: [])))
        continue
      }
      cases.append((opening, Response(outcome: .ok, destination: message, result: [])))
      cases.append(
        (
          .seal(aead, key: key, iv: iv, aad: aad, source: message, tagByteCount: tag.count),
          Response(outcome: .ok, destination: ciphertext, result: tag)
        ))
    }
    check(cases, path)
    return counts
  }
}
