import CIPsecMB
import CryptoTypes

// Neighbours of one session that are nothing but AES in CBC or CTR, an HMAC, or both, go to the library as bursts: all
// are finished at once, without a queue of jobs. The library checks nothing of a burst, so that all of it is checked here.
//
// CBC of more than a job may be long is cut into pieces, and there is a burst for the first pieces of all operations, one
// for the second ones, and so on: encryption, serial within a message, is fast only while many messages share the lanes.

extension IPsecMBLane {
  /// The fewest operations of a burst that is not a whole batch: shorter runs of one session go as jobs, which share lanes
  /// with other sessions'.
  private static var fewest: Int { @_noAllocation @_noLocks get { 8 } }
  /// The most operations of a burst.
  static var burstCount: Int { @_noAllocation @_noLocks get { 64 } }
  private static var tagRoom: Int { @_noAllocation @_noLocks get { 64 } }
  static var burstRoomByteCount: Int {
    @_noAllocation @_noLocks get { unsafe burstCount &* (MemoryLayout<IMB_JOB>.stride &+ tagRoom) }
  }

  /// What a session's operations are to a burst.
  private enum BurstKind { case cipher, mac, cipherThenMAC, macThenCipher }

  /// Runs the operations from `start` on that can be run as a burst together; how many these were.
  ///
  /// They come back `done`. Operations of any other kind are none.
  @_noAllocation @_noLocks
  mutating func burst(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>, from start: Int
  ) -> Int {
    // SAFETY: start is in bounds; the caller keeps operations, sessions and what they point to alive.
    let first = unsafe batch[start]
    let session = unsafe first.pointee.session
    let index = unsafe first.pointee.sessionIndex
    guard let kind = unsafe Self.kind(session), index < sessionCapacity else { return 0 }
    let generation = unsafe first.pointee.sessionGeneration
    let limit = Swift.min(batch.count &- start, Self.burstCount)
    var count = 0
    while count < limit {
      let operation = unsafe batch[start &+ count]
      guard unsafe operation.pointee.session == session,
        unsafe operation.pointee.sessionIndex == index,
        unsafe operation.pointee.sessionGeneration == generation,
        unsafe Self.fits(operation, session, kind)
      else { break }
      count &+= 1
    }
    guard count >= Self.fewest || count == batch.count, unsafe keyed(first) == .ok else { return 0 }
    let operations = unsafe UnsafeMutableBufferPointer(rebasing: batch[start..<start &+ count])
    let entry = unsafe self.entry(at: Int(index))
    let isDone =
      switch kind {
      case .cipher: unsafe encipher(operations, session, entry)
      case .mac: unsafe authenticate(operations, session, entry, readsDestination: false)
      case .cipherThenMAC:
        unsafe encipher(operations, session, entry)
          && authenticate(operations, session, entry, readsDestination: true)
      case .macThenCipher:
        unsafe authenticate(operations, session, entry, readsDestination: false)
          && encipher(operations, session, entry)
      }
    var place = 0
    while place < count {
      unsafe operations[place].pointee.disposition = .done
      unsafe operations[place].pointee.outcome = isDone ? .ok : .failed
      place &+= 1
    }
    return count
  }

  /// nil where bursts cannot do what a session does.
  @_noAllocation @_noLocks
  private static func kind(_ session: UnsafePointer<SessionParameters>) -> BurstKind? {
    // SAFETY: the session is alive.
    switch unsafe session.pointee.service {
    case .cipher: return unsafe isCipher(session) ? .cipher : nil
    case .mac: return unsafe isMAC(session) ? .mac : nil
    case .chain:
      guard unsafe isCipher(session), unsafe isMAC(session),
        unsafe session.pointee.hashMode == .authenticated
      else { return nil }
      return unsafe session.pointee.order == .cipherThenHash ? .cipherThenMAC : .macThenCipher
    case .hash, .aead, .akcipher: return nil
    }
  }

  @_noAllocation @_noLocks
  private static func isCipher(_ session: UnsafePointer<SessionParameters>) -> Bool {
    // SAFETY: as above.
    unsafe session.pointee.cipher == .aesCBC || session.pointee.cipher == .aesCTR
  }

  @_noAllocation @_noLocks
  private static func isMAC(_ session: UnsafePointer<SessionParameters>) -> Bool {
    // SAFETY: as above.
    switch unsafe session.pointee.mac {
    case .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512: true
    default: false
    }
  }

  /// Whether an operation's lengths are what a burst takes.
  @_noAllocation @_noLocks
  private static func fits(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ session: UnsafePointer<SessionParameters>, _ kind: BurstKind
  ) -> Bool {
    // SAFETY: as above.
    let byteCount = unsafe operation.pointee.sourceByteCount
    switch kind {
    case .cipher: return unsafe cipherFits(operation, session, byteCount)
    case .mac:
      return unsafe byteCount > 0 && byteCount <= longestHashJob
        && operation.pointee.ivByteCount == 0 && tagFits(operation, session)
    case .cipherThenMAC, .macThenCipher:
      let cipherCount = unsafe operation.pointee.cipherByteCount
      let hashCount = unsafe operation.pointee.hashByteCount
      return unsafe operation.pointee.cipherOffset <= byteCount
        && cipherCount <= byteCount &- operation.pointee.cipherOffset
        && operation.pointee.hashOffset <= byteCount
        && hashCount <= byteCount &- operation.pointee.hashOffset
        && hashCount > 0 && hashCount <= longestHashJob && operation.pointee.aadByteCount == 0
        && cipherFits(operation, session, cipherCount) && tagFits(operation, session)
    }
  }

  @_noAllocation @_noLocks
  private static func cipherFits(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ session: UnsafePointer<SessionParameters>, _ byteCount: UInt32
  ) -> Bool {
    // SAFETY: as above.
    guard byteCount > 0, unsafe operation.pointee.ivByteCount == 16 else { return false }
    return unsafe session.pointee.cipher == .aesCBC
      ? byteCount & 15 == 0 && byteCount <= maximumByteCount
      : byteCount <= longestBlockJob && !wraps(operation.pointee.iv.1, byteCount)
  }

  @_noAllocation @_noLocks
  private static func tagFits(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ session: UnsafePointer<SessionParameters>
  ) -> Bool {
    // SAFETY: as above.
    let wanted = unsafe operation.pointee.resultByteCount
    return unsafe wanted > 0 && wanted <= UInt32(session.pointee.mac.maximumResultByteCount)
  }

  /// Where an operation's IV is.
  @_noAllocation @_noLocks
  private static func iv(
    of operation: UnsafeMutablePointer<CryptoOperation>
  ) -> UnsafeMutableRawPointer {
    // SAFETY: the address of a stored property of a struct in memory that stays where it is until the burst is done.
    unsafe withUnsafeMutablePointer(to: &operation.pointee.iv) {
      UnsafeMutableRawPointer($0)
    }
  }

  /// Enciphers or deciphers; whether all of it was done.
  @_noAllocation @_noLocks
  private func encipher(
    _ operations: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>,
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> Bool {
    // SAFETY: there are as many jobs; ranges were found to be inside the source, and the library reads the IV where it is.
    let isChain = unsafe session.pointee.service == .chain
    let keyByteCount = unsafe UInt64(entry.pointee.cipherKeyByteCount)
    let encryptionKey = unsafe entry.encryptionKey
    let decryptionKey = unsafe entry.decryptionKey
    var longest: UInt32 = 0
    var index = 0
    while index < operations.count {
      let operation = unsafe operations[index]
      if isChain { unsafe copyAround(operation) }
      let offset = unsafe isChain ? Int(operation.pointee.cipherOffset) : 0
      let byteCount =
        unsafe isChain ? operation.pointee.cipherByteCount : operation.pointee.sourceByteCount
      longest = Swift.max(longest, byteCount)
      unsafe cipsecmb_set_cipher_of_burst(
        burstJobs + index, operation.pointee.source + offset,
        operation.pointee.destination + offset, encryptionKey, decryptionKey, keyByteCount,
        Self.iv(of: operation), UInt64(byteCount))
      index &+= 1
    }
    if longest > Self.longestBlockJob {
      return unsafe encipherPieces(operations, session, entry, longest: longest)
    }
    return unsafe cipsecmb_cipher_burst(
      direct, burstJobs, UInt32(truncatingIfNeeded: operations.count), entry.pointee.cipherMode,
      session.pointee.direction == .encrypt, keyByteCount)
  }

  /// Enciphers or deciphers operations in CBC, some of them longer than a job, in bursts over their pieces.
  ///
  /// `longest`: bytes of the longest one.
  @_noAllocation @_noLocks
  @inline(never)
  private func encipherPieces(
    _ operations: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>,
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    longest: UInt32
  ) -> Bool {
    // SAFETY: as for encipher. A piece's IV is the block of ciphertext before it. Decryption in place overwrites it, so it
    // is kept where the tags are made otherwise: in turn at two places of an operation's room, as the piece before still
    // needs its own.
    let isChain = unsafe session.pointee.service == .chain
    let isEncryption = unsafe session.pointee.direction == .encrypt
    let keyByteCount = unsafe UInt64(entry.pointee.cipherKeyByteCount)
    let encryptionKey = unsafe entry.encryptionKey
    let decryptionKey = unsafe entry.decryptionKey
    let blocks = unsafe UnsafeMutableRawPointer(burstJobs + Self.burstCount)
    var done: UInt32 = 0
    var place = 0
    while done < longest {
      var jobCount = 0
      var index = 0
      while index < operations.count {
        let operation = unsafe operations[index]
        let byteCount =
          unsafe isChain ? operation.pointee.cipherByteCount : operation.pointee.sourceByteCount
        let room = unsafe blocks + index &* Self.tagRoom
        index &+= 1
        guard done < byteCount else { continue }
        let start = unsafe Int(isChain ? operation.pointee.cipherOffset : 0) &+ Int(done)
        let source = unsafe operation.pointee.source + start
        let destination = unsafe operation.pointee.destination + start
        let piece = Swift.min(byteCount &- done, Self.longestBlockJob)
        var iv = unsafe UnsafeRawPointer(Self.iv(of: operation))
        if isEncryption {
          if done > 0 { unsafe iv = UnsafeRawPointer(destination - 16) }
        } else {
          if done > 0 { unsafe iv = UnsafeRawPointer(room + place) }
          unsafe cipsecmb_copy(room + (16 &- place), source + Int(piece) - 16, 16)
        }
        unsafe cipsecmb_set_cipher_of_burst(
          burstJobs + jobCount, source, destination, encryptionKey, decryptionKey, keyByteCount,
          iv, UInt64(piece))
        jobCount &+= 1
      }
      guard
        unsafe cipsecmb_cipher_burst(
          direct, burstJobs, UInt32(truncatingIfNeeded: jobCount), entry.pointee.cipherMode,
          isEncryption, keyByteCount)
      else { return false }
      done &+= Self.longestBlockJob
      place = 16 &- place
    }
    return true
  }

  /// Makes the operations' MACs; whether all of it was done.
  ///
  /// `readsDestination`: of what a chain has enciphered, not of the source.
  @_noAllocation @_noLocks
  private func authenticate(
    _ operations: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>,
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    readsDestination: Bool
  ) -> Bool {
    // SAFETY: there are as many jobs, and as many rooms for a tag behind all of them; `tagFits` has seen to the results.
    let isChain = unsafe session.pointee.service == .chain
    let tags = unsafe UnsafeMutableRawPointer(burstJobs + Self.burstCount)
      .assumingMemoryBound(to: UInt8.self)
    let tagByteCount = unsafe UInt32(session.pointee.mac.maximumResultByteCount)
    var index = 0
    while index < operations.count {
      let operation = unsafe operations[index]
      let text =
        unsafe readsDestination
        ? UnsafePointer(operation.pointee.destination) : operation.pointee.source
      let offset = unsafe isChain ? Int(operation.pointee.hashOffset) : 0
      let byteCount =
        unsafe isChain ? operation.pointee.hashByteCount : operation.pointee.sourceByteCount
      unsafe cipsecmb_set_hmac_of_burst(
        burstJobs + index, text + offset, UInt64(byteCount), entry.authKey,
        tags + index &* Self.tagRoom, UInt64(tagByteCount))
      index &+= 1
    }
    guard
      unsafe cipsecmb_hmac_burst(
        direct, burstJobs, UInt32(truncatingIfNeeded: operations.count), entry.pointee.hash)
    else { return false }
    index = 0
    while index < operations.count {
      let operation = unsafe operations[index]
      unsafe cipsecmb_copy(
        operation.pointee.result, tags + index &* Self.tagRoom,
        Int(operation.pointee.resultByteCount))
      index &+= 1
    }
    return true
  }
}
