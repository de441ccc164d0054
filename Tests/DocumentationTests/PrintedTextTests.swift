import Testing

@Suite struct PrintedTextTests {
  private func differs(_ expected: String..., from printed: String...) -> Bool {
    PrintedText(expected).difference(from: PrintedText(printed)) != nil
  }

  @Test func numbersAndWidthsMayDiffer() {
    #expect(!differs("size  12.3 us   7/7", from: "size 4 ms 123/9"))
    #expect(!differs("p50 -", from: "p50 3.5 us"))
    #expect(differs("size 12", from: "sizes 12"))
  }

  @Test func dotsStandForAnything() {
    #expect(!differs("a … z", from: "a b c z"))
    #expect(differs("a … z", from: "a b c"))
    #expect(!differs("one", "…", "four", from: "one", "two", "three", "four"))
    #expect(differs("one", "…", "five", from: "one", "two"))
    #expect(!differs("one", "…", from: "one", "two"))
  }

  @Test func missingAndFurtherLinesAreDifferences() {
    #expect(differs("one", from: "one", "two"))
    #expect(differs("one", "two", from: "one"))
  }
}
