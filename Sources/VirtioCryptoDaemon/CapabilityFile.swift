import Capabilities
import HostEngines

/// The capability file that the daemon was started with, and the way to read it again.
struct CapabilityFile {
  /// What it said then, or the defaults.
  let start: Configuration
  /// nil: there is none.
  let path: String?

  var readAgain: (@Sendable () throws(ConfigurationError) -> Configuration)? {
    guard let path else { return nil }
    return { () throws(ConfigurationError) in
      try Configuration.load(path: path, engines: HostEngines.descriptions)
    }
  }
}
