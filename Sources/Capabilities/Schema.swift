import CryptoTypes

/// The keys of the capability file, by section.
enum Schema {
  static let document = [
    "version", "device", "devices", "workers", "engines", "algorithms", "stats", "control", "log",
  ]
  static let device = [
    "dialect", "queues", "queue-size", "max-request", "max-sessions", "stateless",
    "max-operation-ms", "max-cipher-key", "max-auth-key", "limits",
  ]
  static let limits = ["operations-per-second", "bytes-per-second", "burst-ms"]
  static let deviceEntry = ["name", "socket", "device"]
  static let workers = ["cpus", "poll", "helpers", "helper-cpus", "helper-min-size"]
  static let poll = ["mode", "spin-us"]
  static let openssl = ["providers", "property-query"]
  static let kernel = ["in-flight"]
  static let services = ["cipher", "hash", "mac", "aead", "akcipher"]
  static let policy = ["engine"]
  static let choice = ["driver", "min-size", "max-size"]
  static let stats = ["socket"]
  static let control = ["socket"]
  static let log = ["level", "format"]

  /// Where a key belongs, for those who put it elsewhere.
  private static let homes: [(section: String, keys: [String])] = [
    ("the top level", document), ("device", device), ("device.limits", limits),
    ("devices", ["name"]), ("workers", workers), ("workers.poll", poll), ("log", log),
    ("engines.openssl", openssl), ("engines.kernel", kernel),
    ("algorithms", services), ("stats", stats), ("control", control),
  ]

  /// The error for a key that its section does not have.
  static func unknownKey(
    _ entry: Entry, in path: String, known: [String]
  ) -> ConfigurationError {
    let place = path.isEmpty ? "" : " in \(path)"
    let homes = homes.filter { $0.keys.contains(entry.key) }.map(\.section)
    let algorithm = CryptoAlgorithm.allCases.first { $0.name == entry.key }
    let remedy =
      if path == "algorithms", let algorithm {
        "move it to algorithms.\(algorithm.service)"
      } else if let near = Spelling.nearest(to: entry.key, among: known) {
        "did you mean \(quoted(near))?"
      } else if !homes.isEmpty {
        "it belongs in \(oneOf(homes))"
      } else if known.isEmpty {
        "there are no keys here"
      } else {
        "the keys here are \(known.joined(separator: ", "))"
      }
    return ConfigurationError(
      position: entry.keyPosition, what: "unknown key \(quoted(entry.key))\(place)",
      remedy: remedy)
  }
}
