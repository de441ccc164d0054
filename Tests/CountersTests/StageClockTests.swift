import Counters
import Testing

@Suite struct StageClockTests {
  @Test func everyTickIsInOneStage() throws {
    let counters = try QueueCounters(rowCount: 1)
    var clock = StageClock(counters.block, profile: 7, now: 1000)
    clock.enter(.ring, now: 1100)
    clock.enter(.crypto(engine: 0), now: 1103)
    clock.enter(.crypto(engine: 2), now: 1110)
    clock.enter(.completion, now: 1140)
    // Two of these were copying.
    clock.give(2, to: .memory)
    clock.enter(.completion, now: 1150)
    clock.enter(.notify, now: 1151)
    let stages = try #require(counters.stages(ofProfile: 7, now: 1171))
    #expect(stages.elapsedTicks == 171)
    #expect(stages.ticks.reduce(0, +) == 171)
    #expect(stages[.idle] == 100 && stages[.ring] == 3 && stages[.parse] == 0)
    #expect(stages[.crypto(engine: 0)] == 7 && stages[.crypto(engine: 2)] == 30)
    #expect(stages[.crypto(engine: 1)] == 0 && stages[.crypto(engine: 3)] == 0)
    #expect(stages[.memory] == 2 && stages[.completion] == 9)
    // Still in it.
    #expect(stages[.notify] == 20)
  }

  @Test func aSleeperIsIdleAllTheTime() throws {
    let counters = try QueueCounters(rowCount: 1)
    let clock = StageClock(counters.block, profile: 1, now: 5)
    let stages = try #require(counters.stages(ofProfile: 1, now: 1_000_005))
    #expect(stages[.idle] == 1_000_000 && stages.elapsedTicks == 1_000_000)
    clock.stop()
    #expect(counters.stages(ofProfile: 1, now: 1_000_005) == nil)
  }

  @Test func eachProfileBeginsAnew() throws {
    let counters = try QueueCounters(rowCount: 1)
    #expect(counters.stages(ofProfile: 1, now: 10) == nil)
    var clock = StageClock(counters.block, profile: 1, now: 0)
    clock.enter(.notify, now: 50)
    clock.enter(.ring, now: 70)
    clock = StageClock(counters.block, profile: 2, now: 100)
    #expect(counters.stages(ofProfile: 1, now: 200) == nil)
    let stages = try #require(counters.stages(ofProfile: 2, now: 200))
    #expect(stages[.idle] == 100 && stages.elapsedTicks == 100)
    // A processor whose count is behind takes nothing away.
    clock.enter(.ring, now: 90)
    clock.enter(.idle, now: 110)
    #expect(try #require(counters.stages(ofProfile: 2, now: 110)).ticks.reduce(0, +) == 10)
  }

  @Test func stagesLeaveTheOtherCountersAlone() throws {
    let counters = try QueueCounters(rowCount: 300)
    let before = counters.snapshot()
    var clock = StageClock(counters.block, profile: .max >> 1, now: 0)
    for number: UInt8 in 0..<8 { clock.enter(.crypto(engine: number), now: UInt64(number) * 3 + 1) }
    #expect(counters.snapshot() == before)
  }
}
