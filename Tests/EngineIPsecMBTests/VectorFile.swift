import Foundation

/// A file of test vectors in the Wycheproof schema.
///
/// Sizes are in bits.
struct VectorFile: Decodable {
  struct Group: Decodable {
    var ivSize: Int?
    var keySize: Int?
    var tagSize: Int?
    var tests: [Vector]
  }

  struct Vector: Decodable {
    var tcId: Int
    var key: String?
    var iv: String?
    var aad: String?
    var msg: String?
    var ct: String?
    var tag: String?
    var result: String

    var isValid: Bool { result == "valid" }
    var keyBytes: [UInt8] { Self.bytes(key) }
    var ivBytes: [UInt8] { Self.bytes(iv) }
    var aadBytes: [UInt8] { Self.bytes(aad) }
    var message: [UInt8] { Self.bytes(msg) }
    var ciphertext: [UInt8] { Self.bytes(ct) }
    var tagBytes: [UInt8] { Self.bytes(tag) }

    static func bytes(_ text: String?) -> [UInt8] {
      let digits = (text ?? "").compactMap(\.hexDigitValue)
      return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(digits[$0] << 4 | digits[$0 + 1])
      }
    }
  }

  var testGroups: [Group]

  /// Reads `shared/vectors/<path>` beside the package; throws if it is not there.
  static func read(_ path: String) throws -> VectorFile {
    var package = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { package.deleteLastPathComponent() }
    let file =
      package.deletingLastPathComponent().appendingPathComponent("shared/vectors/" + path)
    return try JSONDecoder().decode(VectorFile.self, from: Data(contentsOf: file))
  }
}
