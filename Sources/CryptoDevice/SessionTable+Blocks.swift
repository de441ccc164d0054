import CRingShims
import CryptoTypes
import LinuxSystem

// Where a session's parameters and keys are.
extension SessionTable {
  /// A block, with the keys behind it or in the journal; nil where there is no memory.
  func makeBlock(
    _ template: SessionParameters, _ request: SessionRequest, at index: UInt32,
    cipherKey: UnsafeRawBufferPointer, authKey: UnsafeRawBufferPointer
  ) -> UnsafeMutablePointer<SessionBlock>? {
    let header = MemoryLayout<SessionBlock>.stride
    let byteCount = journal == nil ? header + cipherKey.count + authKey.count : header
    guard let raw = unsafe pool.take(byteCount) else { return nil }
    let keys: UnsafeMutablePointer<UInt8>
    if let journal {
      unsafe keys = journal.write(
        request, connection: connection, at: Int(index), cipherKey: cipherKey, authKey: authKey)
    } else {
      // SAFETY: the allocation has room for the header and both keys; the sources are the caller's for this call.
      unsafe keys = (raw + header).assumingMemoryBound(to: UInt8.self)
      if let base = cipherKey.baseAddress { unsafe cring_copy(keys, base, cipherKey.count) }
      if let base = authKey.baseAddress {
        unsafe cring_copy(keys + cipherKey.count, base, authKey.count)
      }
    }
    return unsafe fill(
      raw, byteCount: byteCount, template, request, keys: keys,
      counts: (UInt32(cipherKey.count), UInt32(authKey.count)))
  }

  /// A block for keys that are in the journal already; nil where there is no memory.
  func makeBlock(
    _ template: SessionParameters, _ request: SessionRequest,
    keys: UnsafeMutablePointer<UInt8>
  ) -> UnsafeMutablePointer<SessionBlock>? {
    let byteCount = MemoryLayout<SessionBlock>.stride
    guard let raw = unsafe pool.take(byteCount) else { return nil }
    return unsafe fill(
      raw, byteCount: byteCount, template, request, keys: keys,
      counts: (request.cipherKeyByteCount, request.authKeyByteCount))
  }

  private func fill(
    _ raw: UnsafeMutableRawPointer, byteCount: Int, _ template: SessionParameters,
    _ request: SessionRequest, keys: UnsafeMutablePointer<UInt8>, counts: (UInt32, UInt32)
  ) -> UnsafeMutablePointer<SessionBlock> {
    var parameters = template
    unsafe parameters.cipherKey = UnsafePointer(keys)
    parameters.cipherKeyByteCount = counts.0
    unsafe parameters.authKey = UnsafePointer(keys + Int(counts.0))
    parameters.authKeyByteCount = counts.1
    let block = unsafe raw.bindMemory(to: SessionBlock.self, capacity: 1)
    unsafe block.initialize(
      to: SessionBlock(
        parameters: parameters, row: StatisticsRow(parameters).index, byteCount: byteCount,
        request: request, createdAt: UInt64(start.duration(to: clock.now).components.seconds)))
    return unsafe block
  }

  func wipe(_ block: UnsafeMutablePointer<SessionBlock>) {
    // SAFETY: the caller owns the block alone; byteCount is the allocation's.
    let byteCount = unsafe block.pointee.byteCount
    unsafe cring_wipe(block, byteCount)
    unsafe pool.give(UnsafeMutableRawPointer(block), byteCount: byteCount)
  }
}
