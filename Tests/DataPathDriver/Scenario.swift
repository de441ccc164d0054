import ArgumentParser
import CryptoTypes
import HostEngines
import VhostUserFrontend

/// What is measured: `OPERATION[:ENGINE][:RING][:direct][:SIZE][:in-place][:recorded][:logged]`, in any order behind the operation.
struct Scenario: CustomStringConvertible, ExpressibleByArgument {
  let operation: String
  let session: SessionSpec
  let ivByteCount: Int
  let aadByteCount: Int
  var engine: String
  var ring = RingKind.split
  var isIndirect = true
  /// Whether results are written over their sources.
  var isInPlace = false
  /// Whether requests in flight are recorded, and written pages logged.
  var isRecorded = false
  var isLogged = false
  var byteCount = 64

  static let engines = HostEngines.names + [NullEngine.description.name]

  private static func key(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 41) }
  }

  /// By name: what it computes, and the bytes of IV and associated data that go with it.
  private static let operations: [(name: String, session: SessionSpec, iv: Int, aad: Int)] = [
    ("aes-128-cbc-encrypt", .cipher(.aesCBC, .encrypt, key: key(16)), 16, 0),
    ("aes-128-cbc-decrypt", .cipher(.aesCBC, .decrypt, key: key(16)), 16, 0),
    (
      "aes-128-cbc-hmac-sha1-encrypt",
      .chain(
        .init(
          .aesCBC, .encrypt, key: key(16), order: .cipherThenHash,
          second: .authenticated(.hmacSHA1, key: key(20)))), 16, 0
    ),
    (
      "aes-128-gcm-encrypt",
      .aead(.gcm, .encrypt, key: key(16), tagByteCount: 16, aadByteCount: 16), 12, 16
    ),
    ("hmac-sha256", .mac(.hmacSHA256, key: key(32), resultByteCount: 32), 0, 0),
    ("sha256", .hash(.sha256, resultByteCount: 32), 0, 0),
  ]

  static var operationNames: [String] { operations.map(\.name) }

  init?(argument: String) {
    let words = argument.split(separator: ":").map(String.init)
    guard let named = Self.operations.first(where: { $0.name == words.first }) else { return nil }
    (operation, session, ivByteCount, aadByteCount) = named
    engine = HostEngines.names.contains("ipsec-mb") ? "ipsec-mb" : "openssl"
    for word in words.dropFirst() {
      if Self.engines.contains(word) {
        engine = word
      } else if let kind = RingKind(rawValue: word) {
        ring = kind
      } else if word == "direct" {
        isIndirect = false
      } else if word == "indirect" {
        isIndirect = true
      } else if word == "in-place" {
        isInPlace = true
      } else if word == "recorded" {
        isRecorded = true
      } else if word == "logged" {
        isLogged = true
      } else if let count = Int(word), (16...65536).contains(count), count % 16 == 0 {
        byteCount = count
      } else {
        return nil
      }
    }
  }

  var description: String {
    "\(operation):\(engine):\(ring.rawValue):\(isIndirect ? "indirect" : "direct"):\(byteCount)"
      + (isInPlace ? ":in-place" : "") + (isRecorded ? ":recorded" : "")
      + (isLogged ? ":logged" : "")
  }

  /// What may be written, for a message about what may not.
  static let help =
    "OPERATION[:ENGINE][:RING][:direct][:SIZE][:in-place][:recorded][:logged] with an operation of "
    + operationNames.joined(separator: ", ") + "; an engine of "
    + engines.joined(separator: ", ") + "; a ring of "
    + RingKind.allCases.map(\.rawValue).joined(separator: ", ")
    + "; a size of 16 to 65536 bytes, a multiple of 16; in-place: destinations are their sources; recorded: requests in flight are, for a restart; logged: "
    + "written pages are, as for a migration."

  /// Where the requests' buffers lie.
  var plan: RequestPlan {
    var plan = RequestPlan()
    plan.isIndirect = isIndirect
    plan.isInPlace = isInPlace
    return plan
  }

  /// Requests over random bytes.
  func requests(count: Int, sessionID: UInt64) -> [OperationSpec] {
    var random = SeededRandom(seed: 0x5EED)
    return (0..<count).map { _ in
      OperationSpec(
        session, sessionID: sessionID, iv: random.bytes(ivByteCount),
        source: random.bytes(byteCount), aad: random.bytes(aadByteCount))
    }
  }
}
