import CKcapi
import CryptoTypes

/// Sends messages of growing length through a cipher of the kernel's, to see which come back whole.
@safe
struct MessageTrial: ~Copyable {
  private let transform: Int32
  private let ivByteCount: UInt32
  private let memory: UnsafeMutableRawPointer
  private let byteCount: Int

  /// The first lengths that are tried; what is shorter goes through any socket.
  private static let shortest = 4096

  /// nil where the kernel has no cipher to try with, or there is no memory.
  init?(_ table: TransformTable, byteCount: Int) {
    let cipher = [CipherAlgorithm.aesCTR, .aesCBC, .tripleDESCTR].first { cipher in
      table.transform(at: TransformTable.index(of: cipher)).isPresent
    }
    guard let cipher else { return nil }
    let entry = table.transform(at: TransformTable.index(of: cipher))
    guard let name = unsafe entry.name else { return nil }
    let socket = unsafe ckcapi_open(entry.kind.rawValue, name)
    guard socket >= 0 else { return nil }
    let key = [UInt8](0..<24)
    let keyByteCount = KernelName.trialKeyByteCount(of: .cipher(cipher))
    guard unsafe ckcapi_set_key(socket, key, keyByteCount) == 0,
      let memory = unsafe ckcapi_map(byteCount)
    else {
      ckcapi_close(socket)
      return nil
    }
    transform = socket
    ivByteCount = UInt32(cipher.ivByteCount)
    unsafe self.memory = memory
    self.byteCount = byteCount
  }

  deinit {
    ckcapi_close(transform)
    unsafe ckcapi_unmap(memory, byteCount)
  }

  /// The longest message, of those whose lengths are powers of two and the given one, that comes back whole.
  borrowing func longest(upTo most: Int, widens: Bool) -> Int {
    var best = Self.shortest
    var next = Self.shortest * 2
    while best < most {
      let length = min(next, most)
      // SAFETY: the memory has room for the longest message.
      guard unsafe ckcapi_passes(transform, ivByteCount, memory, length, widens) else { break }
      best = length
      next *= 2
    }
    // How the memory lies counts a little, too: what does not pass whole is not used up to the edge.
    return best < most ? best / 8 * 7 : most
  }
}
