import Foundation

/// Test vectors in the Wycheproof schema: data of the repository's surroundings, read at run time.
public struct VectorFile: Decodable, Sendable {
  public var algorithm: String
  public var testGroups: [Group]

  public struct Group: Decodable, Sendable {
    /// Bits; which of them a file has depends on its schema.
    public var keySize: Int?
    public var ivSize: Int?
    public var tagSize: Int?
    public var type: String?
    /// Of asymmetric keys: `SubjectPublicKeyInfo` and PKCS#8, and an RSA key's numbers.
    public var publicKeyDer: String?
    public var privateKeyPkcs8: String?
    public var publicKey: Numbers?
    public var privateKey: Numbers?
    public var tests: [Test]

    public var publicKeyInfo: [UInt8] { get throws { try Self.bytes(publicKeyDer) } }
    public var privateKeyInfo: [UInt8] { get throws { try Self.bytes(privateKeyPkcs8) } }

    private static func bytes(_ text: String?) throws -> [UInt8] {
      guard let text, let bytes = [UInt8](hexadecimal: text) else {
        throw TestSupportError("a group without its key")
      }
      return bytes
    }
  }

  /// An RSA key in hexadecimal digits.
  public struct Numbers: Decodable, Sendable {
    public var modulus: String?
    public var publicExponent: String?
    public var privateExponent: String?
    public var prime1: String?
    public var prime2: String?
    public var exponent1: String?
    public var exponent2: String?
    public var coefficient: String?
  }

  public struct Test: Decodable, Sendable {
    public var tcId: Int
    public var comment: String?
    public var flags: [String]?
    public var key: String?
    public var iv: String?
    public var aad: String?
    public var msg: String?
    public var ct: String?
    public var tag: String?
    public var sig: String?
    public var result: String

    public var isValid: Bool { result == "valid" || result == "acceptable" }
    public var keyBytes: [UInt8] { get throws { try bytes(key) } }
    public var ivBytes: [UInt8] { get throws { try bytes(iv) } }
    public var aadBytes: [UInt8] { get throws { try bytes(aad) } }
    public var messageBytes: [UInt8] { get throws { try bytes(msg) } }
    public var ciphertextBytes: [UInt8] { get throws { try bytes(ct) } }
    public var tagBytes: [UInt8] { get throws { try bytes(tag) } }
    public var signatureBytes: [UInt8] { get throws { try bytes(sig) } }

    private func bytes(_ text: String?) throws -> [UInt8] {
      guard let text else { return [] }
      guard let bytes = [UInt8](hexadecimal: text) else {
        throw TestSupportError("test \(tcId): not hexadecimal: \(text.prefix(40))")
      }
      return bytes
    }
  }

  public var testCount: Int { testGroups.reduce(0) { $0 + $1.tests.count } }
}

/// Where the vectors are, and how to read them.
///
/// A missing file is an error, never a skip.
public enum Vectors {
  /// What `VHOST_CRYPTO_VECTORS` names, else `shared/vectors` beside the package's root.
  public static let directory: String =
    ProcessInfo.processInfo.environment["VHOST_CRYPTO_VECTORS"]
    ?? URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("shared/vectors").path

  /// Names of the files in `kat` or `wycheproof`.
  public static func names(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory + "/" + folder)
      .filter { $0.hasSuffix(".json") }.sorted()
  }

  /// Reads a file such as `kat/cbc_test.json`.
  ///
  /// - Throws: when it is missing, does not parse, or has no tests.
  public static func load(_ name: String) throws -> VectorFile {
    let path = directory + "/" + name
    guard let data = FileManager.default.contents(atPath: path) else {
      throw TestSupportError("no test vectors at \(path)")
    }
    let file: VectorFile
    do {
      file = try JSONDecoder().decode(VectorFile.self, from: data)
    } catch {
      throw TestSupportError("\(path): \(error)")
    }
    guard file.testCount > 0 else { throw TestSupportError("\(path) has no tests") }
    return file
  }
}

extension [UInt8] {
  /// Bytes of a string of hexadecimal digits; nil for anything else.
  public init?(hexadecimal text: String) {
    let digits = text.utf8.map { digit -> UInt8? in
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
      default: nil
      }
    }
    guard digits.count % 2 == 0, !digits.contains(nil) else { return nil }
    let values = digits.compactMap { $0 }
    self = stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
  }
}
