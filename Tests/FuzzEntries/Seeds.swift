import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

// Where fuzzing begins: what the test front-end really sends, in the entries' own notation.

extension FuzzTarget {
  /// Inputs that go deep at once.
  public func seeds() throws -> [[UInt8]] {
    switch self {
    case .messages: ConversationSeeds.all
    case .splitChains: ChainSeeds.split
    case .packedChains: ChainSeeds.packed
    case .controlRequests: ControlSeeds.all
    case .dataRequests: DataSeeds.all
    case .keys: KeySeeds.all
    case .capabilityFile: CapabilityFileSeeds.all
    case .deviceState: try DeviceStateSeeds.all()
    case .sessionJournal: try JournalSeeds.all()
    }
  }
}

/// Little-endian words.
func bytes16(_ value: Int) -> [UInt8] {
  [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
}

func bytes64(_ value: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// Sessions made and ended, in each layout.
private enum ControlSeeds {
  /// `missing`: bytes that are cut off its end.
  private static func record(
    _ request: ControlRequest, which: UInt8 = 255, cuts: UInt8 = 1, flags: UInt8 = 0,
    missing: Int = 0
  ) -> [UInt8] {
    let bytes = (request.fixed.bytes + request.keys).dropLast(missing)
    return [flags, cuts, which, UInt8(request.writableByteCount)] + bytes16(bytes.count) + bytes
  }

  private static let layouts: [(UInt8, RequestFormat)] = [
    (0, .legacy), (4, .revision1), (5, .draftV15),
  ]

  static var all: [[UInt8]] { whole + ending }

  /// Requests that end one byte early.
  private static var ending: [[UInt8]] {
    layouts.flatMap { flags, format in
      StandardSessions.specs.indices.filter { $0 % 5 == 0 }.map { number -> [UInt8] in
        let request = CryptoRequestBuilder.createSession(
          StandardSessions.specs[number], format: format)
        return [flags] + record(request, missing: 1)
      }
    }
  }

  private static var whole: [[UInt8]] {
    StandardSessions.specs.enumerated().flatMap { number, spec in
      layouts.map { flags, format -> [UInt8] in
        // A few shapes, each with some of the sessions.
        let cuts = UInt8(number % 4) | UInt8(number % 3) << 4
        let outcome = number % 5 == 0 ? 8 : 1
        return [flags]
          + record(
            CryptoRequestBuilder.createSession(spec, format: format), cuts: cuts,
            flags: UInt8(number & 3))
          + record(
            CryptoRequestBuilder.destroySession(
              7, service: spec.service, format: format, writableByteCount: outcome), which: 0)
      }
    }
  }
}

/// One request of each kind, with and without a session, in each layout.
private enum DataSeeds {
  private static func record(
    _ request: DataRequest, which: UInt8, flags: UInt8 = 0, cuts: UInt8 = 0
  ) -> [UInt8] {
    let bytes = request.fields.reduce(request.fixed.bytes) { $0 + $1.bytes }
    let room = request.destinationByteCount + request.resultByteCount + 1
    return [flags, cuts, which] + bytes16(room) + bytes16(bytes.count) + bytes
  }

  private static func operation(_ spec: SessionSpec, sessionID: UInt64?) -> OperationSpec {
    let source = StandardSessions.key(48)
    switch spec {
    case .cipher(let cipher, _, _):
      return OperationSpec(
        spec, sessionID: sessionID, iv: StandardSessions.key(cipher.ivByteCount), source: source)
    case .chain(let chain):
      var aad = 0
      if case .authenticated(let mac, _) = chain.second { aad = mac.ivByteCount }
      return OperationSpec(
        spec, sessionID: sessionID, iv: StandardSessions.key(chain.cipher.ivByteCount),
        source: source, aad: StandardSessions.key(aad),
        ranges: ChainRanges(cipher: 16..<48, hash: 0..<48))
    case .aead:
      return OperationSpec(
        spec, sessionID: sessionID, iv: StandardSessions.key(12), source: source,
        aad: StandardSessions.key(20))
    case .hash: return OperationSpec(spec, sessionID: sessionID, source: source)
    case .mac(let mac, _, _):
      return OperationSpec(
        spec, sessionID: sessionID, source: StandardSessions.key(mac.ivByteCount + 48))
    case .akcipher(let spec):
      return OperationSpec(.encrypt, spec, sessionID: sessionID, source: source, room: 72)
    }
  }

  /// `dying`: each in place, in one piece and in several, taken by a daemon that dies over it.
  private static func inSessions(dying: Bool = false) -> [[UInt8]] {
    let layouts: [(UInt8, RequestFormat, Bool)] = [
      (0, .legacy, false), (1, .revision1, false), (1, .stateless, true),
      (2, .draftV15, false), (2, .draftV15, true), (3, .draftV15WithoutSessions, true),
      (4, .rfcAsymV3, false),
    ]
    return StandardSessions.specs.enumerated().flatMap { number, spec in
      layouts.compactMap { flags, format, isStateless -> [UInt8]? in
        if case .akcipher = spec, format.dialect.isDraftV15 { return nil }
        let request = CryptoRequestBuilder.data(
          operation(spec, sessionID: isStateless ? nil : 1), format: format)
        let which = isStateless ? 255 : UInt8(number)
        if dying {
          return [flags | 16] + record(request, which: which, flags: 4)
            + record(request, which: which, flags: 6, cuts: UInt8(number % 3) * 0x10 + 0x12)
        }
        // In one piece and in several, direct and indirect, in place, and across regions.
        return [flags | (number % 7 == 6 ? 8 : 0)]
          + record(
            request, which: which, flags: UInt8(number & 7),
            cuts: UInt8(truncatingIfNeeded: number * 37))
      }
    }
  }

  private static var signatures: [[UInt8]] {
    let digest = StandardSessions.key(20)
    var all: [[UInt8]] = []
    for (number, spec) in StandardSessions.specs.enumerated() {
      guard case .akcipher(let key) = spec else { continue }
      let operations = [
        OperationSpec(.sign, key, sessionID: 1, source: digest, room: 80),
        OperationSpec(.decrypt, key, sessionID: 1, source: StandardSessions.key(64), room: 80),
        OperationSpec(verify: StandardSessions.key(64), of: digest, key, sessionID: 1),
      ]
      for operation in operations {
        var stateless = operation
        stateless.sessionID = nil
        all.append(
          [1]
            + record(CryptoRequestBuilder.data(operation, format: .revision1), which: UInt8(number))
            + record(
              CryptoRequestBuilder.data(stateless, format: .statelessAKCipher), which: 255,
              cuts: 0x12))
      }
    }
    return all
  }

  static var all: [[UInt8]] {
    inSessions() + inSessions(dying: true) + signatures
      + ASYMSeeds.all.enumerated().map { number, request in
        [4] + record(request, which: 255, flags: UInt8(number & 3), cuts: UInt8(number % 3) * 0x11)
      }
  }
}

/// Good keys of every kind, and of one the length is wrong.
private enum KeySeeds {
  static var all: [[UInt8]] {
    let rsa = StandardKeys.rsa
    var all: [[UInt8]] = []
    for hash in AKCipherHash.allCases {
      all.append([0, 1, UInt8(hash.rawValue)] + rsa.publicBytes)
      all.append([2, 1, UInt8(hash.rawValue)] + rsa.privateBytes)
    }
    all += [[0, 0, 0] + rsa.publicBytes, [2, 0, 0] + rsa.privateBytes]
    // Linux's self-tests bring keys without factors, and moduli that look negative.
    let zero = DER.integer(0)
    all.append(
      [2, 0, 0]
        + DER.sequence(
          DER.integer(1), DER.integer(rsa.modulus), DER.integer(rsa.publicExponent),
          DER.integer(rsa.privateExponent), zero, zero, zero, zero, zero))
    all.append(
      [0, 0, 0]
        + DER.sequence(DER.element(2, rsa.modulus.bytes), DER.integer(rsa.publicExponent)))
    all.append([2, 0, 0] + rsa.privateBytes.dropLast())
    all.append(
      [2, 0, 0]
        + DER.sequence(
          DER.integer(1), DER.integer(rsa.modulus), DER.integer(rsa.publicExponent),
          DER.integer(rsa.privateExponent), DER.integer(rsa.prime1), DER.integer(rsa.prime2),
          DER.integer(rsa.exponent1), DER.integer(rsa.exponent2), DER.integer(rsa.coefficient),
          DER.sequence(DER.sequence(DER.integer(3), DER.integer(1), DER.integer(1)))))
    for curve in AKCipherCurve.allCases {
      all.append([3, UInt8(curve.rawValue), 0] + StandardKeys.privateKey(curve))
    }
    all.append([1, 3, 0] + StandardKeys.point)
    all.append([1, 3, 0] + StandardKeys.compressedPoint)
    all.append(
      [3, 3, 0]
        + DER.sequence(
          DER.integer(1), DER.octetString(StandardKeys.scalar(.p256)),
          DER.tagged(0, DER.identifier([0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7])),
          DER.tagged(1, DER.bitString(StandardKeys.point))))
    return all
  }
}
