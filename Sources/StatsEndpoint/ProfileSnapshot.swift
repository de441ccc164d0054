/// Where the workers' time went while somebody watched: `GET /profile?seconds=N`.
///
///   {"seconds":5.0,"workers":[{"device":"vm1","queue":0,"stages":[
///     {"stage":"crypto","engine":"openssl","share":0.61,"nanoseconds":3050000000}, …]}]}
public struct ProfileSnapshot: Codable, Equatable, Sendable {
  /// How long was watched.
  public var seconds: Double
  public var workers: [WorkerProfile]

  public init(seconds: Double, workers: [WorkerProfile]) {
    self.seconds = seconds
    self.workers = workers
  }
}

/// One worker's time.
public struct WorkerProfile: Codable, Equatable, Sendable {
  public var device: String
  public var queue: Int
  public var stages: [StageTime]

  public init(device: String, queue: Int, stages: [StageTime]) {
    self.device = device
    self.queue = queue
    self.stages = stages
  }
}

/// What a worker can be doing.
public enum ProfileStage: String, Codable, CaseIterable, Sendable {
  /// Asleep or spinning for work.
  case idle
  /// Looking at the ring and taking chains, and giving operations to helpers.
  case ring
  /// Reading and checking headers, and finding the session.
  case parse
  /// Reading descriptors and translating guest addresses, and copying through bounce buffers.
  case memory
  /// In an engine, or waiting for one.
  case crypto
  /// Writing results and used entries.
  case completion
  /// Calling the guest.
  case notify
}

/// A stage's part of a worker's time.
public struct StageTime: Codable, Equatable, Sendable {
  public var stage: ProfileStage
  /// Of `crypto` alone.
  public var engine: String?
  /// 0…1, of the time that was watched.
  public var share: Double
  public var nanoseconds: UInt64

  public init(stage: ProfileStage, engine: String?, share: Double, nanoseconds: UInt64) {
    self.stage = stage
    self.engine = engine
    self.share = share
    self.nanoseconds = nanoseconds
  }
}
