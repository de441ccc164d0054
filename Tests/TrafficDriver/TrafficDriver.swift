// traffic-driver: plays guests that send very many random requests, for TrafficTests, which start it. A program of its own
// because it is built optimised, as tests are not.
//
//   traffic-driver agree REQUESTS SEED ENGINE=SOCKET …
//   traffic-driver mixed REQUESTS SEED RING=SOCKET
//
// Engines that are compared have rings of different kinds; RING is split, packed, split-in-order or packed-in-order.
//
// Lines with counts on standard output; the first difference on standard error, and status 1.

import CryptoTypes
import Foundation
import VhostUserFrontend

@main
enum TrafficDriver {
  static func main() {
    do {
      try run(Array(CommandLine.arguments.dropFirst()))
    } catch {
      FileHandle.standardError.write(Data("traffic-driver: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func run(_ words: [String]) throws {
    guard words.count >= 4, let count = Int(words[1]), let seed = UInt64(words[2]) else {
      throw DriverError("usage: traffic-driver agree|mixed REQUESTS SEED NAME=SOCKET …")
    }
    let rings = try words.dropFirst(3).enumerated().map { index, word in
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw DriverError("\(word) is not NAME=SOCKET") }
      let kind = RingKind(rawValue: parts[0]) ?? RingKind.allCases[index % RingKind.allCases.count]
      return try Ring(parts[0], parts[1], kind)
    }
    switch words[0] {
    case "agree":
      let agreement = Agreement(rings, requestCount: count, seed: seed)
      for algorithm in CryptoAlgorithm.symmetric { print(try agreement.run(algorithm)) }
    case "mixed": print(try MixedTraffic(rings[0], seed: seed).run(count))
    default: throw DriverError("\(words[0]) is neither agree nor mixed")
    }
  }
}
