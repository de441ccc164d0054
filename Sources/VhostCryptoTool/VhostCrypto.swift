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
        vhost-crypto check my.yaml             is the file right?
        vhost-crypto stats                     what was done so far?
        vhost-crypto bench --socket-path=SOCK  how fast is it?
        vhost-crypto explain cipher_algo 0x8   what is this number?
      """,
    version: "0.1.0",
    subcommands: [Stats.self, Check.self, Bench.self, Explain.self])
}
