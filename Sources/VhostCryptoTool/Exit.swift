import ArgumentParser
import Foundation

/// Exit statuses of `sysexits.h` that the tool gives.
enum Exit {
  /// `EX_UNAVAILABLE`: no daemon answers.
  static let unavailable = ExitCode(69)
  /// `EX_CONFIG`: the capability file is wrong.
  static let configuration = ExitCode(78)

  /// Says why on standard error, and gives the status to throw.
  static func failing(_ code: ExitCode, _ message: String) -> ExitCode {
    FileHandle.standardError.write(Data("vhost-crypto: \(message)\n".utf8))
    return code
  }
}
