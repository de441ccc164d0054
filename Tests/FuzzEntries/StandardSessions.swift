import CryptoDevice
import CryptoTypes
import VhostUserFrontend
import VirtioSpec

/// A session of every algorithm that libcrypto has, in both directions, so that inputs can name them by number.
struct StandardSessions {
  var request: CryptoDevice.SessionRequest
  var cipherKey: [UInt8]
  var authKey: [UInt8]

  init(_ spec: SessionSpec) {
    cipherKey = spec.cipherKey
    authKey = spec.authKey
    request = SessionRequest(service: spec.service)
    request.cipher = spec.algorithmCode
    request.cipherKeyByteCount = UInt32(cipherKey.count)
    request.authKeyByteCount = UInt32(authKey.count)
    request.resultByteCount = UInt32(spec.resultByteCount)
    request.operation =
      spec.direction == .decrypt
      ? VirtioCryptoWire.operationDecrypt : VirtioCryptoWire.operationEncrypt
    switch spec {
    case .cipher, .aead: break
    case .hash, .mac: request.hash = spec.algorithmCode
    case .chain(let chain):
      request.symmetricType = VirtioCryptoWire.symmetricChain
      request.hash = chain.second.algorithmCode
      request.hashMode = chain.second.mode.wireCode
      request.chainOrder = chain.order.wireCode
    case .akcipher(let spec):
      request.keyType = spec.keyType
      request.firstParameter = spec.parameters[0]
      request.secondParameter = spec.parameters[1]
    }
  }

  func create(in core: DeviceCore) throws -> UInt64 {
    try cipherKey.withUnsafeBytes { cipherKey in
      try authKey.withUnsafeBytes { authKey in
        try core.createSession(request, cipherKey: cipherKey, authKey: authKey)
      }
    }
  }

  static let all = specs.map(StandardSessions.init)

  static func key(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 41) }
  }

  /// In the order that inputs know them by: new ones go to the end.
  static let specs: [SessionSpec] = {
    let absent: Set<CipherAlgorithm> = [.kasumiF8, .snow3gUEA2, .zucEEA3]
    let absentMACs: Set<MACAlgorithm> = [
      .kasumiF9, .snow3gUIA2, .zucEIA3, .cbcmacKasumiF9, .gmacTwofish,
    ]
    var all: [SessionSpec] = []
    for direction in CryptoDirection.allCases {
      for cipher in CipherAlgorithm.allCases where !absent.contains(cipher) {
        let count = (1...64).last { cipher.accepts(keyByteCount: $0) } ?? 16
        all.append(.cipher(cipher, direction, key: key(count)))
      }
      for aead in AEADAlgorithm.allCases {
        all.append(.aead(aead, direction, key: key(32), tagByteCount: 16))
      }
      let seconds: [ChainSecond] = [
        .plain(.sha256), .authenticated(.hmacSHA1, key: key(20)),
        .authenticated(.gmacAES, key: key(16)), .authenticated(.cbcmacAES, key: key(16)),
        .nested(.sha1, key: key(40)),
      ]
      for second in seconds {
        for order in [ChainOrder.hashThenCipher, .cipherThenHash] {
          all.append(.chain(.init(.aesCBC, direction, key: key(16), order: order, second: second)))
        }
      }
    }
    for hash in HashAlgorithm.allCases {
      all.append(
        .hash(hash, resultByteCount: hash.isExtendable ? 200 : hash.maximumResultByteCount))
    }
    for mac in MACAlgorithm.allCases where !absentMACs.contains(mac) {
      let count = (0...64).last { mac.accepts(keyByteCount: $0) } ?? 16
      all.append(.mac(mac, key: key(count), resultByteCount: mac.maximumResultByteCount))
    }
    return all + StandardKeys.specs
  }()
}
