import CryptoDevice
import CryptoTypes
import VirtioSpec

/// A guest's RSA and ECDSA keys, made into sessions; with those that are taken, every operation is tried.
///
/// Input: algorithm and kind of key (1 byte), padding or curve (1 byte), hash (1 byte), the encoded key.
final class KeysEntry: FuzzEntry {
  private let device: OfferedDevice
  private static let sessionCapacity = 4
  /// The longest result, and what operations get as input.
  private let result = UnsafeMutablePointer<UInt8>.allocate(capacity: 2048)
  private let text = UnsafeMutablePointer<UInt8>.allocate(capacity: 2048)

  init() throws {
    let lane = try OfferedDevice.Lane(sessionCapacity: Self.sessionCapacity)
    device = OfferedDevice(
      .virtio13, lane: lane, sessionCapacity: Self.sessionCapacity, stateless: [])
    text.initialize(repeating: 0x11, count: 2048)
    result.initialize(repeating: 0, count: 2048)
  }

  deinit {
    result.deallocate()
    text.deallocate()
  }

  func run(_ input: inout FuzzInput) throws {
    var request = SessionRequest(service: .akcipher)
    let kind = input.byte()
    request.cipher = 1 + UInt32(kind & 1)
    request.keyType = 1 + UInt32(kind >> 1 & 1)
    request.firstParameter = UInt32(input.byte())
    request.secondParameter = UInt32(input.byte())
    let key = input.rest()
    request.cipherKeyByteCount = UInt32(key.count)
    let identifier: UInt64
    do {
      identifier = try key.withUnsafeBytes {
        try device.core.createSession(
          request, cipherKey: $0, authKey: UnsafeRawBufferPointer(start: nil, count: 0))
      }
    } catch is Refusal {
      return
    }
    defer {
      device.lane.runner.lane.forget(sessionIndex: UInt32(truncatingIfNeeded: identifier))
    }
    guard let block = device.core.sessions.view.find(identifier) else {
      throw Finding("a session that was made is not there")
    }
    let session = UnsafeRawPointer(block).assumingMemoryBound(to: SessionParameters.self)
    for operation in [AsymmetricOperation.encrypt, .decrypt, .sign, .verify] {
      for count in [20, 64, 256] {
        try perform(operation, session, identifier, inputCount: count)
      }
    }
    try device.core.destroySession(identifier, services: .all)
  }

  private func perform(
    _ asymmetric: AsymmetricOperation, _ session: UnsafePointer<SessionParameters>,
    _ identifier: UInt64, inputCount: Int
  ) throws {
    var operation = CryptoOperation(session: session, placeholder: result)
    operation.sessionIndex = UInt32(truncatingIfNeeded: identifier)
    operation.sessionGeneration = UInt32(truncatingIfNeeded: identifier >> 32)
    operation.asymmetric = asymmetric
    operation.source = UnsafePointer(text)
    operation.sourceByteCount = UInt32(inputCount)
    operation.aad = UnsafePointer(text)
    operation.aadByteCount = asymmetric == .verify ? 20 : 0
    operation.result = result
    let room: UInt32 = asymmetric == .verify ? 0 : 2048
    operation.resultByteCount = room
    withUnsafeMutablePointer(to: &operation) { device.lane.runner.run($0) }
    guard operation.outcome == .ok else { return }
    try require(
      operation.resultByteCount <= room, "\(operation.resultByteCount) bytes in \(room)")
  }
}
