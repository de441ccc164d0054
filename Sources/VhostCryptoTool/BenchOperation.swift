import CryptoTypes
import VhostUserFrontend

/// One thing to measure: the meaning of a name such as `aes-128-cbc-encrypt`.
///
/// Names are made of the algorithms' own: ciphers as `aes-<bits>-<mode>-<direction>` or
/// `<name>-<direction>`, AEADs alike, hashes and MACs by name (AES ones may end in `-<bits>`),
/// chains as `<cipher>-<hash or mac>-<direction>`, public keys as `rsa-<bits>-<operation>` and `ecdsa-p<bits>-<operation>`.
struct BenchOperation {
  var name: String
  var session: SessionSpec
  private var ivByteCount: Int
  /// For public keys, which have names, sizes and answers of their own.
  private var key: BenchKey?

  private static let keyBytes: [UInt8] = (0..<64).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 41) }

  /// The operation of a name; nil when it has none.
  init?(name: String) {
    self.name = name
    ivByteCount = 0
    if let key = BenchKey(name: name) {
      self.key = key
      session = key.session
      return
    }
    var words = name.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    let direction: CryptoDirection?
    switch words.last {
    case "encrypt": direction = .encrypt
    case "decrypt": direction = .decrypt
    default: direction = nil
    }
    guard let direction else {
      guard let session = Self.digest(name) else { return nil }
      self.session = session
      return
    }
    words.removeLast()
    guard let keyed = Self.keyed(words, direction) else { return nil }
    session = keyed.session
    ivByteCount = keyed.ivByteCount
  }

  /// A hash or a MAC.
  private static func digest(_ name: String) -> SessionSpec? {
    if let hash = HashAlgorithm.allCases.first(where: { $0.name == name }) {
      return .hash(hash, resultByteCount: hash.isExtendable ? 32 : hash.maximumResultByteCount)
    }
    guard let (mac, keyByteCount) = mac(name) else { return nil }
    return .mac(
      mac, key: Array(keyBytes.prefix(keyByteCount)), resultByteCount: mac.maximumResultByteCount)
  }

  /// A MAC and the length of its key in bytes.
  private static func mac(_ name: String) -> (MACAlgorithm, Int)? {
    if let mac = MACAlgorithm.allCases.first(where: { $0.name == name }) {
      let usual = [16, 20, 24, 32].first { mac.accepts(keyByteCount: $0) }
      return usual.map { (mac, $0) }
    }
    for bits in [128, 192, 256] where name.hasSuffix("-aes-\(bits)") {
      let family = String(name.dropLast(4))
      let mac = MACAlgorithm.allCases.first { $0.name == family }
      if let mac, mac.accepts(keyByteCount: bits / 8) { return (mac, bits / 8) }
    }
    return nil
  }

  /// A cipher, a chain or an AEAD.
  private static func keyed(
    _ words: [String], _ direction: CryptoDirection
  ) -> (session: SessionSpec, ivByteCount: Int)? {
    var words = words
    var keyByteCount: Int?
    if words.count >= 3, words[0] == "aes", let bits = Int(words[1]),
      [128, 192, 256].contains(bits)
    {
      keyByteCount = bits / 8
      words.remove(at: 1)
    }
    let name = words.joined(separator: "-")
    if let aead = AEADAlgorithm.allCases.first(where: { $0.name == name }) {
      let count = keyByteCount ?? 32
      guard aead.accepts(keyByteCount: count), name.hasPrefix("aes") == (keyByteCount != nil) else {
        return nil
      }
      let key = Array(keyBytes.prefix(count))
      return (.aead(aead, direction, key: key, tagByteCount: 16, aadByteCount: 16), 12)
    }
    for cipher in CipherAlgorithm.allCases {
      let isAES = cipher.name.hasPrefix("aes")
      guard
        name == cipher.name || name.hasPrefix(cipher.name + "-"), isAES == (keyByteCount != nil)
      else { continue }
      // XTS and F8 keys are two halves.
      let halves = cipher == .aesXTS || cipher == .aesF8 ? 2 : 1
      let count =
        keyByteCount.map { $0 * halves } ?? (cipher == .arc4 ? 16 : cipher.maximumKeyByteCount)
      guard cipher.accepts(keyByteCount: count) else { return nil }
      let key = Array(keyBytes.prefix(count))
      if name == cipher.name {
        return (.cipher(cipher, direction, key: key), cipher.ivByteCount)
      }
      guard let second = second(String(name.dropFirst(cipher.name.count + 1))) else { return nil }
      let chain = SessionSpec.Chain(
        cipher, direction, key: key,
        order: direction == .encrypt ? .cipherThenHash : .hashThenCipher, second: second)
      return (.chain(chain), cipher.ivByteCount)
    }
    return nil
  }

  /// A chain's second half.
  private static func second(_ name: String) -> ChainSecond? {
    if let hash = HashAlgorithm.allCases.first(where: { $0.name == name }) { return .plain(hash) }
    guard let (mac, keyByteCount) = mac(name), mac.ivByteCount == 0 else { return nil }
    return .authenticated(mac, key: Array(keyBytes.prefix(keyByteCount)))
  }

  /// The one size of its requests; nil: any.
  var fixedByteCount: Int? { key?.byteCount }

  /// A size that the algorithm cannot do, in words; nil for a good one.
  func objection(toByteCount count: Int) -> String? {
    let granule: Int
    let minimum: Int
    switch session {
    case .cipher(let cipher, _, _):
      (granule, minimum) = (cipher.granuleByteCount, cipher.minimumSourceByteCount)
    case .chain(let chain):
      (granule, minimum) = (chain.cipher.granuleByteCount, chain.cipher.minimumSourceByteCount)
    case .mac(let mac, _, _): (granule, minimum) = (mac.granuleByteCount, mac.granuleByteCount)
    case .hash, .aead, .akcipher: (granule, minimum) = (1, 0)
    }
    if count % granule != 0 { return "\(name) wants a multiple of \(granule) bytes, not \(count)" }
    return count < minimum ? "\(name) wants at least \(minimum) bytes, not \(count)" : nil
  }

  /// A request over `byteCount` random bytes; nil when it needs a valid tag that cannot be computed
  /// here.
  func request(
    byteCount: Int, sessionID: UInt64?, random: inout SeededRandom
  ) -> OperationSpec? {
    if let key { return key.request(sessionID: sessionID, random: &random) }
    let iv = random.bytes(ivByteCount)
    var source = random.bytes(byteCount)
    var aad: [UInt8] = []
    switch session {
    case .mac(let mac, _, _): source = random.bytes(mac.ivByteCount) + source
    case .aead(let algorithm, let direction, let key, let tagByteCount, let aadByteCount):
      aad = random.bytes(aadByteCount)
      if direction == .decrypt {
        let sealed = ReferenceCrypto.seal(
          algorithm, key: key, iv: iv, aad: aad, source: source, tagByteCount: tagByteCount)
        guard let sealed else { return nil }
        source = sealed
      }
    case .cipher, .hash, .chain, .akcipher: break
    }
    return OperationSpec(session, sessionID: sessionID, iv: iv, source: source, aad: aad)
  }

  /// What the device has to answer to a request; nil where nothing here can compute it.
  func expectation(of request: OperationSpec) -> BenchExpectation? {
    if let key { return key.expectation(of: request) }
    return ReferenceCrypto.answer(to: request).map { .bytes($0.output + $0.result) }
  }

  /// The session that undoes this one; nil for hash and MAC.
  var inverse: SessionSpec? {
    switch session {
    case .cipher(let cipher, let direction, let key):
      return .cipher(cipher, direction.opposite, key: key)
    case .aead(let aead, let direction, let key, let tagByteCount, let aadByteCount):
      return .aead(
        aead, direction.opposite, key: key, tagByteCount: tagByteCount, aadByteCount: aadByteCount)
    case .chain(var chain):
      chain.direction = chain.direction.opposite
      chain.order = chain.order == .cipherThenHash ? .hashThenCipher : .cipherThenHash
      return .chain(chain)
    case .hash, .mac, .akcipher: return nil
    }
  }

  /// A few names for a message about a wrong one.
  static let examples =
    "aes-128-cbc-encrypt, aes-256-gcm-decrypt, 3des-cbc-encrypt, sha256, hmac-sha1, "
    + "aes-128-cbc-hmac-sha1-encrypt, rsa-2048-sign, ecdsa-p256-verify"
}

extension CryptoDirection {
  fileprivate var opposite: CryptoDirection { self == .encrypt ? .decrypt : .encrypt }
}
