public import GuestMemory
internal import LinuxSystem
internal import VhostUserProtocol

/// The buffer in which all rings of a device record what is in flight, mapped apart from guest memory.
///
/// It belongs to the front-end, which may write it at any time and gives it to the next daemon after a crash. Its file
/// cannot get shorter. Shared by the connection and the rings that were started with it.
@safe
public final class InflightBuffer: Sendable {
  private let mapping: MappedMemory
  private let queueCount: Int
  private let queueSize: UInt16
  private let byteCount: Int

  /// Maps what a message describes.
  ///
  /// `maximumQueueCount`: of the device. Throws `inflightBuffer` where the file is not what the message says.
  init(
    _ payload: InflightPayload, file: borrowing FileDescriptor, maximumQueueCount: Int
  ) throws(Refusal) {
    let limit = UInt64(1) << 40
    guard payload.queueCount > 0, Int(payload.queueCount) <= maximumQueueCount,
      payload.queueSize > 0, Int(payload.queueSize) <= VhostUserLimit.ringEntries
    else { throw .inflightBuffer(reason: "the number of queues or their size") }
    guard payload.mmapByteCount < limit, payload.mmapOffset < limit,
      payload.mmapOffset % 4096 == 0
    else { throw .inflightBuffer(reason: "its place in the file") }
    queueCount = Int(payload.queueCount)
    queueSize = payload.queueSize
    byteCount = Int(payload.mmapByteCount)
    // Split rings need least; what packed ones need is seen when one starts.
    let least = InflightLayout.regionByteCount(queueSize: Int(queueSize), isPacked: false)
    guard byteCount >= least * queueCount else {
      throw .inflightBuffer(reason: "too few bytes for its queues")
    }
    guard file.cannotShrink() else { throw .inflightBuffer(reason: "its file is not sealed") }
    let actual: UInt64
    do throws(SystemError) {
      actual = try file.byteCount()
    } catch { throw .inflightBuffer(reason: "\(error)") }
    guard actual >= payload.mmapOffset + payload.mmapByteCount else {
      throw .inflightBuffer(reason: "its file is shorter")
    }
    do throws(SystemError) {
      mapping = try MappedMemory(
        sharing: file, offset: Int(payload.mmapOffset), byteCount: byteCount)
    } catch { throw .inflightBuffer(reason: "\(error)") }
    mapping.excludeFromCoreDumps()
  }

  /// A new file for a buffer, empty, of a size that never changes.
  static func makeFile(byteCount: Int) throws(SystemError) -> FileDescriptor {
    let file = try MemoryFile.make(name: "vhost-inflight", byteCount: byteCount)
    try file.sealSize()
    return file
  }

  /// The part of one queue; nil where it has none, throws where that is too small for the ring.
  ///
  /// - `annexByteCount`: what the device wants beside each record.
  func region(
    ofQueue index: Int, size: UInt16, isPacked: Bool, annexByteCount: Int
  ) throws(QueueStartError) -> InflightRegion? {
    guard index < queueCount else { return nil }
    let regionByteCount = InflightLayout.regionByteCount(
      queueSize: Int(queueSize), isPacked: isPacked)
    guard size <= queueSize, byteCount >= regionByteCount * queueCount else {
      throw QueueStartError(reason: "the buffer of requests in flight is too small for the ring")
    }
    // SAFETY: the regions of all queues lie in the mapping, checked just now.
    let all = unsafe GuestSlice(
      pointer: mapping.base.assumingMemoryBound(to: UInt8.self), byteCount: byteCount)
    return unsafe InflightRegion(
      buffer: self,
      slice: GuestSlice(pointer: all.pointer + index * regionByteCount, byteCount: regionByteCount),
      capacity: queueSize,
      annex: InflightAnnex(
        all, queueIndex: index, queueCount: queueCount,
        regionsByteCount: regionByteCount * queueCount, dataByteCount: annexByteCount))
  }
}

/// One queue's part of the buffer.
@safe
public struct InflightRegion {
  /// Keeps `slice` alive.
  public let buffer: InflightBuffer
  /// Of the size that `capacity` and the kind of ring ask for, on a multiple of 64 bytes.
  public let slice: GuestSlice
  /// Descriptors that it has room for, at least as many as the ring has.
  public let capacity: UInt16
  /// Nil where the device wants none, or the buffer has no room for it.
  public let annex: InflightAnnex?
}
