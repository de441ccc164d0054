import Foundation

/// The file that the fault injector in the daemon looks at; it outlives daemons, and so do its counts.
///
/// Its records are described in Tests/FaultInjector/include/FaultInjector.h.
public final class Faults {
  /// What can be made to fail; the raw value is the name in the file.
  public enum Kind: String, CaseIterable {
    case libcrypto
    case ipsecMB = "ipsec-mb"
    case kernel
    case allocation
    case manager = "mb-manager"
    case mapping = "mmap"
    case memoryFile = "memfd"
    case eventFD = "eventfd"
    case accept
    case thread
    case ringSetup = "uring-setup"
    case ringCall = "uring-call"
    case interrupt
    case leakedMemory = "leak-memory"
    case leakedDescriptor = "leak-fd"
    case leakedThread = "leak-thread"
  }

  private static let recordByteCount = 40
  private let memory: UnsafeMutableRawPointer
  private var offsets: [Kind: Int] = [:]
  /// Faults by kind that are always on: leaks, in runs that have to fail.
  private let standing: [Kind: UInt64]

  /// Maps the file; its names are there as soon as a daemon has started.
  public init(path: String, standing: [Kind: UInt64] = [:]) throws {
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(file) }
    let byteCount = Self.recordByteCount * Kind.allCases.count
    guard file >= 0, ftruncate(file, byteCount) == 0,
      let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
      memory != MAP_FAILED
    else { throw TestSupportError("no file of faults at \(path): errno \(errno)") }
    self.memory = memory
    self.standing = standing
  }

  deinit { munmap(memory, Self.recordByteCount * Kind.allCases.count) }

  /// Finds the records, which the daemon has named, and sets the standing rates.
  public func begin() throws {
    for index in Kind.allCases.indices {
      let offset = Self.recordByteCount * index
      let name = String(
        cString: (memory + offset).assumingMemoryBound(to: CChar.self))
      guard let kind = Kind(rawValue: name) else {
        throw TestSupportError("the daemon does not preload the fault injector ('\(name)')")
      }
      offsets[kind] = offset
    }
    none()
  }

  private func word(_ kind: Kind, _ index: Int) -> UnsafeMutablePointer<UInt64> {
    (memory + (offsets[kind] ?? 0) + 16 + 8 * index).assumingMemoryBound(to: UInt64.self)
  }

  /// Makes these fail so many times in a million, and all others never.
  public func set(_ rates: [Kind: UInt64]) {
    for kind in Kind.allCases { word(kind, 0).pointee = rates[kind] ?? standing[kind] ?? 0 }
  }

  public func none() { set([:]) }

  /// Makes nothing fail or leak, until rates are set again.
  public func pause() { for kind in Kind.allCases { word(kind, 0).pointee = 0 } }

  /// How many calls have failed.
  public func count(_ kind: Kind) -> UInt64 { word(kind, 2).pointee }

  /// One line for each kind: faults, and among how many calls.
  public var report: String {
    let lines = Kind.allCases.filter { word($0, 1).pointee > 0 }.map {
      "  \($0.rawValue): \(count($0)) of \(word($0, 1).pointee) calls"
    }
    return (["faults injected:"] + lines).joined(separator: "\n")
  }
}
