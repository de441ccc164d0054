import Capabilities
import CryptoDevice
import CryptoTypes
import HostEngines
import QueueWorkers
import VhostUserProtocol
import VirtioSpec

// Words of one room in those of another: rooms do not know each other, the wiring knows them all.

extension CryptoService {
  init(_ service: StatelessService) {
    switch service {
    case .cipher: self = .cipher
    case .hash: self = .hash
    case .mac: self = .mac
    case .aead: self = .aead
    case .akcipher: self = .akcipher
    }
  }
}

extension PollMode {
  init(_ choice: PollChoice) {
    switch choice {
    case .adaptive: self = .adaptive
    case .event: self = .event
    case .always: self = .always
    }
  }
}

extension HelperSettings {
  /// The helpers of a worker, which is counted over all devices.
  init(_ configuration: WorkerConfiguration, worker: Int) {
    self.init()
    cpus = (0..<configuration.helperCount).map {
      configuration.cpu(ofHelper: $0, worker: worker)
    }
    policy.engines = HostEngines.synchronousEngines
    policy.minimumByteCount = UInt32(clamping: configuration.helperMinimumByteCount ?? .max)
  }
}

extension CryptoDevice.SessionRequest {
  /// A session message in the control queue's words; nil for what is not served.
  init?(_ message: VhostUserProtocol.SessionRequest) {
    switch message.kind {
    case .cipher, .chain:
      self.init(service: .cipher)
      symmetricType =
        message.kind == .chain
        ? VirtioCryptoWire.symmetricChain : VirtioCryptoWire.symmetricCipher
      hashMode = UInt32(message.hashMode)
      chainOrder = UInt32(message.chainOrder)
    case .hash: self.init(service: .hash)
    case .mac: self.init(service: .mac)
    case .aead: self.init(service: .aead)
    case .asymmetric:
      self.init(service: .akcipher)
      cipher = message.asymmetricAlgorithm
      cipherKeyByteCount = UInt32(message.cipherKey.count)
      keyType = message.asymmetricKeyType
      (firstParameter, secondParameter) = message.asymmetricParameters
      return
    }
    cipher = message.cipherAlgorithm
    cipherKeyByteCount = UInt32(message.cipherKey.count)
    operation = UInt32(message.direction)
    hash = message.hashAlgorithm
    authKeyByteCount = UInt32(message.authKey.count)
    resultByteCount = message.hashResultByteCount
  }
}
