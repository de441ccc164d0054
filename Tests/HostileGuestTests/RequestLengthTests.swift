import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// A field of a request's fixed part.
enum LengthField: String, Sendable {
  case cipherKey, authKey, iv, source, destination, aad, result
  case cipherOffset, cipherCount, hashOffset, hashCount

  /// Where the field lies, from the start of the header.
  ///
  /// Spec: draft v25, the `flf` structures.
  func offset(_ kind: Kind, isStateless: Bool) throws -> Int {
    let fields: [LengthField: Int] =
      switch (kind, isStateless) {
      case (.cipher, false): [.iv: 24, .source: 28, .destination: 32]
      case (.cipher, true): [.cipherKey: 28, .iv: 36, .source: 40, .destination: 44]
      case (.hash, false), (.mac, false): [.source: 24, .result: 28]
      case (.hash, true): [.source: 28, .result: 32]
      case (.mac, true): [.authKey: 28, .source: 32, .result: 36]
      case (.aead, false): [.iv: 24, .aad: 28, .source: 32, .destination: 36, .result: 40]
      case (.aead, true):
        [.cipherKey: 28, .iv: 36, .result: 40, .aad: 44, .source: 48, .destination: 52]
      case (.chain, false): Self.chain(at: 24)
      case (.chain, true):
        Self.chain(at: 56).merging([.cipherKey: 36, .authKey: 48]) { $1 }
      }
    return try #require(fields[self])
  }

  private static func chain(at start: Int) -> [LengthField: Int] {
    let order: [LengthField] = [
      .iv, .source, .destination, .cipherOffset, .cipherCount, .hashOffset, .hashCount, .aad,
      .result,
    ]
    return Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, start + 4 * $0) })
  }
}

/// Spoilt lengths and what has to come of them.
struct LengthCase: Sendable {
  var edits: [(field: LengthField, value: UInt32)]
  var status: VirtioCryptoStatus
}

extension LengthCase {
  /// 0, 1 and the most, one after the other.
  private static func each(
    _ field: LengthField, _ zero: VirtioCryptoStatus, _ one: VirtioCryptoStatus,
    _ most: VirtioCryptoStatus = .err
  ) -> [LengthCase] {
    [(0, zero), (1, one), (.max, most)].map { LengthCase(edits: [(field, $0)], status: $1) }
  }

  private static func together(
    _ edits: [LengthField: UInt32], _ status: VirtioCryptoStatus = .err
  ) -> LengthCase {
    LengthCase(edits: edits.map { ($0, $1) }, status: status)
  }

  /// What is true of both modes, then what only one of them has.
  static func all(_ kind: Kind, isStateless: Bool) -> [LengthCase] {
    let common: [LengthCase] =
      switch kind {
      case .cipher: cipher
      case .hash, .mac: digest(kind)
      case .aead: aead
      case .chain: chain
      }
    return common + (isStateless ? stateless(kind) : session(kind))
  }

  // A good request has 64 bytes of source, 5 of associated data and ranges within.

  private static var cipher: [LengthCase] {
    each(.iv, .err, .err) + each(.source, .err, .err) + each(.destination, .err, .err) + [
      together([.source: 0, .destination: 0], .ok), together([.source: 1, .destination: 1]),
      together([.source: 48, .destination: 48], .ok),
      together([.source: 48, .destination: 64]), together([.source: 64, .destination: 48]),
      together([.source: 80, .destination: 80]), together([.source: .max, .destination: .max]),
      together([.source: 0xFFFF_FFF0, .destination: 0xFFFF_FFF0]),
      together([.source: 0x8000_0000, .destination: 0x8000_0000]),
      together([.iv: 0xFFFF_FFF0, .source: 0x20, .destination: 0x20]), together([.iv: 17]),
    ]
  }

  private static func digest(_ kind: Kind) -> [LengthCase] {
    each(.source, .ok, .ok) + each(.result, .err, .ok) + [
      together([.source: 65]), together([.result: kind == .hash ? 33 : 21]),
      together([.source: .max, .result: .max]), together([.source: 0xFFFF_FFF0, .result: 20]),
      together([.source: 0x8000_0000, .result: 1]),
    ]
  }

  private static var aead: [LengthCase] {
    each(.iv, .err, .err) + each(.aad, .ok, .ok) + each(.source, .ok, .ok)
      + each(.destination, .err, .err) + [
        together([.destination: 79]), together([.destination: 81], .ok), together([.iv: 13]),
        together([.aad: 6]), together([.source: 65, .aad: 4]),
        // All of the writable part, which leaves no byte for the status.
        together([.source: 65, .aad: 4, .destination: 81]),
        together([.aad: 0xFFFF_FFF0, .source: 0x20]), together([.aad: .max, .source: 1]),
        together([.source: 0xFFFF_FFF8, .destination: 8]),
        together([.source: .max, .destination: .max]),
      ]
  }

  private static var chain: [LengthCase] {
    each(.iv, .err, .err) + each(.source, .err, .err) + each(.destination, .err, .err)
      + each(.cipherOffset, .ok, .ok) + each(.cipherCount, .ok, .err)
      + each(.hashOffset, .ok, .ok) + each(.hashCount, .ok, .ok) + each(.aad, .ok, .ok)
      + each(.result, .err, .ok) + [
        together([.source: 48, .destination: 64]), together([.source: 64, .destination: 80]),
        together([.source: .max, .destination: .max]), together([.result: 33]),
        together([.cipherOffset: 0xFFFF_FFF0, .cipherCount: 0x20]),
        together([.cipherOffset: 0x8000_0000, .cipherCount: 0x8000_0000]),
        together([.cipherOffset: 48, .cipherCount: 32]),
        together([.hashOffset: 0xFFFF_FFF0, .hashCount: 0x20]),
        together([.hashOffset: .max, .hashCount: 1]), together([.hashOffset: 40, .hashCount: 25]),
        together([.aad: 0xFFFF_FFC0]), together([.aad: 6]),
      ]
  }

  private static func session(_ kind: Kind) -> [LengthCase] {
    // The tag's length is the session's.
    kind == .aead ? each(.result, .err, .err) + [together([.source: 0xFFFF_FFF8, .result: 8])] : []
  }

  private static func stateless(_ kind: Kind) -> [LengthCase] {
    switch kind {
    case .cipher: each(.cipherKey, .notsupp, .notsupp, .notsupp) + [together([.cipherKey: 32])]
    case .hash: []
    case .mac:
      each(.authKey, .ok, .ok, .notsupp) + [
        together([.authKey: 512]), together([.authKey: 513], .notsupp),
        together([.authKey: 0xFFFF_FFF0, .source: 0x20], .notsupp),
      ]
    case .aead:
      each(.cipherKey, .notsupp, .notsupp, .notsupp) + each(.result, .err, .ok) + [
        together([.source: 0xFFFF_FFF8, .result: 8])
      ]
    case .chain:
      each(.cipherKey, .notsupp, .notsupp, .notsupp) + each(.authKey, .ok, .ok, .notsupp) + [
        together([.cipherKey: 0xFFFF_FFF0, .authKey: 0x20], .notsupp),
        together([.authKey: 512]),
      ]
    }
  }
}

extension HostileGuest {
  @Suite struct RequestLengths {
    @Test(arguments: Kind.allCases, ["legacy", "revision 1", "stateless"])
    func everySpoiltLengthIsRefusedOrMeansWhatItSays(kind: Kind, layout: String) throws {
      let isStateless = layout == "stateless"
      let format: RequestFormat =
        isStateless ? .stateless : layout == "legacy" ? .legacy : .revision1
      let guest = try Stage.current().guest(format)
      for spoilt in LengthCase.all(kind, isStateless: isStateless) {
        let good = guest.operation(kind, isStateless: isStateless)
        var request = CryptoRequestBuilder.data(good, format: format)
        for (field, value) in spoilt.edits {
          request.fixed.set32(value, at: try field.offset(kind, isStateless: isStateless))
        }
        let comment = "\(spoilt.edits)"
        if spoilt.status == .ok {
          let meant = try Self.meaning(of: request, kind, good)
          try expectRight(guest.client.perform(request), meant, comment)
        } else {
          try guest.expectRefused(request, spoilt.status, comment)
        }
        try guest.expectAllIsWell(kind, comment)
      }
    }

    @Test(arguments: Kind.allCases)
    func lengthsBeyondMaxRequestAreRefusedBeforeAnythingIsRead(kind: Kind) throws {
      let guest = try Stage.current().guest()
      let most = UInt32(try guest.frontend.readConfiguration().maxRequestByteCount)
      var request = CryptoRequestBuilder.data(guest.operation(kind), format: .revision1)
      let offset = try LengthField.source.offset(kind, isStateless: false)
      request.fixed.set32(most + 16, at: offset)
      if kind == .cipher || kind == .chain { request.fixed.set32(most + 16, at: offset + 4) }
      if kind == .aead { request.fixed.set32(most + 32, at: offset + 4) }
      try guest.expectRefused(request, .err)
      try guest.expectAllIsWell(kind)
    }

    /// What a request with other lengths asks for: its readable bytes, cut where they say.
    static func meaning(
      of request: DataRequest, _ kind: Kind, _ good: OperationSpec
    ) throws -> OperationSpec {
      let isStateless = good.sessionID == nil
      var stream = request.fields.flatMap(\.bytes)[...]
      func word(_ field: LengthField) throws -> Int {
        Int(request.fixed.get32(at: try field.offset(kind, isStateless: isStateless)))
      }
      func take(_ field: LengthField) throws -> [UInt8] {
        let count = try word(field)
        defer { stream = stream.dropFirst(count) }
        return Array(stream.prefix(count))
      }
      var meant = good
      if isStateless, kind != .hash {
        let cipherKey = kind == .mac ? [] : try take(.cipherKey)
        let authKey = kind == .mac || kind == .chain ? try take(.authKey) : []
        meant.session = Self.session(good.session, cipherKey, authKey)
      }
      if kind == .cipher || kind == .aead || kind == .chain { meant.iv = try take(.iv) }
      if kind == .chain, isStateless { meant.aad = try take(.aad) }
      meant.source = try take(.source)
      if kind == .aead || (kind == .chain && !isStateless) { meant.aad = try take(.aad) }
      if kind != .cipher { meant.resultByteCount = try word(.result) }
      if kind == .chain {
        let (cipher, hash) = (try word(.cipherOffset), try word(.hashOffset))
        meant.ranges = ChainRanges(
          cipher: cipher..<cipher + (try word(.cipherCount)),
          hash: hash..<hash + (try word(.hashCount)))
      }
      return meant
    }

    private static func session(
      _ session: SessionSpec, _ cipherKey: [UInt8], _ authKey: [UInt8]
    ) -> SessionSpec {
      switch session {
      case .cipher(let algorithm, let direction, _):
        return .cipher(algorithm, direction, key: cipherKey)
      case .mac(let algorithm, _, let count):
        return .mac(algorithm, key: authKey, resultByteCount: count)
      case .aead(let algorithm, let direction, _, let count, _):
        return .aead(algorithm, direction, key: cipherKey, tagByteCount: count)
      case .chain(var chain):
        chain.cipherKey = cipherKey
        if case .authenticated(let algorithm, _) = chain.second {
          chain.second = .authenticated(algorithm, key: authKey)
        }
        return .chain(chain)
      case .hash, .akcipher: return session
      }
    }
  }
}
