import COpenSSL
public import CryptoTypes
public import EngineContract
public import IOUring

/// One worker's share of the engine: keyed contexts per session, reused contexts for stateless requests, scratch.
///
/// Every operation is `done` when `submit` returns. Used by one thread at a time. Wipes and frees all keys when it goes.
@safe
public struct OpenSSLLane: ~Copyable, EngineLane {
  /// The most bytes that one operation may process: libcrypto counts in `int`.
  static var maximumByteCount: UInt32 { @_noAllocation @_noLocks get { 1 << 30 } }

  let algorithms: FetchedAlgorithms
  /// Sessions of lower index have an entry in `entries`.
  let sessionCapacity: UInt32
  /// The sessions' contexts, by index; behind them one entry for stateless requests and one for trials.
  let entries: UnsafeMutablePointer<KeyedContexts>
  let entriesByteCount: Int
  /// The sessions that have contexts here.
  private var keyed: KeyedSessions
  /// A table in use up to this index keeps its memory, so that a guest whose few sessions come and go costs no system
  /// calls.
  private static var residentCount: Int { @_noAllocation @_noLocks get { 1024 } }
  /// `EVP_MD_CTX`, by `HashAlgorithm`; nil where the digest is not offered.
  let digests: UnsafeMutablePointer<OpaquePointer?>
  /// Contexts that stateless requests share: `EVP_CIPHER_CTX` by `CipherPrimitive` × 3 + place, made at first use.
  ///
  /// The places are `CipherPlace`s.
  let transientCiphers: UnsafeMutablePointer<OpaquePointer?>
  /// The same for `EVP_MAC_CTX`, by `CMACPrimitive`.
  let transientCMACs: UnsafeMutablePointer<OpaquePointer?>
  /// `EVP_MD_CTX` for stateless HMACs, of whatever hash: inner and outer; they stand behind the digests.
  let transientHMAC: UnsafeMutablePointer<OpaquePointer?>
  /// Memory for everything below.
  private let scratch: UnsafeMutablePointer<UInt8>
  /// 64 bytes: a whole digest or MAC before it is cut to the wanted length.
  let digestScratch: UnsafeMutablePointer<UInt8>
  /// Two AES blocks.
  let blockScratch: UnsafeMutablePointer<UInt8>
  /// 16 bytes: the tag of the composed GCM.
  let tagScratch: UnsafeMutablePointer<UInt8>
  /// 256 bytes that stateless contexts are re-keyed with after use.
  ///
  /// Not all alike, or XTS would refuse them.
  let neutralKey: UnsafePointer<UInt8>
  /// A piece of text on its way through the composed GCM, of key stream, or of a CBC-MAC.
  let textScratch: UnsafeMutablePointer<UInt8>
  static var textScratchByteCount: UInt32 { @_noAllocation @_noLocks get { 4096 } }
  private static let scratchByteCount = 4096 + 512
  /// An operation has left its key on the stack: libcrypto's ChaCha20 for AVX2 keeps its state there and leaves it.
  private var keysAreOnStack = false
  /// One retain, which keeps `algorithms` alive.
  private let engine: Unmanaged<OpenSSLEngine>

  /// - Throws: `EngineError` if there is no memory for it, or for an impossible number of sessions.
  public init(engine: OpenSSLEngine, environment: LaneEnvironment) throws(EngineError) {
    let sessionCapacity = environment.sessionCapacity
    guard (0...Int(Int32.max)).contains(sessionCapacity) else {
      throw EngineError("openssl: a lane cannot hold \(sessionCapacity) sessions")
    }
    let byteCount = (sessionCapacity + 2) * MemoryLayout<KeyedContexts>.stride
    // SAFETY: mapped memory is zero and page-aligned, which is a table of empty entries; it is ours until deinit.
    guard let memory = unsafe copenssl_map(byteCount) else {
      throw EngineError("openssl: reserving a lane for \(sessionCapacity) sessions failed")
    }
    // A lane without one of them would lack its hash for as long as it lives.
    guard let contexts = unsafe Self.makeDigestContexts(engine.algorithms) else {
      unsafe copenssl_unmap(memory, byteCount)
      throw EngineError("openssl: no memory for a lane's contexts")
    }
    unsafe digests = contexts
    unsafe transientHMAC = contexts + FetchedAlgorithms.digestCount
    unsafe entries = memory.bindMemory(to: KeyedContexts.self, capacity: sessionCapacity + 2)
    entriesByteCount = byteCount
    keyed = KeyedSessions(capacity: sessionCapacity)
    self.sessionCapacity = UInt32(sessionCapacity)
    unsafe algorithms = engine.algorithms
    unsafe self.engine = Unmanaged.passRetained(engine)
    unsafe transientCiphers = Self.makeTable(
      count: FetchedAlgorithms.cipherCount * CipherPlace.count)
    unsafe transientCMACs = Self.makeTable(count: FetchedAlgorithms.cmacCount)
    unsafe scratch = .allocate(capacity: Self.scratchByteCount)
    unsafe scratch.initialize(repeating: 0, count: Self.scratchByteCount)
    unsafe digestScratch = scratch
    unsafe blockScratch = scratch + 64
    unsafe tagScratch = scratch + 96
    unsafe neutralKey = UnsafePointer(scratch + 128)
    unsafe textScratch = scratch + 512
    for index in 0..<256 { unsafe scratch[128 + index] = UInt8(truncatingIfNeeded: index) }
  }

  deinit {
    // SAFETY: nobody else has these pointers; the engine, which owns the fetched objects, goes last.
    for index in 0..<keyed.end where keyed.contains(index) {
      unsafe discard(entries + index, isTransient: false)
    }
    unsafe Self.freeDigestContexts(digests)
    for index in 0..<FetchedAlgorithms.cipherCount * CipherPlace.count {
      unsafe copenssl_cipher_free(transientCiphers[index])
    }
    for index in 0..<FetchedAlgorithms.cmacCount { unsafe copenssl_mac_free(transientCMACs[index]) }
    unsafe copenssl_wipe(scratch, Self.scratchByteCount)
    unsafe scratch.deallocate()
    unsafe transientCiphers.deallocate()
    unsafe transientCMACs.deallocate()
    unsafe copenssl_unmap(entries, entriesByteCount)
    unsafe engine.release()
  }

  private static func makeTable(count: Int) -> UnsafeMutablePointer<OpaquePointer?> {
    let table = UnsafeMutablePointer<OpaquePointer?>.allocate(capacity: count)
    unsafe table.initialize(repeating: nil, count: count)
    return unsafe table
  }

  /// The contexts of the digests that are offered, and two more; nil where there is no memory for all of them.
  private static func makeDigestContexts(
    _ algorithms: FetchedAlgorithms
  ) -> UnsafeMutablePointer<OpaquePointer?>? {
    let count = FetchedAlgorithms.digestCount
    let table = unsafe makeTable(count: count + 2)
    for index in 0..<count + 2 where unsafe index >= count || algorithms.digests[index] != nil {
      unsafe table[index] = EVP_MD_CTX_new()
      guard unsafe table[index] != nil else {
        unsafe freeDigestContexts(table)
        return nil
      }
    }
    return unsafe table
  }

  private static func freeDigestContexts(_ table: UnsafeMutablePointer<OpaquePointer?>) {
    for index in 0..<FetchedAlgorithms.digestCount + 2 { unsafe EVP_MD_CTX_free(table[index]) }
    unsafe table.deallocate()
  }

  /// Always 0: operations are finished when `submit` returns.
  public var inFlightCount: Int { @_noAllocation @_noLocks get { 0 } }

  /// Does nothing: no operation waits.
  @_noAllocation @_noLocks
  public mutating func flush() {}

  /// Does nothing: no completion is this engine's.
  @_noAllocation @_noLocks
  public mutating func take(_ completion: Completion) {}

  /// Always nil: no operation is in flight.
  @_noAllocation @_noLocks
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? { nil }

  /// Runs operations; each is `done` afterwards, with its `outcome`.
  @_noAllocation @_noLocks
  public mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    var index = 0
    while index < batch.count {
      // SAFETY: index is in bounds; the caller keeps operations and what they point to alive until they are done.
      let operation = unsafe batch[index]
      unsafe operation.pointee.outcome = unsafe run(operation)
      unsafe operation.pointee.disposition = .done
      index &+= 1
    }
    if keysAreOnStack {
      copenssl_wipe_stack()
      keysAreOnStack = false
    }
  }

  /// Wipes and frees the keys of a session; an index without keys is fine.
  @_noAllocation @_noLocks
  public mutating func forget(sessionIndex: UInt32) {
    guard sessionIndex < sessionCapacity else { return }
    let end = keyed.end
    if case .absent = keyed.remove(Int(sessionIndex)) { return }
    // SAFETY: the index is in bounds.
    unsafe discard(entries + Int(sessionIndex), isTransient: false)
    if keyed.count == 0, end > Self.residentCount {
      // SAFETY: every entry is empty, which is what zeroed pages are; the count is rounded down to whole pages.
      let byteCount = end &* MemoryLayout<KeyedContexts>.stride
      unsafe copenssl_give_back(entries, byteCount & ~4095)
    }
  }

  /// Whether the keys can be expanded; they are wiped again at once.
  @_noAllocation @_noLocks
  public mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    // SAFETY: the caller keeps the session alive; the second extra entry is for trials only.
    let trial = unsafe entries + Int(sessionCapacity) + 1
    let outcome = unsafe expand(session, into: trial, generation: 0, isTransient: false)
    unsafe discard(trial, isTransient: false)
    return outcome
  }

  @_noAllocation @_noLocks
  private mutating func run(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome {
    // SAFETY: as for submit; entries are in bounds by the comparison with the capacity.
    let session = unsafe operation.pointee.session
    guard
      unsafe operation.pointee.sourceByteCount <= Self.maximumByteCount,
      unsafe operation.pointee.aadByteCount <= Self.maximumByteCount
    else { return .failed }
    let index = unsafe operation.pointee.sessionIndex
    if index >= sessionCapacity {
      let entry = unsafe entries + Int(sessionCapacity)
      var outcome = unsafe expand(session, into: entry, generation: 0, isTransient: true)
      if outcome == .ok { outcome = unsafe perform(operation, with: entry, isTransient: true) }
      unsafe discard(entry, isTransient: true)
      return outcome
    }
    let entry = unsafe entries + Int(index)
    let generation = unsafe operation.pointee.sessionGeneration
    if unsafe entry.pointee.recipe.isEmpty || entry.pointee.generation != generation {
      unsafe discard(entry, isTransient: false)
      let outcome = unsafe expand(
        session, into: entry, generation: generation, isTransient: false)
      guard outcome == .ok else {
        _ = keyed.remove(Int(index))
        return outcome
      }
      keyed.insert(Int(index))
    }
    let outcome = unsafe perform(operation, with: entry, isTransient: false)
    if outcome == .failed, case .asymmetric = unsafe entry.pointee.recipe {
      // Where libcrypto ran out of memory while it renewed RSA's blinding factors, the two no longer belong together, and
      // results would be wrong from then on: the key is read anew.
      unsafe discard(entry, isTransient: false)
      _ = keyed.remove(Int(index))
    }
    return outcome
  }

  @_noAllocation @_noLocks
  private mutating func perform(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: the entry was expanded for the operation's session.
    let outcome: CryptoOutcome
    switch unsafe entry.pointee.recipe {
    case .empty: return .failed
    case .cipher: unsafe outcome = runCipher(operation, with: entry)
    case .hash: unsafe outcome = runHash(operation)
    case .mac: unsafe outcome = runMAC(operation, with: entry)
    case .gmac: unsafe outcome = runGMAC(operation, with: entry)
    case .gcm: unsafe outcome = runGCM(operation, with: entry, isTransient: isTransient)
    case .ccm: unsafe outcome = runCCM(operation, with: entry)
    case .chacha20Poly1305:
      keysAreOnStack = true
      unsafe outcome = runAEAD(operation, with: entry)
    case .chain: unsafe outcome = runChain(operation, with: entry)
    case .asymmetric: unsafe outcome = runAsymmetric(operation, with: entry)
    case .asymmetricComponents: unsafe outcome = runComponents(operation)
    }
    // What libcrypto queued about a failure must not pile up, nor be taken for a later one's.
    if outcome != .ok { copenssl_clear_errors() }
    return outcome
  }
}
