import ArgumentParser
import Foundation
import StatsEndpoint

/// `vhost-crypto stats`: one snapshot of a running daemon.
struct Stats: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a running daemon has done so far.",
    discussion: """
      Counts are since the daemon's start, merged over reconnects. Latency runs from taking a request off the ring to \
      completing it, within 6 %. "errors" are requests that were answered with any status but OK.

      Examples:
        vhost-crypto stats
        vhost-crypto stats --stats-socket /run/crypto/stats.sock
        vhost-crypto stats --json | jq '.devices[0].queues'

      Ends with status 69 when no daemon answers.
      """)

  @OptionGroup var endpoint: StatsSocketOptions

  @Flag(help: "Print the daemon's JSON as it is.")
  var json = false

  func run() async throws {
    do {
      let statsSocket = endpoint.statsSocket
      if json {
        FileHandle.standardOutput.write(
          try await StatsClient.fetch("/stats", socketPath: statsSocket))
      } else {
        print(
          StatsTable.render(try await StatsClient.snapshot(socketPath: statsSocket)), terminator: ""
        )
      }
    } catch {
      throw Exit.failing(Exit.unavailable, error.description)
    }
  }
}
