import ArgumentParser
import Foundation
import StatsEndpoint

/// `vhost-crypto stats`: one snapshot of a running daemon.
struct Stats: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a running daemon has done so far.",
    discussion: """
      Counts are since the daemon's start, merged over reconnects. Latency runs from seeing a request in the ring to \
      completing it, within 6 %. "errors" are requests that were answered with any status but OK.

      Examples:
        vhost-crypto stats
        vhost-crypto stats --stats-socket /run/crypto/stats.sock
        vhost-crypto stats --json | jq '.devices[0].queues'
        vhost-crypto stats --profile 5

      Ends with status 69 when no daemon answers.
      """)

  @OptionGroup var endpoint: StatsSocketOptions

  @Flag(help: "Print the daemon's JSON as it is.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Watch for 1…60 seconds where the workers' time goes, and show that instead.",
      valueName: "seconds"))
  var profile: Int?

  func validate() throws {
    if let profile, !(1...60).contains(profile) {
      throw ValidationError("--profile \(profile) is not from 1 to 60 seconds")
    }
  }

  func run() async throws {
    do {
      if let profile { return try await show(profileOf: profile) }
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

  private func show(profileOf seconds: Int) async throws(StatsClientError) {
    if json {
      FileHandle.standardOutput.write(
        try await StatsClient.profile(seconds: seconds, socketPath: endpoint.statsSocket))
      return
    }
    print(
      ProfileTable.render(
        try await StatsClient.profileSnapshot(seconds: seconds, socketPath: endpoint.statsSocket)),
      terminator: "")
  }
}
