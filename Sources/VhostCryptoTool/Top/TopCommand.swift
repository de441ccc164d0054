import ArgumentParser
import Foundation
import StatsEndpoint

/// `vhost-crypto top`: what a daemon does right now.
struct Top: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Watch a running daemon: rates, latencies, processor use.",
    discussion: """
      Everything is of the last interval: operations and bytes per second, the latency that half and 99 % of the \
      requests stayed within, requests per batch, how much of a processor each worker used. The bars are the last \
      intervals' operations. A daemon that goes away is waited for.

      Keys: q quit, p pause, + and - interval; o, b, l, e, n sort by operations, bytes, latency, errors, name.

      Examples:
        vhost-crypto top --interval 0.5
        vhost-crypto top --once --interval 10 > report.txt

      Ends with status 64 where there is no terminal, and with --once with 69 when no daemon answers.
      """)

  @OptionGroup var endpoint: StatsSocketOptions

  @Option(help: ArgumentHelp("Time between two looks, 0.1 to 60.", valueName: "seconds"))
  var interval: Double = 1

  @Option(
    help: ArgumentHelp("operations, bytes, latency, errors or name.", valueName: "order"))
  var sort = TopOrder.operations.rawValue

  @Flag(help: "Print one interval as plain text, and end.")
  var once = false

  func run() async throws {
    guard TopModel.intervals.contains(interval) else {
      throw Exit.failing(.validationFailure, "--interval is from 0.1 to 60, not \(interval)")
    }
    guard let order = TopOrder(rawValue: sort) else {
      let known = TopOrder.allCases.map(\.rawValue).joined(separator: ", ")
      throw Exit.failing(.validationFailure, "--sort \(sort) is unknown; one of \(known)")
    }
    let model = TopModel(
      socketPath: endpoint.statsSocket, intervalSeconds: interval, order: order)
    if once {
      try await printOnce(model)
      return
    }
    guard Terminal.isUsable else {
      throw Exit.failing(
        .validationFailure, "top needs a terminal; --once prints one interval without")
    }
    try await TopLoop(model).run()
  }

  private func printOnce(_ model: TopModel) async throws {
    var model = model
    do {
      for round in 0..<2 {
        if round == 1 { try? await Task.sleep(for: .seconds(interval)) }
        let snapshot = try await StatsClient.snapshot(
          socketPath: endpoint.statsSocket, hasBuckets: true)
        model.take(snapshot, at: ProcessInfo.processInfo.systemUptime)
      }
    } catch {
      throw Exit.failing(Exit.unavailable, "\(error)")
    }
    guard model.rates != nil else {
      throw Exit.failing(Exit.unavailable, "the daemon was started again meanwhile")
    }
    print(TopScreen.report(model), terminator: "")
  }
}

/// Where a running daemon answers.
struct StatsSocketOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("socket")],
    help: ArgumentHelp(
      "The daemon's statistics socket (--stats-socket, or stats.socket in its file).",
      valueName: "path"))
  var statsSocket = "/run/vhost-user-crypto/stats.sock"
}
