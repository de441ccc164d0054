internal import Glibc
public import VhostUserProtocol

/// The device's state, as a virtual machine monitor takes it from one host to another.
extension Frontend {
  /// SET_DEVICE_STATE_FD with any words and a descriptor; the answer as it came.
  public func setDeviceState(
    _ payload: StateTransferPayload, descriptor: Int32
  ) throws(FrontendError) -> UInt64 {
    try number(
      in: call(.setDeviceStateDescriptor, payload: payload.encoded, descriptors: [descriptor]))
  }

  /// CHECK_DEVICE_STATE: 0 where all went well.
  public func checkDeviceState() throws(FrontendError) -> UInt64 {
    try number(in: call(.checkDeviceState))
  }

  private func begin(
    _ direction: StateTransferDirection, _ descriptor: Int32
  ) throws(FrontendError) {
    try require(ProtocolFeature.deviceState, "PROTOCOL_F_DEVICE_STATE")
    let answer = try setDeviceState(
      StateTransferPayload(direction: direction.rawValue), descriptor: descriptor)
    guard answer == StateTransferPayload.noDescriptor else {
      throw .refused(message: "SET_DEVICE_STATE_FD", value: answer)
    }
  }

  /// The device's state, all of it, through a pipe.
  ///
  /// - Throws: `refused` where the back-end does not send it, or says afterwards that it could not.
  public func saveDeviceState() throws(FrontendError) -> [UInt8] {
    let (reader, writer) = try Self.pipe()
    try begin(.save, writer.descriptor)
    // Its end is the back-end's alone now, whose closing is the end of the state.
    writer.close()
    var state: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      guard
        try waitUntilReadable(reader.descriptor, milliseconds: options.timeoutMilliseconds)
      else {
        throw .timedOut(
          waitingFor: "the device's state", milliseconds: options.timeoutMilliseconds)
      }
      // SAFETY: the array has as many bytes as are asked for.
      let count = try retrying("reading the device's state") {
        unsafe read(reader.descriptor, &chunk, chunk.count)
      }
      guard count > 0 else { break }
      state += chunk.prefix(count)
    }
    let result = try checkDeviceState()
    guard result == 0 else { throw .refused(message: "CHECK_DEVICE_STATE", value: result) }
    return state
  }

  /// Gives a device its state, through a pipe.
  ///
  /// - Throws: `refused` where the back-end does not take it.
  public func loadDeviceState(_ state: [UInt8]) throws(FrontendError) {
    let (reader, writer) = try Self.pipe()
    // A back-end that has seen enough closes its end.
    _ = signal(SIGPIPE, SIG_IGN)
    try begin(.load, reader.descriptor)
    reader.close()
    try Self.write(state, to: writer.descriptor)
    writer.close()
    let result = try checkDeviceState()
    guard result == 0 else { throw .refused(message: "CHECK_DEVICE_STATE", value: result) }
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(FrontendError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      do throws(FrontendError) {
        let count = try retrying("writing the device's state") {
          unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        }
        rest = rest.dropFirst(count)
      } catch {
        if case .system(_, EPIPE) = error { return }
        throw error
      }
    }
  }

  /// An end of a pipe.
  private final class PipeEnd {
    private var file: OwnedFile?
    var descriptor: Int32 { file?.descriptor ?? -1 }

    init(_ descriptor: Int32) { file = OwnedFile(descriptor: descriptor) }

    func close() { file = nil }
  }

  private static func pipe() throws(FrontendError) -> (PipeEnd, PipeEnd) {
    var ends: [Int32] = [-1, -1]
    // SAFETY: the array has room for both ends.
    _ = try retrying("making a pipe") { unsafe Glibc.pipe(&ends) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (PipeEnd(ends[0]), PipeEnd(ends[1]))
  }
}
