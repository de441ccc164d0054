import Testing

@testable import VhostUserBackend

extension OneAtATime {
  @Suite("Log limiter")
  struct LogLimiterTests {
    @Test func swallowedLinesAreReportedWithTheNext() {
      var limiter = LogLimiter()
      let start = ContinuousClock.now
      for _ in 0..<LogLimiter.burst { #expect(limiter.admit(at: start) == 0) }
      for _ in 0..<7 { #expect(limiter.admit(at: start + .seconds(1)) == nil) }
      #expect(limiter.admit(at: start + LogLimiter.period) == 7)
      #expect(limiter.admit(at: start + LogLimiter.period) == 0)
    }
  }
}
