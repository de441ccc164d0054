internal import Foundation

/// An answer, before HTTP has it.
struct StatsResponse: Sendable {
  /// As HTTP numbers them.
  var status: UInt
  var contentType: String
  var body: [UInt8]
  /// The methods that are served, where that is the trouble.
  var allow: String?

  static func text(_ status: UInt, _ text: String, allow: String? = nil) -> StatsResponse {
    StatsResponse(
      status: status, contentType: "text/plain; charset=utf-8", body: Array((text + "\n").utf8),
      allow: allow)
  }

  /// One line of JSON with sorted keys.
  static func json(_ value: some Encodable, status: UInt = 200) throws -> StatsResponse {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return StatsResponse(
      status: status, contentType: "application/json",
      body: try Array(encoder.encode(value)) + [0x0a], allow: nil)
  }
}
