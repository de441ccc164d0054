import Testing

@testable import EngineContract

struct KeyedSessionsTests {
  @Test func whatWasInsertedIsThereUntilItIsRemoved() {
    var set = KeyedSessions(capacity: 200)
    for index in [0, 63, 64, 199] {
      #expect(!set.contains(index))
      set.insert(index)
      #expect(set.contains(index))
    }
    set.insert(199)
    #expect(set.count == 4 && set.end == 200)
    #expect(set.remove(1) == .absent)
    #expect(set.remove(199) == .emptiedGroup)
    #expect(set.remove(199) == .absent)
    #expect(set.count == 3)
  }

  @Test func theLastOfAGroupIsTold() {
    var set = KeyedSessions(capacity: 129)
    set.insert(0)
    set.insert(63)
    set.insert(128)
    #expect(set.remove(0) == .removed)
    #expect(set.remove(63) == .emptiedGroup)
    #expect(set.end == 129)
    #expect(set.remove(128) == .emptiedGroup)
    #expect(set.count == 0 && set.end == 0)
  }

  @Test func noSessionsAtAllAreFine() {
    let set = KeyedSessions(capacity: 0)
    #expect(set.count == 0 && set.end == 0)
  }
}
