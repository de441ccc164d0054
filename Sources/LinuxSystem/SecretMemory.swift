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
}

/// Blocks for keys, out of mappings that hold secrets; for one thread at a time.
///
/// Pages with keys so hold nothing else, and are locked as they are needed: a limit that does not reach for all sessions
/// reaches for the first.
@safe
public final class SecretPool {
  private static let chunkByteCount = 256 << 10
  /// Multiples of 64 bytes up to 2 KiB, then 4, 8 and 16 KiB; larger blocks have a mapping of their own.
  private static let classCount = 35
  private static let steppedCount = 32
  /// So many chunks are kept when no block is in use.
  private static let keptChunkCount = 4

  private var chunks: [Chunk] = []
  private var large: [UInt: Chunk] = [:]
  private var free = unsafe [[UnsafeMutableRawPointer]](repeating: [], count: classCount)
  private var next: UnsafeMutableRawPointer?
  private var left = 0
  private var usedCount = 0

  private final class Chunk {
    let memory: MappedMemory

    init(byteCount: Int) throws(SystemError) {
      memory = try MappedMemory(reserving: byteCount)
      memory.holdSecrets()
    }
  }

  public init() {}

  /// Uninitialized memory that is aligned to 64 bytes, and stays the pool's; nil when the host has no more.
  public func take(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    let index = Self.classIndex(byteCount)
    guard index < Self.classCount else {
      guard let chunk = try? Chunk(byteCount: byteCount) else { return nil }
      let base = unsafe chunk.memory.base
      large[UInt(bitPattern: base)] = chunk
      return unsafe base
    }
    if let block = unsafe free[index].popLast() {
      usedCount += 1
      return unsafe block
    }
    let size = Self.size(index)
    if left < size {
      guard let chunk = try? Chunk(byteCount: Self.chunkByteCount) else { return nil }
      chunks.append(chunk)
      unsafe next = chunk.memory.base
      left = Self.chunkByteCount
    }
    guard let block = unsafe next else { return nil }
    // SAFETY: size ≤ left, so the chunk goes on at least to there.
    unsafe next = block + size
    left -= size
    usedCount += 1
    return unsafe block
  }

  /// Takes back a block of that size, which the caller has wiped.
  public func give(_ block: UnsafeMutableRawPointer, byteCount: Int) {
    let index = Self.classIndex(byteCount)
    guard index < Self.classCount else {
      large[UInt(bitPattern: block)] = nil
      return
    }
    unsafe free[index].append(block)
    usedCount -= 1
    if usedCount == 0, chunks.count > Self.keptChunkCount { giveAllBack() }
  }

  /// Returns what many blocks have taken, once none is in use.
  private func giveAllBack() {
    unsafe free = unsafe [[UnsafeMutableRawPointer]](repeating: [], count: Self.classCount)
    unsafe next = nil
    left = 0
    chunks = []
  }

  private static func classIndex(_ byteCount: Int) -> Int {
    if byteCount <= 64 * steppedCount { return max(byteCount - 1, 0) / 64 }
    return steppedCount + Int.bitWidth - 12 - (byteCount - 1).leadingZeroBitCount
  }

  private static func size(_ index: Int) -> Int {
    index < steppedCount ? 64 * (index + 1) : 4096 << (index - steppedCount)
  }
}
