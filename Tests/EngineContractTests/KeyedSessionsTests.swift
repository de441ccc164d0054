import Testing

@testable import EngineContract

struct KeyedSessionsTests {
  // The set cannot be copied, which is what `#expect` does with operands: so values are taken out first.

  @Test func whatWasInsertedIsThereUntilItIsRemoved() {
    var set = KeyedSessions(capacity: 200)
    for index in [0, 63, 64, 199] {
      let wasThere = set.contains(index)
      set.insert(index)
      let isThere = set.contains(index)
      #expect(!wasThere && isThere)
    }
    set.insert(199)
    let (count, end) = (set.count, set.end)
    #expect(count == 4 && end == 200)
    let removals = [set.remove(1), set.remove(199), set.remove(199)]
    #expect(removals == [.absent, .emptiedGroup, .absent])
    let left = set.count
    #expect(left == 3)
  }

  @Test func theLastOfAGroupIsTold() {
    var set = KeyedSessions(capacity: 129)
    for index in [0, 63, 128] { set.insert(index) }
    let removals = [set.remove(0), set.remove(63)]
    let end = set.end
    #expect(removals == [.removed, .emptiedGroup])
    #expect(end == 129)
    let last = set.remove(128)
    let (count, newEnd) = (set.count, set.end)
    #expect(last == .emptiedGroup && count == 0 && newEnd == 0)
  }

  @Test func noSessionsAtAllAreFine() {
    let set = KeyedSessions(capacity: 0)
    let (count, end) = (set.count, set.end)
    #expect(count == 0 && end == 0)
  }
}
