import Counters
import CryptoDevice
import CryptoTypes
import LinuxSystem
import StatsEndpoint

extension GuestDevice {
  /// How long the device's own thread may take to answer; longer than a key that it has to check (`max-operation-ms`)
  /// takes on most hosts.
  static let patience = Duration.seconds(5)

  /// Places of the session table that are looked at before the guest's next request.
  private static let slotsPerQuestion = 1024

  /// Whether the device's own thread answers.
  func answers() async -> Bool {
    await questions.ask(within: Self.patience) { true } ?? false
  }

  /// A part of the sessions, from any thread.
  func sessions(
    offset: Int, limit: Int, engineNames: [String]
  ) async throws(StatsProblem) -> SessionPage {
    // One more shows whether there is a next page.
    var cursor = SessionTable.Cursor(skipping: offset, listing: limit + 1)
    var entries: [SessionTable.Entry] = []
    while true {
      let position = cursor
      let part = await questions.ask(within: Self.patience) { [self] in
        var cursor = position
        let part = core.sessions.list(&cursor, scanning: Self.slotsPerQuestion)
        return (cursor, part.entries, part.isComplete, UInt64(core.sessions.openCount))
      }
      guard let (next, found, isComplete, open) = part else {
        throw .unavailable("device \(name): its control thread does not answer; try again")
      }
      entries += found
      cursor = next
      guard isComplete else { continue }
      return SessionPage(
        device: name, open: open, offset: offset,
        sessions: entries.prefix(limit).map { SessionEntry($0, engineNames: engineNames) },
        next: entries.count > limit ? offset + limit : nil)
    }
  }
}

extension SessionEntry {
  fileprivate init(_ entry: SessionTable.Entry, engineNames: [String]) {
    self.init(
      id: entry.identifier, service: entry.row.serviceName, algorithm: entry.row.algorithmName,
      operation: entry.row.operationName,
      engines: entry.route.stops.map { engineNames[Int($0.engine)] }, ageSeconds: entry.ageSeconds)
  }
}
