/// What is served, and where.
///
/// Snapshots are taken and written out one at a time: many readers at once keep one thread busy, not all of them.
actor StatsRoutes {
  private let source: any StatsSource
  private var isProfiling = false

  /// How many sessions a page has at most.
  static let largestPage = 1000

  init(source: any StatsSource) { self.source = source }

  private var paths: [String] {
    ["/stats", "/metrics", "/healthz", "/sessions", "/config"]
      + (source.takeProfile == nil ? [] : ["/profile"])
  }

  /// Answers a request; whatever is wrong with it is told in one line.
  func answer(method: String, target: String) async -> StatsResponse {
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let path = parts.first.map(String.init) ?? ""
    guard paths.contains(path) else {
      return .text(404, "there is no such page; try \(paths.joined(separator: ", "))")
    }
    guard method == "GET" else {
      return .text(405, "only GET is served", allow: "GET")
    }
    do {
      return try await answer(path: path, query: parts.count > 1 ? parts[1] : "")
    } catch StatsProblem.badRequest(let text) {
      return .text(400, text)
    } catch StatsProblem.unavailable(let text) {
      return .text(503, text)
    } catch {
      return .text(500, "\(error)")
    }
  }

  private func answer(path: String, query text: Substring) async throws -> StatsResponse {
    func query(_ known: String...) throws(StatsProblem) -> StatsQuery {
      try StatsQuery(text, path: path, known: known)
    }
    switch path {
    case "/stats":
      let buckets = try query("buckets").choice("buckets", of: ["none", "all"], or: "none")
      var snapshot = source.snapshot(percentiles: true)
      if buckets == "none" { snapshot.dropBuckets() }
      return try .json(snapshot)
    case "/metrics":
      _ = try query()
      return StatsResponse(
        status: 200, contentType: OpenMetricsWriter.contentType,
        body: Array(source.snapshot(percentiles: false).openMetrics().utf8))
    case "/healthz":
      _ = try query()
      let silent = await source.silentDevices()
      let report = HealthReport(source.snapshot(percentiles: false), silentDevices: silent)
      return try .json(report, status: report.status == .ok ? 200 : 503)
    case "/sessions":
      return try await sessions(try query("device", "offset", "limit"))
    case "/config":
      let format = try query("format").choice(
        "format", of: ConfigurationFormat.allCases.map(\.rawValue), or: "json")
      let isYAML = format == ConfigurationFormat.yaml.rawValue
      return StatsResponse(
        status: 200, contentType: isYAML ? "application/yaml" : "application/json",
        body: Array(try source.configuration(isYAML ? .yaml : .json).utf8))
    default:
      return try await profile(try query("seconds"))
    }
  }

  private func sessions(_ query: StatsQuery) async throws -> StatsResponse {
    let offset = try query.number("offset", in: 0...(1 << 20), or: 0)
    let limit = try query.number("limit", in: 1...Self.largestPage, or: 100)
    let names = source.snapshot(percentiles: false).devices.map(\.name)
    let list = names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", …" : "")
    let device: String
    if let name = query["device"] {
      guard names.contains(name) else {
        throw StatsProblem.badRequest("there is no device '\(name)'; there are: \(list)")
      }
      device = name
    } else {
      guard names.count == 1 else {
        throw StatsProblem.badRequest("device= is missing; there are: \(list)")
      }
      device = names[0]
    }
    return try .json(await source.sessions(of: device, offset: offset, limit: limit))
  }

  private func profile(_ query: StatsQuery) async throws -> StatsResponse {
    let seconds = try query.number("seconds", in: 1...60, or: 5)
    guard let takeProfile = source.takeProfile else {
      throw StatsProblem.unavailable("this daemon takes no profiles")
    }
    guard !isProfiling else {
      throw StatsProblem.unavailable("somebody else watches already; try again")
    }
    isProfiling = true
    defer { isProfiling = false }
    return try .json(await takeProfile(seconds))
  }
}

extension DaemonSnapshot {
  /// Leaves out what most readers do not want.
  mutating func dropBuckets() {
    for device in devices.indices {
      for row in devices[device].algorithms.indices {
        devices[device].algorithms[row].latencyNanoseconds.buckets = nil
      }
    }
  }
}
