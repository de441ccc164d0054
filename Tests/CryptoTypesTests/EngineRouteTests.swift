import CryptoTypes
import Testing

@Suite struct EngineRouteTests {
  private typealias Stop = EngineRoute.Stop

  private func route(_ stops: Stop...) -> EngineRoute { EngineRoute(stops) }

  @Test func newRouteHasNoEngine() {
    for empty in [EngineRoute(), EngineRoute([])] {
      #expect(empty.isEmpty && empty.count == 0 && empty.stops.isEmpty)
      #expect(empty.engine(at: 0) == EngineRoute.none)
      #expect(empty.engine(forByteCount: 0) == EngineRoute.none)
      #expect(empty.engine(forByteCount: .max) == EngineRoute.none)
      #expect(empty.engine(besides: 0) == EngineRoute.none)
      #expect(!empty.contains(0))
    }
  }

  @Test func stopsComeBackAsTheyWereGiven() {
    let stops = [
      Stop(engine: 3, byteCounts: 0...256), Stop(engine: 0, byteCounts: 257...4096),
      Stop(engine: 3, byteCounts: 4097...UInt32.max), Stop(engine: 31, byteCounts: 7...7),
    ]
    for count in 0...4 {
      let route = EngineRoute(Array(stops.prefix(count)))
      #expect(route.count == count)
      #expect(route.isEmpty == (count == 0))
      #expect(route.stops == Array(stops.prefix(count)))
    }
  }

  @Test func moreThanTheCapacityIsLeftOut() {
    let route = EngineRoute((0..<9).map { Stop(engine: $0) })
    #expect(EngineRoute.capacity == 4)
    #expect(route.stops.map(\.engine) == [0, 1, 2, 3])
    #expect(!route.contains(4))
  }

  @Test func lengthChoosesTheFirstStopThatIsForIt() {
    let route = route(
      Stop(engine: 2, byteCounts: 64...1024), Stop(engine: 1, byteCounts: 1000...2000),
      Stop(engine: 5, byteCounts: 0...10), Stop(engine: 4, byteCounts: 4096...UInt32.max))
    for (byteCount, engine): (UInt32, UInt8) in [
      (64, 2), (1000, 2), (1024, 2), (1025, 1), (2000, 1), (0, 5), (10, 5), (4096, 4), (.max, 4),
    ] {
      #expect(route.engine(forByteCount: byteCount) == engine, "\(byteCount) bytes")
    }
    // Nobody's lengths go to the first.
    for byteCount: UInt32 in [11, 63, 2001, 4095] {
      #expect(route.engine(forByteCount: byteCount) == 2, "\(byteCount) bytes")
    }
  }

  @Test func oneEngineMayStandTwice() {
    let route = route(
      Stop(engine: 0, byteCounts: 0...256), Stop(engine: 1, byteCounts: 257...4096),
      Stop(engine: 0, byteCounts: 4097...UInt32.max))
    #expect(
      [0, 256, 257, 4096, 4097, .max].map { route.engine(forByteCount: $0) } == [0, 0, 1, 1, 0, 0])
    #expect(route.engine(besides: 1 << 0) == 1)
    #expect(route.engine(besides: 1 << 0 | 1 << 1) == EngineRoute.none)
    #expect(route.excluding(1 << 1).stops.map(\.byteCounts) == [0...256, 4097...UInt32.max])
    #expect(route.excluding(1 << 0).stops == [Stop(engine: 1, byteCounts: 257...4096)])
  }

  @Test func engineBesidesThoseThatWereTriedIsTheNextInOrder() {
    let route = route(Stop(engine: 7), Stop(engine: 0), Stop(engine: 31))
    #expect(route.engine(besides: 0) == 7)
    #expect(route.engine(besides: 1 << 0) == 7)
    #expect(route.engine(besides: 1 << 7) == 0)
    #expect(route.engine(besides: 1 << 7 | 1 << 0) == 31)
    #expect(route.engine(besides: .max) == EngineRoute.none)
  }

  @Test func intersectionKeepsThisRoutesOrderAndLengths() {
    let first = route(
      Stop(engine: 2, byteCounts: 0...10), Stop(engine: 1, byteCounts: 11...20),
      Stop(engine: 2, byteCounts: 21...30), Stop(engine: 0))
    let second = route(Stop(engine: 0, byteCounts: 5...6), Stop(engine: 3), Stop(engine: 2))
    #expect(
      first.intersection(second).stops == [
        Stop(engine: 2, byteCounts: 0...10), Stop(engine: 2, byteCounts: 21...30),
        Stop(engine: 0),
      ])
    #expect(
      second.intersection(first).stops == [
        Stop(engine: 0, byteCounts: 5...6), Stop(engine: 2),
      ])
    #expect(first.intersection(EngineRoute()).isEmpty)
    #expect(EngineRoute().intersection(first).isEmpty)
    #expect(first.intersection(first) == first)
  }

  @Test func excludingTakesEnginesOutEverywhere() {
    let route = route(Stop(engine: 2, byteCounts: 0...10), Stop(engine: 1), Stop(engine: 0))
    #expect(route.excluding(0) == route)
    #expect(route.excluding(1 << 1).stops.map(\.engine) == [2, 0])
    #expect(route.excluding(1 << 2 | 1 << 0).stops == [Stop(engine: 1)])
    #expect(route.excluding(0b111).isEmpty)
    #expect(route.excluding(1 << 30) == route)
  }

  @Test func routesAreEqualByTheirStops() {
    let one = route(Stop(engine: 1), Stop(engine: 2))
    #expect(one == route(Stop(engine: 1), Stop(engine: 2)))
    #expect(one != route(Stop(engine: 2), Stop(engine: 1)))
    #expect(one != route(Stop(engine: 1)))
    #expect(one != route(Stop(engine: 1), Stop(engine: 2, byteCounts: 0...1)))
    // What was taken out leaves nothing behind that would count.
    let longer = route(Stop(engine: 1), Stop(engine: 2), Stop(engine: 3, byteCounts: 1...2))
    #expect(longer.excluding(1 << 3) == one)
  }
}
