import Capabilities
import EngineContract
import Glibc
import HostEngines
import LinuxSystem
import Synchronization

/// The engines, started, tested and measured.
struct EngineStart {
  let engines: HostEngines
  let measured: HostEngines.CalibrationReport

  /// Starts them on a thread of its own, and waits for its end.
  ///
  /// The kernel gives a thread helpers of its own when its io_uring does something that takes long, as tests of the kernel
  /// engine do. They would keep the rights that the daemon gives up; so they go before, with the thread.
  init(
    _ configuration: Configuration, cache: CalibrationCache, force: Bool
  ) throws(StartError) {
    let result = Box()
    do throws(SystemError) {
      let thread = try PinnedThread(name: "vcrypto-start") {
        let outcome: Result<EngineStart, EngineError>
        do throws(EngineError) {
          let engines = try HostEngines(configuration)
          let measured = engines.calibrate(configuration, cache: cache, force: force)
          outcome = .success(EngineStart(engines: engines, measured: measured))
        } catch { outcome = .failure(error) }
        result.value.withLock { $0 = outcome }
      }
      thread.join()
    } catch { throw StartError("\(error)", EX_OSERR) }
    switch result.value.withLock({ $0 }) {
    case .success(let start): self = start
    case .failure(let error): throw StartError("\(error)", EX_UNAVAILABLE)
    case nil: throw StartError("the engines did not start", EX_SOFTWARE)
    }
  }

  private init(engines: HostEngines, measured: HostEngines.CalibrationReport) {
    self.engines = engines
    self.measured = measured
  }

  private final class Box: Sendable {
    let value = Mutex<Result<EngineStart, EngineError>?>(nil)
  }
}
