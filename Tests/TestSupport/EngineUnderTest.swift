import CryptoTypes
import Foundation
import VhostUserFrontend

/// An engine of the daemon that is tested, and what it says that it can do on this host.
public struct EngineUnderTest: Hashable, Sendable, CustomStringConvertible {
  /// As the capability file spells it.
  public let name: String
  /// What a device offers whose every algorithm is left to this engine alone.
  public let claims: Set<CryptoAlgorithm>
  public var description: String { name }

  /// A capability file's section that leaves every symmetric algorithm to the engine, and nothing to any other.
  public var algorithms: String { Self.algorithms(engine: name) }

  static func algorithms(engine: String) -> String {
    """
    algorithms:
      cipher: { default: { engine: \(engine) } }
      hash: { default: { engine: \(engine) } }
      mac: { default: { engine: \(engine) } }
      aead: { default: { engine: \(engine) } }
      akcipher: { default: off }

    """
  }

  /// Whether the engines were named by `VHOST_CRYPTO_TEST_ENGINES`, as in a guest that has one engine to show.
  public static let areChosen = chosenNames != nil

  private static let chosenNames: [String]? = ProcessInfo.processInfo.environment[
    "VHOST_CRYPTO_TEST_ENGINES"
  ].map { $0.split(separator: ",").map(String.init) }

  /// The engines to test: those that are named, else all that this host's daemon can use.
  ///
  /// - Throws: when there is none, or when one that is named can do nothing.
  public static func all() throws -> [EngineUnderTest] { try found.get() }

  private static let found = Result<[EngineUnderTest], any Error> {
    let names = try chosenNames ?? Set(check(nil).flatMap(\.engines)).sorted()
    guard !names.isEmpty else { throw TestSupportError("the daemon has no engine here") }
    return try names.map { name in
      let lines = try check("version: 1\n" + algorithms(engine: name))
      guard !lines.isEmpty else { throw TestSupportError("the engine \(name) can do nothing") }
      guard lines.allSatisfy({ $0.engines == [name] }) else {
        throw TestSupportError("a file for \(name) alone uses other engines too")
      }
      return EngineUnderTest(name: name, claims: Set(lines.map(\.algorithm)))
    }
  }

  /// Asks the daemon (`--check-config`) which algorithms it would advertise, and on which engines.
  private static func check(
    _ configuration: String?
  ) throws -> [(algorithm: CryptoAlgorithm, engines: [String])] {
    let directory = try TemporaryDirectory()
    var arguments = ["--check-config"]
    if let configuration {
      arguments.append("--config=\(try directory.write(configuration, to: "engine.yaml"))")
    }
    let output = directory.file("stdout")
    let errors = directory.file("stderr")
    let process = try ChildProcess(
      program: DaemonProcess.executable("vhost-user-crypto"), arguments: arguments,
      standardOutputPath: output, standardErrorPath: errors)
    // Known-answer tests of every engine run first, which takes long in an emulated machine.
    guard process.wait(milliseconds: 120_000) == .status(0) else {
      throw TestSupportError("--check-config failed: \(DaemonProcess.text(errors))")
    }
    let text = DaemonProcess.text(output)
    let known = Dictionary(
      uniqueKeysWithValues: CryptoAlgorithm.allCases.map { ("\($0.service) \($0.name)", $0) })
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("  ") }
    return try lines.map { line in
      let parts = line.dropFirst(2).split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2, let algorithm = known[parts[0]] else {
        throw TestSupportError("--check-config says '\(line)'")
      }
      return (algorithm, parts[1].split(separator: ",").map { String($0.dropFirst()) })
    }
  }
}
