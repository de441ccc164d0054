import CLinuxShims
import Glibc
import Synchronization

/// Memory for keys: kept from the swap as far as the process's limit goes, and out of core dumps.
public enum SecretMemory {
  /// Bytes that may be locked; nil: any number.
  public static var limit: UInt64? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else {
      return 0
    }
    return limit.rlim_cur == rlim_t.max ? nil : UInt64(limit.rlim_cur)
  }

  /// Lifts the limit where the process may, as root does, for whom there is none; else raises it to the hard one.
  ///
  /// Memory of io_uring counts against the same limit, separately.
  public static func raiseLimit() {
    var limit = rlimit()
    let resource = __rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue)
    guard unsafe getrlimit(resource, &limit) == 0 else { return }
    var unlimited = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
    if geteuid() == 0, unsafe setrlimit(resource, &unlimited) == 0 { return }
    limit.rlim_cur = limit.rlim_max
    unsafe _ = setrlimit(resource, &limit)
  }

  /// Bytes of mappings that could not be locked so far, in all.
  public static var refusedByteCount: UInt64 { clinux_unlocked_secrets() }

  private static let hasComplained = Atomic(false)

  /// Whether something could not be locked, told once.
  public static func shouldComplain() -> Bool {
    refusedByteCount > 0 && !hasComplained.exchange(true, ordering: .relaxed)
  }
}

extension MappedMemory {
  /// Keeps what is written there from the swap, if the limit allows, and out of core dumps.
  ///
  /// Pages are locked when they are first touched; all of them count.
  public borrowing func holdSecrets() { unsafe clinux_hold_secrets(base, byteCount) }

  /// The same of a part, at multiples of the page size.
  public borrowing func holdSecrets(offset: Int, byteCount: Int) {
    precondition(offset >= 0 && byteCount >= 0 && offset <= self.byteCount - byteCount)
    // SAFETY: the part lies inside the mapping, checked above.
    unsafe clinux_hold_secrets(base + offset, byteCount)
  }
}

extension MappedMemory {
  /// A mapping with several owners.
  final class Shared {
    private let memory: MappedMemory
    var base: UnsafeMutableRawPointer { unsafe memory.base }

    init(reserving byteCount: Int) throws(SystemError) {
      memory = try MappedMemory(reserving: byteCount)
    }

    func holdSecrets() { memory.holdSecrets() }
  }
}

/// Blocks for keys, out of mappings that hold secrets; for one thread at a time.
///
/// Pages with keys so hold nothing else, and are locked as they are needed: a limit that does not reach for all sessions
/// reaches for the first. A chunk of memory has blocks of one size, and goes back to the system with the last of them.
@safe
public final class SecretPool {
  /// A power of two, at whose multiples chunks begin.
  private static let chunkByteCount = 256 << 10
  /// Blocks of 64, 128, … 1024 bytes, then of 2, 4, 8 and 16 KiB; larger ones have a mapping of their own.
  private static let classCount = 20

  /// By their beginnings.
  private var chunks: [UInt: Chunk] = [:]
  /// Chunks with room, for each size; the last one is used.
  private var roomy = [[Chunk]](repeating: [], count: classCount)
  private var large: [UInt: MappedMemory.Shared] = [:]

  @safe
  private final class Chunk {
    let index: Int
    let base: UnsafeMutableRawPointer
    /// Blocks handed out.
    var liveCount = 0
    private let memory: MappedMemory
    private let blockByteCount: Int
    /// The first of the blocks that came back; each begins with the address of the next one.
    private var free: UnsafeMutableRawPointer?
    /// Bytes from which on nothing was handed out yet.
    private var used = 0

    init(index: Int) throws(SystemError) {
      self.index = index
      blockByteCount = SecretPool.byteCount(ofClass: index)
      memory = try MappedMemory(reserving: 2 * chunkByteCount)
      // SAFETY: the chunk lies inside of what is mapped, which is twice as long.
      let start = UInt(bitPattern: unsafe memory.base)
      let slack = (UInt(chunkByteCount) - start % UInt(chunkByteCount)) % UInt(chunkByteCount)
      unsafe base = memory.base + Int(slack)
      unsafe clinux_hold_secrets(base, chunkByteCount)
    }

    var isFull: Bool { unsafe free == nil && used + blockByteCount > chunkByteCount }

    /// The caller has seen that the chunk is not full.
    func take() -> UnsafeMutableRawPointer {
      liveCount += 1
      // SAFETY: blocks on the list are the chunk's, and nobody else's; fresh ones end inside of it.
      if let block = unsafe free {
        unsafe free = block.load(as: UnsafeMutableRawPointer?.self)
        return unsafe block
      }
      used += blockByteCount
      return unsafe base + (used - blockByteCount)
    }

    func give(_ block: UnsafeMutableRawPointer) {
      liveCount -= 1
      // SAFETY: as above; a block has at least 64 bytes.
      unsafe block.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
      unsafe free = block
    }
  }

  public init() {}

  /// Uninitialized memory that is aligned to 64 bytes, and stays the pool's; nil when the host has no more.
  public func take(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let index = Self.classIndex(byteCount)
    guard index < Self.classCount else {
      guard let memory = try? MappedMemory.Shared(reserving: byteCount) else { return nil }
      memory.holdSecrets()
      let base = unsafe memory.base
      large[UInt(bitPattern: base)] = memory
      return unsafe base
    }
    if roomy[index].isEmpty {
      guard let chunk = try? Chunk(index: index) else { return nil }
      unsafe chunks[UInt(bitPattern: chunk.base)] = chunk
      roomy[index].append(chunk)
    }
    guard let chunk = roomy[index].last else { return nil }
    let block = unsafe chunk.take()
    if chunk.isFull { roomy[index].removeLast() }
    return unsafe block
  }

  /// Takes back a block of that size, which the caller has wiped.
  public func give(_ block: UnsafeMutableRawPointer, byteCount: Int) {
    let address = UInt(bitPattern: block)
    let index = Self.classIndex(byteCount)
    guard index < Self.classCount else {
      large[address] = nil
      return
    }
    let start = address & ~UInt(Self.chunkByteCount - 1)
    guard let chunk = chunks[start], chunk.index == index else {
      preconditionFailure("a block that is not the pool's")
    }
    let wasFull = chunk.isFull
    unsafe chunk.give(block)
    if wasFull { roomy[index].append(chunk) }
    // One of each size stays, so that a single session that comes and goes costs no system call.
    guard chunk.liveCount == 0, roomy[index].count > 1 else { return }
    roomy[index].removeAll { $0 === chunk }
    chunks[start] = nil
  }

  private static func classIndex(_ byteCount: Int) -> Int {
    if byteCount <= 1024 { return max(byteCount - 1, 0) / 64 }
    // 16 for up to 2 KiB.
    return Int.bitWidth - (byteCount - 1).leadingZeroBitCount + 5
  }

  private static func byteCount(ofClass index: Int) -> Int {
    index < 16 ? 64 * (index + 1) : 2048 << (index - 16)
  }
}
