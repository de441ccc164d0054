/// What answers requests.
protocol Routes: Sendable {
  func answer(method: String, target: String) async -> StatsResponse
}

extension StatsRoutes: Routes {}

/// The control socket: `GET /limits` shows, `PATCH /limits?device=…&operations-per-second=…` sets.
///
/// It is apart from the statistics, whose socket is open to a group: who may look need not be allowed to set.
actor ControlRoutes: Routes {
  private let source: any ControlSource

  init(source: any ControlSource) { self.source = source }

  func answer(method: String, target: String) async -> StatsResponse {
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.first == "/limits" else {
      return .text(404, "there is no such page; try /limits")
    }
    guard method == "GET" || method == "PATCH" else {
      return .text(405, "only GET and PATCH are served", allow: "GET, PATCH")
    }
    do {
      let known = method == "GET" ? [] : ["device"] + LimitChange.names
      let query = try StatsQuery(parts.count > 1 ? parts[1] : "", path: "/limits", known: known)
      guard method == "PATCH" else { return try .json(await source.limits()) }
      let change = try LimitChange(query)
      guard change != LimitChange() else {
        throw StatsProblem.badRequest(
          "nothing is to be set; give one of \(LimitChange.names.joined(separator: ", "))")
      }
      return try .json(await source.setLimits(change, device: query["device"]))
    } catch StatsProblem.badRequest(let text) {
      return .text(400, text)
    } catch StatsProblem.unavailable(let text) {
      return .text(503, text)
    } catch {
      return .text(500, "\(error)")
    }
  }
}
