import CryptoTypes

/// What capability files can name in these tests, whatever this build has.
enum KnownEngines {
  /// Everything but the algorithms of mobile networks.
  static let openssl = EngineDescription(
    name: "openssl",
    algorithms: Set(CryptoAlgorithm.allCases).subtracting([
      .cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3), .mac(.kasumiF9),
      .mac(.cbcmacKasumiF9), .mac(.snow3gUIA2), .mac(.zucEIA3), .mac(.gmacTwofish),
    ]))
  static let ipsecMB = EngineDescription(
    name: "ipsec-mb",
    algorithms: [
      .cipher(.aesECB), .cipher(.aesCBC), .cipher(.aesCTR), .cipher(.kasumiF8), .hash(.sha1),
      .hash(.sha256), .mac(.hmacSHA1), .mac(.kasumiF9), .aead(.gcm),
    ])
  static let kernel = EngineDescription(
    name: "kernel",
    algorithms: [.cipher(.aesCBC), .cipher(.aesXTS), .hash(.sha256), .aead(.gcm)],
    hasDrivers: true)

  static let all = [openssl, ipsecMB, kernel]

  /// A build that found no library for the kernel engine.
  static var withoutKernel: [EngineDescription] {
    var absent = kernel
    absent.absence = "not in this build"
    return [openssl, ipsecMB, absent]
  }
}
