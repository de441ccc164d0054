internal import Glibc
internal import LinuxSystem

/// A socket that the service manager has bound, and listens at.
public struct ActivatedSocket: Hashable, Sendable {
  /// The number, which the daemon owns; closed on exec and non-blocking.
  public var rawValue: Int32
  /// `FileDescriptorName=`; without it systemd names a socket after its unit.
  public var name: String
  /// The path that it is bound to; an abstract name begins with `@`.
  public var path: String

  public init(rawValue: Int32, name: String, path: String) {
    self.rawValue = rawValue
    self.name = name
    self.path = path
  }
}

/// A descriptor that an earlier process has put into the service manager's store.
public struct StoredFile: Hashable, Sendable {
  /// The number, which the daemon owns; closed on exec.
  public var rawValue: Int32
  /// As it was stored by.
  public var name: String

  public init(rawValue: Int32, name: String) {
    self.rawValue = rawValue
    self.name = name
  }
}

/// What came with the process.
public struct PassedDescriptors: Hashable, Sendable {
  public var sockets: [ActivatedSocket] = []
  public var files: [StoredFile] = []

  public init() {}
}

/// What is wrong with sockets that were handed over: what, where, and what would be right.
public struct ActivationError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// Sockets that come with the process.
///
/// Spec: systemd, sd_listen_fds(3)
public enum SocketActivation {
  /// The first one's number; the others follow.
  public static let firstDescriptor: Int32 = 3

  /// Reads `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, removes them, and takes over what they promise: sockets, and
  /// stored files, whose names begin with `storedPrefix`.
  ///
  /// Empty where there are none. To be called before there are other threads. Throws the first thing that is wrong.
  public static func takeFromEnvironment(
    storedPrefix: String
  ) throws(ActivationError) -> PassedDescriptors {
    let process = EnvironmentVariable.take("LISTEN_PID")
    let count = EnvironmentVariable.take("LISTEN_FDS")
    let names = EnvironmentVariable.take("LISTEN_FDNAMES")
    return try take(
      process: process, count: count, names: names, first: firstDescriptor,
      storedPrefix: storedPrefix)
  }

  static func take(
    process: String?, count: String?, names: String?, first: Int32, storedPrefix: String
  ) throws(ActivationError) -> PassedDescriptors {
    var passed = PassedDescriptors()
    guard let count else { return passed }
    guard process == "\(getpid())" else {
      throw ActivationError(
        "LISTEN_PID is \(process ?? "not set") and this process is \(getpid()): the sockets are somebody else's; "
          + "start the daemon without a process in between (exec), or unset LISTEN_FDS")
    }
    // As many as a process can usually have open; more is no number of sockets.
    guard let number = Int32(count), (0...1024).contains(number) else {
      throw ActivationError(
        "LISTEN_FDS is '\(count)' and not a number of sockets; it is the service manager's to set")
    }
    let words = names.map {
      $0.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    }
    if let words, words.count != Int(number) {
      throw ActivationError(
        "LISTEN_FDNAMES has \(words.count) names for \(number) sockets; it is the service manager's to set"
      )
    }
    for index in 0..<Int(number) {
      let (rawValue, name) = (first + Int32(index), words?[index] ?? "unknown")
      if name.hasPrefix(storedPrefix) {
        passed.files.append(try takeOverFile(rawValue, name: name))
      } else {
        passed.sockets.append(try takeOver(rawValue, name: name))
      }
    }
    return passed
  }

  private static func takeOverFile(
    _ rawValue: Int32, name: String
  ) throws(ActivationError) -> StoredFile {
    do throws(SystemError) {
      try prepareInheritedFile(rawValue)
    } catch {
      throw ActivationError(
        "descriptor \(rawValue) ('\(name)') of LISTEN_FDS cannot be used: \(error); it is the service manager's to pass"
      )
    }
    return StoredFile(rawValue: rawValue, name: name)
  }

  private static func takeOver(
    _ rawValue: Int32, name: String
  ) throws(ActivationError) -> ActivatedSocket {
    let place = "descriptor \(rawValue) ('\(name)') of LISTEN_FDS"
    do throws(SystemError) {
      switch try SocketKind.of(rawValue) {
      case .listeningUnixStream(let path):
        try prepareInheritedSocket(rawValue)
        return ActivatedSocket(rawValue: rawValue, name: name, path: path)
      case .other(let what):
        throw SystemError(call: what, code: 0)
      }
    } catch {
      // A wrong kind is no failed call; it has no errno.
      let reason = error.code == 0 ? "is \(error.call)" : "cannot be used: \(error)"
      throw ActivationError(
        "\(place) \(reason); a .socket unit with ListenStream=/PATH and Accept=no is right")
    }
  }
}
