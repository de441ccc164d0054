import Foundation
import FoundationXML
import TestSupport
import Testing

@testable import VhostCryptoTool

extension TheDaemon {
  @Suite("vhost-crypto bench --plot")
  struct BenchChartTests {
    /// What is in a picture; an error where it is no XML.
    private final class Picture: NSObject, XMLParserDelegate {
      private(set) var texts: [String] = []
      private(set) var lines: [(points: Int, attributes: [String: String])] = []
      private var text: String?

      init(_ data: Data) throws {
        super.init()
        let parser = XMLParser(data: data)
        parser.delegate = self
        guard parser.parse() else {
          throw TestSupportError("no XML: \(String(describing: parser.parserError))")
        }
      }

      func parser(
        _ parser: XMLParser, didStartElement element: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
      ) {
        if element == "text" { text = "" }
        if element == "polyline" {
          lines.append((attributes["points"]?.split(separator: " ").count ?? 0, attributes))
        }
      }

      func parser(_ parser: XMLParser, foundCharacters characters: String) {
        text? += characters
      }

      func parser(
        _ parser: XMLParser, didEndElement element: String, namespaceURI: String?,
        qualifiedName: String?
      ) {
        if element == "text", let text {
          texts.append(text)
          self.text = nil
        }
      }
    }

    private func draw(_ daemon: DaemonProcess, _ more: [String]) throws -> Picture {
      let directory = try TemporaryDirectory()
      let path = directory.file("<a&b>.svg")
      let result = try FinishedProgram.run(
        "vhost-crypto",
        [
          "bench", "--socket-path=\(daemon.socketPath)", "--seconds=0.05",
          "--size=64,1KiB,16KiB", "--op=aes-128-cbc-encrypt,hmac-sha256", "--plot=\(path)",
        ] + more)
      #expect(result.status == .status(0), "\(result.errorOutput)")
      return try Picture(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Test func measuredPointsAreDrawn() throws {
      let picture = try draw(try DaemonProcess(), [])
      // Throughput of two operations; latency of two, two percentiles each.
      #expect(picture.lines.map(\.points) == [3, 3, 3, 3, 3, 3])
      #expect(picture.lines.allSatisfy { $0.attributes["stroke-dasharray"] == nil })
      for text in ["64 B", "1 KiB", "16 KiB", "aes-128-cbc-encrypt", "hmac-sha256"] {
        #expect(picture.texts.contains(text), "\(text)")
      }
      #expect(picture.texts.contains { $0.contains("MB/s") })
      #expect(picture.texts.contains { $0.contains("µs") })
      #expect(picture.texts.contains { $0.contains("processors, Linux ") })
      let caption = picture.texts.joined(separator: " ")
      #expect(caption.contains("vhost-crypto bench --socket-path="))
      #expect(caption.contains("<a&b>.svg"), "escaped, and the same when read")
    }

    @Test func comparedSidesHaveTheirOwnLines() throws {
      let daemon = try DaemonProcess()
      let other = try DaemonProcess()
      let picture = try draw(
        daemon, ["--raw", "--against=\(other.socketPath)", "--samples=2"])
      // Throughput: three sides of two operations. Latency: the engine alone has none.
      #expect(picture.lines.count == 3 * 2 + 2 * 2 * 2)
      let dashes = picture.lines.prefix(6).map { $0.attributes["stroke-dasharray"] ?? "" }
      #expect(dashes == ["", "", "9 5", "9 5", "2 4", "2 4"])
      for text in ["the daemon", "second back-end (--against)", "the engine alone (--raw)"] {
        #expect(picture.texts.contains(text), "\(text)")
      }
    }

    @Test func whatCannotBeDrawnIsRefusedBeforeMeasuring() throws {
      let arguments = ["bench", "--socket-path=/tmp/nobody.sock"]
      try FinishedProgram.run(
        "vhost-crypto", arguments + ["--op=rsa-2048-sign", "--plot=/tmp/x.svg"]
      ).expectComplaint(64, "rsa-2048-sign has one of its own", from: "vhost-crypto bench: ")
      try FinishedProgram.run("vhost-crypto", arguments + ["--plot=/nonexistent/x.svg"])
        .expectComplaint(
          73, "/nonexistent/x.svg cannot be written: No such file", from: "vhost-crypto bench: ")
    }

    @Test func pointsLieWhereTheirNumbersSay() throws {
      func point(_ bytes: Int, _ perSecond: Double) -> BenchPoint {
        BenchPoint(
          .device, operation: "a", byteCount: bytes, Spread([perSecond]),
          nil)
      }
      // 1, 10 and 100 MB/s over sizes that are doubled twice each time.
      let chart = BenchChart(
        points: [point(100, 1e4), point(400, 2.5e4), point(1600, 6.25e4)], caption: ["c"])
      let picture = try Picture(Data(chart.svg().utf8))
      let places = try #require(picture.lines.first?.attributes["points"]).split(separator: " ")
        .map { $0.split(separator: ",").compactMap { Double($0) } }
      #expect(abs((places[1][0] - places[0][0]) - (places[2][0] - places[1][0])) < 0.2)
      #expect(abs((places[0][1] - places[1][1]) - (places[1][1] - places[2][1])) < 0.2)
      #expect(places[0][1] > places[1][1], "more is higher up")
    }
  }
}
