import ArgumentParser
import VirtioSpec

/// `vhost-crypto explain`: numbers to names.
struct Explain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what a number from a log or a register dump means.",
    discussion: """
      A WORD names what the number is; the number is decimal, or hexadecimal with 0x. A number alone is tried as a \
      status and as feature bits.

      Words: \(Explanation.words.joined(separator: ", "))

      Examples:
        vhost-crypto explain cipher_algo 0x8         aes-cbc
        vhost-crypto explain features 0x130000000    VERSION_1 and more
        vhost-crypto explain status 4                INVSESS
        vhost-crypto explain opcode 0x102            HASH_CREATE_SESSION
        vhost-crypto explain --dialect draft-v15 features 2   CIPHER_SESSION_MODE
      """)

  @Argument(help: "A word and a number, or more of such pairs; WORD=NUMBER works too.")
  var words: [String] = []

  @Option(
    help: "The device's dialect, which decides what feature bits mean: \(Self.dialects).",
    transform: Self.dialect)
  var dialect = Dialect.virtio13

  private static let dialects = Dialect.allCases.map(\.rawValue).joined(separator: ", ")

  private static func dialect(_ name: String) throws -> Dialect {
    guard let dialect = Dialect(rawValue: name) else {
      throw ValidationError("the dialects are \(dialects)")
    }
    return dialect
  }

  func run() throws {
    let parts = words.flatMap { $0.split(separator: "=").map(String.init) }
    guard !parts.isEmpty else { throw CleanExit.helpRequest(self) }
    var index = 0
    while index < parts.count {
      if let number = Explanation.number(parts[index]) {
        print(Explanation.ofBareNumber(number, dialect))
        index += 1
      } else if index + 1 < parts.count, let number = Explanation.number(parts[index + 1]) {
        guard let text = Explanation.of(parts[index], number, dialect) else {
          throw ValidationError(
            "unknown word \(parts[index]); the words are \(Explanation.words.joined(separator: ", "))"
          )
        }
        print("\(parts[index]) 0x" + String(number, radix: 16) + ": " + text)
        index += 2
      } else {
        throw ValidationError(
          "\(parts[index]) needs a number behind it, such as \(parts[index]) 0x8")
      }
    }
  }
}
