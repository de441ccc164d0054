internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// What one read from a socket brought.
enum ReceiveOutcome {
  case bytes(Int)
  case wouldBlock
  case closed
  case failed(SystemError)
}

extension FileDescriptor {
  /// Fills the buffer from `offset` on with what the socket has now, and gathers the descriptors that come along.
  borrowing func receive(
    into buffer: inout [UInt8], from offset: Int, descriptors: inout IncomingDescriptors
  ) -> ReceiveOutcome {
    // SAFETY: `rebasing` keeps the window inside the array, which the call borrows for its duration.
    let result = unsafe buffer.withUnsafeMutableBytes {
      bytes -> Result<ReceivedBytes, SystemError> in
      do throws(SystemError) {
        return .success(
          try unsafe receive(
            into: UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]),
            maximumDescriptors: IncomingDescriptors.limit))
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let received):
      descriptors.append(received.descriptors, wereTruncated: received.descriptorsWereTruncated)
      return received.byteCount == 0 ? .closed : .bytes(received.byteCount)
    case .failure(let error):
      switch error.code {
      case EAGAIN: return .wouldBlock
      case ECONNRESET: return .closed
      default: return .failed(error)
      }
    }
  }

  /// Sends all bytes without waiting; false when the peer is gone or does not read.
  ///
  /// Answers are small and the socket's buffer is not: one that does not fit has thousands unread before it.
  borrowing func sendWhole(_ message: [UInt8], descriptors: [Int32] = []) -> Bool {
    guard let sent = try? send(message, descriptors: descriptors) else { return false }
    return sent == message.count
  }

  /// Adds one to an eventfd that a front-end gave, unless that would block.
  borrowing func signal() {
    // The descriptor is the front-end's: it may be blocking and full, or no eventfd at all.
    guard (try? isWritable()) == true else { return }
    _ = try? write(1)
  }
}

extension Array where Element == UInt8 {
  /// Overwrites the elements in a way that the optimizer keeps.
  mutating func wipe() {
    // SAFETY: the pointer is the array's own for the duration of the call.
    unsafe withUnsafeMutableBytes { bytes in
      if let start = bytes.baseAddress { unsafe explicit_bzero(start, bytes.count) }
    }
  }
}
