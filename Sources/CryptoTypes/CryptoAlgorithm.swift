/// One algorithm in one of its uses: the unit that engines offer, operators order and statistics count.
public enum CryptoAlgorithm: Hashable, Sendable, CaseIterable {
  case cipher(CipherAlgorithm)
  case hash(HashAlgorithm)
  case mac(MACAlgorithm)
  case aead(AEADAlgorithm)
  case akcipher(AsymmetricAlgorithm)

  public static var allCases: [CryptoAlgorithm] {
    symmetric + AsymmetricAlgorithm.allCases.map(CryptoAlgorithm.akcipher)
  }

  /// Ciphers, hashes, MACs and AEADs.
  public static var symmetric: [CryptoAlgorithm] {
    CipherAlgorithm.allCases.map(CryptoAlgorithm.cipher)
      + HashAlgorithm.allCases.map(CryptoAlgorithm.hash)
      + MACAlgorithm.allCases.map(CryptoAlgorithm.mac)
      + AEADAlgorithm.allCases.map(CryptoAlgorithm.aead)
  }

  public var service: CryptoService {
    switch self {
    case .cipher: .cipher
    case .hash: .hash
    case .mac: .mac
    case .aead: .aead
    case .akcipher: .akcipher
    }
  }

  /// The name in the capability file and in statistics; unique within its service.
  public var name: String {
    switch self {
    case .cipher(let algorithm): algorithm.name
    case .hash(let algorithm): algorithm.name
    case .mac(let algorithm): algorithm.name
    case .aead(let algorithm): algorithm.name
    case .akcipher(let algorithm): algorithm.name
    }
  }
}

/// What became of an engine's known-answer test of one algorithm.
public enum SelfTestResult: Hashable, Sendable {
  case passed
  /// The engine does not have the algorithm here; the text says why, in a few words.
  case unavailable(String)
  /// The engine has it, and gives wrong answers: it must not be used.
  case failed(String)
}
