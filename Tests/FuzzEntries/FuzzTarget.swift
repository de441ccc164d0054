// FuzzEntries: what fuzzers feed, one entry for each parser that a guest, a front-end or an operator reaches.
//
// The fuzzing program and the test that replays the corpus call the same code. An entry plays the other side as the
// input says, and judges what can be judged without knowing what the input means: that nothing outside of the guest's
// memory is handed out or written, that answers have lengths that fit, that nothing leaks.

/// An entry point, by the name that the corpus's folders have.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// A conversation with the server of the vhost-user protocol.
  case messages
  /// A driver that writes a ring and its buffers while the device reads them: split, and packed.
  case splitChains = "split-chains"
  case packedChains = "packed-chains"
  /// Requests on the control queue.
  case controlRequests = "control-requests"
  /// Requests on a data queue, in every layout and dialect.
  case dataRequests = "data-requests"
  /// Asymmetric keys as guests encode them.
  case keys
  /// Text of a capability file.
  case capabilityFile = "capability-file"
  /// The sessions of a device that comes from another host.
  case deviceState = "device-state"
  /// The sessions that an earlier process has left.
  case sessionJournal = "session-journal"

  /// Makes what the entry needs; one is enough for any number of inputs.
  public func entry() throws -> any FuzzEntry {
    switch self {
    case .messages: try MessagesEntry()
    case .splitChains: try ChainsEntry(isPacked: false)
    case .packedChains: try ChainsEntry(isPacked: true)
    case .controlRequests: try ControlRequestsEntry()
    case .dataRequests: try DataRequestsEntry()
    case .keys: try KeysEntry()
    case .capabilityFile: CapabilityFileEntry()
    case .deviceState: try DeviceStateEntry()
    case .sessionJournal: try JournalEntry()
    }
  }
}

/// One parser with its surroundings; used by one thread.
public protocol FuzzEntry: AnyObject {
  /// Runs one input to its end.
  ///
  /// - Throws: `Finding` where something is wrong that did not end the process by itself.
  func run(_ input: inout FuzzInput) throws
}

/// What an entry found, for the person who reads it.
public struct Finding: Error, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

/// Says what has to be true.
func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
  if !condition { throw Finding(what()) }
}
