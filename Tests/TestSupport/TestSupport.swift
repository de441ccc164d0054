// TestSupport: what several test targets need around the daemon: its process, temporary
// directories, test vectors, and reproducible random numbers. The guest and the front-end are
// played by VhostUserFrontend; expected answers come from its ReferenceCrypto.

import Foundation
import VhostUserFrontend

/// A failure of the test's surroundings, in a sentence.
public struct TestSupportError: Error, CustomStringConvertible, Sendable {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// A directory that is removed when the last reference goes.
public final class TemporaryDirectory: Sendable {
  public let path: String

  /// Under `/tmp`, because socket paths have little room; it belongs to whom the daemons become, who make sockets there.
  public init() throws {
    var template = Array("/tmp/vhost-crypto-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw TestSupportError("no temporary directory: errno \(errno)")
    }
    path = template.withUnsafeBufferPointer { buffer in
      buffer.baseAddress.map { String(cString: $0) } ?? ""
    }
    if let user = DaemonProcess.user { try give(to: user) }
  }

  /// Makes the directory a user's, so that a daemon which becomes that can remove what it made there.
  public func give(to user: String) throws {
    let number = UInt32(user) ?? getpwnam(user)?.pointee.pw_uid
    guard let number, chown(path, number, .max) == 0 else {
      throw TestSupportError("giving \(path) to \(user): errno \(errno)")
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of an entry in the directory.
  public func file(_ name: String) -> String { path + "/" + name }

  /// Writes a text file into the directory and gives its path.
  public func write(_ text: String, to name: String) throws -> String {
    try text.write(toFile: file(name), atomically: true, encoding: .utf8)
    return file(name)
  }
}

extension SeededRandom {
  /// A generator whose seed is printed, so that a failure can be replayed with `VHOST_CRYPTO_SEED`.
  public static func printed(_ test: String = #function) -> SeededRandom {
    let given = ProcessInfo.processInfo.environment["VHOST_CRYPTO_SEED"].flatMap { UInt64($0) }
    let seed = given ?? UInt64.random(in: 0...UInt64.max)
    print("\(test): VHOST_CRYPTO_SEED=\(seed)")
    return SeededRandom(seed: seed)
  }
}

/// How many times longer things may take than without a sanitizer, and how many times as much memory: what
/// `VHOST_CRYPTO_TEST_SLACK` says, as `make asan` and `make tsan` do, else 1.
public let sanitizerSlack =
  ProcessInfo.processInfo.environment["VHOST_CRYPTO_TEST_SLACK"].flatMap(Int.init) ?? 1

/// Waits until a condition holds, looking every 5 ms; longer under a sanitizer.
public func waitUntil(
  _ what: String, milliseconds: Int = 5000, _ condition: () throws -> Bool
) throws {
  let milliseconds = milliseconds * sanitizerSlack
  let end = ContinuousClock.now + .milliseconds(milliseconds)
  while try !condition() {
    guard ContinuousClock.now < end else {
      throw TestSupportError("\(what): not within \(milliseconds) ms")
    }
    usleep(5000)
  }
}
