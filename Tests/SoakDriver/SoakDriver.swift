// soak-driver: several guests on several devices of one daemon for minutes, while front-ends die, the daemon is killed, and
// whatever it calls fails; for SoakTests and `make soak`. A program of its own because it is built optimised, as tests are
// not. VHOST_CRYPTO_BIN names the folder of the daemon.
//
//   soak-driver --injector=LIBRARY [--seconds=600] [--seed=N] [--slowness=1] [--leak=memory|fd|thread|sessions]
//   soak-driver guest SOCKET SEED COUNTS SLOWNESS
//
// --leak makes the daemon leak, or the service manager lose the sessions that it keeps, so that the run has to fail.
// --slowness is for an emulated machine: everything may take so many times as long, and so much less has to be done. The
// second form is a guest that the first one starts and kills: it sends until then, and keeps its counts in a file.
//
// A report on standard output; status 1 where anything was lost, wrong, duplicated or grew.

import Foundation
import TestSupport
import VhostUserFrontend

@main
enum SoakDriver {
  static func main() {
    do {
      let words = Array(CommandLine.arguments.dropFirst())
      if words.first == "guest" { try StrayGuest.run(Array(words.dropFirst())) }
      exit(try play(DriverSettings(words)) ? 0 : 1)
    } catch {
      FileHandle.standardError.write(Data("soak-driver: \(error)\n".utf8))
      exit(2)
    }
  }

  /// Apart from `main`, so that a daemon that is still there ends with the soak: `exit` leaves everything as it is.
  private static func play(_ settings: DriverSettings) throws -> Bool { try Soak(settings).run() }
}

/// What went wrong, in a sentence.
struct DriverError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// The checked command line.
struct DriverSettings {
  var injector = ""
  var seconds = 600
  var seed = UInt64.random(in: 0...UInt64(Int.max))
  var slowness = 1
  var leaks: [Faults.Kind: UInt64] = [:]
  var losesSessions = false

  init(_ words: [String]) throws {
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      let value = parts.count > 1 ? parts[1] : ""
      switch (parts[0], value) {
      case ("--injector", _): injector = value
      case ("--seconds", _): seconds = Int(try Self.number(word, value))
      case ("--seed", _): seed = try Self.number(word, value)
      case ("--slowness", _): slowness = max(1, Int(try Self.number(word, value)))
      case ("--leak", "memory"): leaks = [.leakedMemory: 1_000_000]
      case ("--leak", "fd"): leaks = [.leakedDescriptor: 200_000]
      case ("--leak", "sessions"): losesSessions = true
      case ("--leak", "thread"): leaks = [.leakedThread: 200_000]
      default: throw DriverError("what is \(word)?")
      }
    }
    guard FileManager.default.isReadableFile(atPath: injector) else {
      throw DriverError("--injector=LIBRARY is missing, or there is none")
    }
  }

  private static func number(_ word: String, _ value: String) throws -> UInt64 {
    guard let number = UInt64(value) else { throw DriverError("no number: \(word)") }
    return number
  }
}

/// Writes a line at once: whoever waits for minutes wants to see it.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }
