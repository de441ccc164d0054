import CryptoTypes
import VhostUserFrontend

/// Operations that the tests of several targets use.
public enum Samples {
  public static func bytes(_ count: Int, _ salt: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ salt &* 31 &+ 7) }
  }

  public static let encryption = SessionSpec.cipher(.aesCBC, .encrypt, key: bytes(16))
  public static let decryption = SessionSpec.cipher(.aesCBC, .decrypt, key: bytes(16))

  /// AES-128-CBC encryption of `count` bytes.
  public static func encrypt(
    _ session: UInt64, byteCount: Int = 256, salt: Int = 0
  ) -> OperationSpec {
    OperationSpec(
      encryption, sessionID: session, iv: bytes(16, salt), source: bytes(byteCount, salt))
  }
}
