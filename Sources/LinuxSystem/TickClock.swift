import CLinuxShims
import Glibc

/// What a tick of `clinux_ticks` is worth.
public enum TickClock {
  /// Nanoseconds per tick, measured once against the monotonic clock over ten milliseconds.
  public static let nanosecondsPerTick: Double = {
    let startTicks = clinux_ticks()
    let start = monotonicNanoseconds()
    usleep(10_000)
    let endTicks = clinux_ticks()
    let end = monotonicNanoseconds()
    guard endTicks > startTicks, end > start else { return 1 }
    return Double(end - start) / Double(endTicks - startTicks)
  }()

  /// The count now.
  public static var now: UInt64 { clinux_ticks() }

  public static var ticksPerMicrosecond: Double { 1000 / nanosecondsPerTick }

  public static func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
  }
}
