import Testing

@testable import Capabilities

@Suite struct SizeCoverageTests {
  private func coverage(_ sizes: (UInt64?, UInt64?)...) -> SizeCoverage {
    SizeCoverage(
      sizes.map {
        EngineChoice(engine: "openssl", minimumByteCount: $0.0, maximumByteCount: $0.1)
      })
  }

  @Test func engineWithoutBoundsTakesEverything() {
    for coverage in [
      coverage((nil, nil)), coverage((4096, nil), (nil, nil)), coverage((nil, 64), (nil, nil)),
      coverage((nil, 64), (65, nil)), coverage((65, nil), (nil, 64)),
      coverage((100, 200), (nil, 99), (201, nil)), coverage((0, UInt64(UInt32.max))),
    ] {
      #expect(coverage.gap == nil)
      #expect(coverage.uselessIndex == nil)
    }
  }

  @Test func gapsAreFoundAtEveryEnd() {
    let longest = UInt64(UInt32.max)
    #expect(coverage((1, nil)).gap == 0...0)
    #expect(coverage((4096, nil)).gap == 0...4095)
    #expect(coverage((nil, 64)).gap == 65...longest)
    #expect(coverage((nil, 64), (66, nil)).gap == 65...65)
    #expect(coverage((nil, 64), (129, 256), (1024, nil)).gap == 65...128)
    #expect(coverage((10, 20), (5, 25)).gap == 0...4)
    #expect(coverage().gap == 0...longest)
  }

  @Test func enginesBehindOthersThatTakeAllTheirSizesAreUseless() {
    #expect(coverage((nil, nil), (nil, 64)).uselessIndex == 1)
    #expect(coverage((nil, nil), (nil, nil), (64, nil)).uselessIndex == 2)
    #expect(coverage((nil, 4096), (64, 4096), (nil, nil)).uselessIndex == 1)
    #expect(coverage((nil, 64), (65, nil), (10, 100)).uselessIndex == 2)
    #expect(coverage((100, 200), (150, 300), (120, 250)).uselessIndex == 2)
    // Part of its sizes is left: it gets that.
    #expect(coverage((100, 200), (150, 300), (120, 301), (nil, nil)).uselessIndex == nil)
    #expect(coverage((64, 64), (nil, nil)).uselessIndex == nil)
  }

  @Test func engineWithoutSizesStandsInForThoseBeforeIt() {
    #expect(coverage((nil, nil), (nil, nil), (nil, nil)).uselessIndex == nil)
    #expect(coverage((nil, 64), (65, nil), (nil, nil)).uselessIndex == nil)
  }
}
