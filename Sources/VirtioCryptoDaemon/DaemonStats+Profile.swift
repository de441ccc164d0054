import Counters
import HostEngines
import LinuxSystem
import QueueWorkers
import StatsEndpoint

extension DaemonStats {
  /// One worker while it is watched.
  private struct Watched {
    let device: GuestDevice
    let queue: Int
    let worker: QueueWorker
  }

  /// Has every worker keep account of its time for so many seconds.
  ///
  /// Workers that start or end meanwhile are left out.
  /// - Throws: `StatsProblem` where a device's control thread does not answer.
  func profile(seconds: Int) async throws -> ProfileSnapshot {
    var watched: [Watched] = []
    for device in devices {
      for case (let queue, let worker?) in try await device.currentWorkers().enumerated() {
        watched.append(Watched(device: device, queue: queue, worker: worker))
      }
    }
    let number = nextProfile()
    defer { for one in watched { one.worker.profile(0) } }
    for one in watched { one.worker.profile(number) }
    let start = clock.now
    try await Task.sleep(for: .seconds(seconds), tolerance: .zero)
    let workers = watched.compactMap { one -> WorkerProfile? in
      one.device.stages(ofQueue: one.queue, profile: number).map { stages in
        WorkerProfile(
          device: one.device.name, queue: one.queue, stages: stageTimes(stages))
      }
    }
    return ProfileSnapshot(seconds: start.duration(to: clock.now) / .seconds(1), workers: workers)
  }

  /// In the order of a request's life, an engine each.
  private func stageTimes(_ stages: StageSnapshot) -> [StageTime] {
    func time(_ stage: ProfileStage, _ engine: String?, _ ticks: UInt64) -> StageTime {
      StageTime(
        stage: stage, engine: engine,
        share: Double(ticks) / Double(max(stages.elapsedTicks, 1)),
        nanoseconds: UInt64(Double(ticks) * TickClock.nanosecondsPerTick))
    }
    return ProfileStage.allCases.flatMap { stage -> [StageTime] in
      switch stage {
      case .idle: return [time(stage, nil, stages[.idle])]
      case .ring: return [time(stage, nil, stages[.ring])]
      case .parse: return [time(stage, nil, stages[.parse])]
      case .memory: return [time(stage, nil, stages[.memory])]
      case .completion: return [time(stage, nil, stages[.completion])]
      case .notify: return [time(stage, nil, stages[.notify])]
      case .crypto:
        return HostEngines.names.enumerated().compactMap { index, name in
          let ticks = stages[.crypto(engine: UInt8(truncatingIfNeeded: index))]
          // Engines that this daemon has, whether or not they had anything to do.
          guard ticks > 0 || engines.contains(where: { $0.name == name }) else { return nil }
          return time(.crypto, name, ticks)
        }
      }
    }
  }
}
