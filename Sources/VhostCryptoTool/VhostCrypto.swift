// VhostCryptoTool: the operator's tool. It asks a running daemon, judges a capability file, measures, and explains numbers.
//
// Each subcommand has files of its own; what they need to know lives in the rooms below.

import ArgumentParser

/// `vhost-crypto`.
@main
struct VhostCrypto: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vhost-crypto",
    abstract: "Look after vhost-user-crypto: its statistics, its capability file, its speed.",
    discussion: """
      A first round:
        vhost-crypto probe                     what can this host do, and how fast?
        vhost-crypto check my.yaml             is the file right?
        vhost-crypto list-algorithms           which engine would serve what?
        vhost-crypto stats                     what was done so far?
        vhost-crypto top                       what is done now?
        vhost-crypto limit                     how much may each device do?
        vhost-crypto bench --socket-path=SOCK  how fast is it?
        vhost-crypto explain cipher_algo 0x8   what is this number?
      """,
    version: "0.1.0",
    subcommands: [
      Stats.self, Top.self, Limit.self, Probe.self, ListAlgorithms.self, Check.self, Bench.self,
      BenchSessions.self, Explain.self,
    ])

  /// Runs the command; whatever is wrong with its words is told in one line, for logs and for scripts.
  static func main() async {
    do {
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      // Requests for help, and complaints that were told already, are the library's to finish.
      guard !(error is ExitCode), exitCode(for: error) == .validationFailure else {
        exit(withError: error)
      }
      let words = message(for: error).split(separator: "\n").joined(separator: " ")
      exit(withError: Exit.failing(.validationFailure, "\(words); see vhost-crypto --help"))
    }
  }
}
