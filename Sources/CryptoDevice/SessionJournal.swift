import CRingShims
public import LinuxSystem

/// The sessions of one device, in a file in memory that can outlive the process: the only place where their keys are.
///
/// Whenever the process ends, between any two instructions, the file says truly which sessions there are: a session is
/// written whole and then its identifier, in one store; it ends with the identifier's, and is wiped after that. A
/// process that is killed has made all stores before that point and none behind, so that their order is all it takes.
/// Used by one thread.
@safe
public final class SessionJournal {
  let layout: JournalLayout
  let file: FileDescriptor
  let memory: MappedMemory
  /// Locked so far, in pages from the first slot on.
  private var lockedByteCount = 0
  /// Chunks of long keys that are locked.
  private var lockedChunks: Set<Int> = []
  var usedCount = 0
  /// Whose sessions they are; nil: nobody's that could come back.
  var owner: OwnerRecord?
  /// Up to where the guest was shown answers of the control queue, while a request of that is carried out.
  var requestPosition: UInt32?
  /// Whether there is a mark of ours.
  var isMarked = false

  /// Locking is by as much at a time.
  private static let chunkByteCount = 256 << 10

  /// The file, for whoever keeps it; the journal's to close.
  public var descriptor: Int32 { file.rawValue }
  public var slotCount: Int { layout.slotCount }

  /// Makes a journal without sessions.
  ///
  /// `name`: shown in `/proc/PID/maps`, for people.
  public init(name: String, slotCount: Int) throws(SystemError) {
    layout = JournalLayout(slotCount: slotCount)
    file = try MemoryFile.makeSealed(name: name, byteCount: layout.byteCount)
    memory = try MappedMemory(sharing: file, offset: 0, byteCount: layout.byteCount)
    memory.excludeFromCoreDumps()
    store(JournalLayout.magic, at: 0)
    store(UInt64(JournalLayout.version) | UInt64(slotCount) << 32, at: 8)
    store(
      UInt64(JournalLayout.slotByteCount) | UInt64(JournalLayout.longKeysByteCount) << 32, at: 16)
    store(UInt64(layout.byteCount), at: 24)
    store(Self.headerCheck(memory), at: 32)
    markUsed(0)
    // Both owner records are nobody's, as zeros say.
  }

  /// Takes over a journal of an earlier process, and believes nothing that it says before it has checked it.
  ///
  /// Throws what is wrong; then nothing of it may be used.
  public init(adopting file: consuming FileDescriptor) throws(JournalError) {
    let memory: MappedMemory
    let layout: JournalLayout
    do throws(SystemError) {
      guard try file.hasSealedSize() else { throw SystemError(call: "not sealed", code: 0) }
      let size = try file.byteCount()
      guard size >= UInt64(JournalLayout.pageByteCount),
        size <= UInt64(JournalLayout(slotCount: JournalLayout.maximumSlotCount).byteCount)
      else { throw SystemError(call: "\(size) bytes", code: 0) }
      memory = try MappedMemory(sharing: file, offset: 0, byteCount: Int(size))
    } catch {
      throw JournalError(error.code == 0 ? "the file is \(error.call)" : "\(error)")
    }
    memory.excludeFromCoreDumps()
    guard Self.word(memory, 0) == JournalLayout.magic else {
      throw JournalError("it is no journal")
    }
    let version = UInt32(truncatingIfNeeded: Self.word(memory, 8))
    guard version == JournalLayout.version else {
      throw JournalError(
        "it has version \(version), and this program reads \(JournalLayout.version)")
    }
    let slotCount = Int(Self.word(memory, 8) >> 32)
    guard Self.word(memory, 32) == Self.headerCheck(memory), slotCount >= 1,
      slotCount <= JournalLayout.maximumSlotCount
    else { throw JournalError("its header is damaged") }
    layout = JournalLayout(slotCount: slotCount)
    guard
      Self.word(memory, 16)
        == UInt64(JournalLayout.slotByteCount) | UInt64(JournalLayout.longKeysByteCount) << 32,
      Self.word(memory, 24) == UInt64(layout.byteCount), memory.byteCount == layout.byteCount
    else { throw JournalError("its sizes disagree") }
    self.layout = layout
    self.file = file
    self.memory = memory
    try adoptHeader()
    try adoptSlots()
  }

  /// A word of the header.
  private static func word(_ memory: borrowing MappedMemory, _ offset: Int) -> UInt64 {
    // SAFETY: the header's page is mapped.
    unsafe UInt64(littleEndian: memory.base.load(fromByteOffset: offset, as: UInt64.self))
  }

  private static func headerCheck(_ memory: borrowing MappedMemory) -> UInt64 {
    var check = RecordCheck(1)
    for offset in stride(from: 0, to: 32, by: 8) { check.add(word(memory, offset)) }
    return check.value
  }

  private func adoptHeader() throws(JournalError) {
    let used = unsafe UInt64(
      littleEndian: memory.base.load(fromByteOffset: JournalLayout.usedOffset, as: UInt64.self))
    let count = UInt32(truncatingIfNeeded: used)
    guard UInt32(truncatingIfNeeded: used >> 32) == ~count, Int(count) <= slotCount else {
      throw JournalError("its number of slots is damaged")
    }
    usedCount = Int(count)
    lock(upTo: usedCount)
    let selector = unsafe UInt32(
      littleEndian: memory.base.load(
        fromByteOffset: JournalLayout.ownerSelectorOffset, as: UInt32.self))
    guard selector <= 1 else { throw JournalError("the owner's record is damaged") }
    owner = unsafe try OwnerRecord.load(
      memory.base + JournalLayout.ownerOffset + Int(selector) * OwnerRecord.byteCount)
  }

  /// Checks every session, and wipes what was left of those that had not begun or had ended.
  private func adoptSlots() throws(JournalError) {
    for index in 0..<usedCount where identifier(at: index) != 0 { try check(index) }
    for index in 0..<usedCount where identifier(at: index) == 0 { erase(index) }
  }

  private func check(_ index: Int) throws(JournalError) {
    let identifier = identifier(at: index)
    guard identifier & 0xffff_ffff == UInt64(index),
      identifier >> 32 == UInt64(generation(of: index)),
      (1...0x7fff_ffff).contains(identifier >> 32)
    else { throw JournalError("session \(index) has another's identifier") }
    guard let keyByteCount = request(at: index).keyByteCount,
      keyByteCount <= JournalLayout.longKeysByteCount,
      storedCheck(at: index) == computedCheck(of: index, identifier, keyByteCount: keyByteCount)
    else { throw JournalError("session \(index) is damaged") }
    if keyByteCount > JournalLayout.shortKeysByteCount { lockLongKeys(index) }
  }

  // MARK: - Places

  private func store(_ value: UInt64, at offset: Int) {
    // SAFETY: offsets are the layout's, inside the mapping.
    unsafe memory.base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
  }

  func slot(_ index: Int) -> UnsafeMutableRawPointer {
    precondition(index >= 0 && index < slotCount, "no slot \(index)")
    // SAFETY: the slot lies inside the mapping, checked above.
    return unsafe memory.base + layout.slotOffset(index)
  }

  func keys(_ index: Int, byteCount: Int) -> UnsafeMutableRawPointer {
    unsafe byteCount <= JournalLayout.shortKeysByteCount
      ? slot(index) + JournalLayout.keysOffset : memory.base + layout.longKeysOffset(index)
  }

  func identifier(at index: Int) -> UInt64 {
    unsafe UInt64(littleEndian: cring_load64_relaxed(slot(index)))
  }

  func generation(of index: Int) -> UInt32 {
    precondition(index >= 0 && index < slotCount, "no slot \(index)")
    return unsafe UInt32(
      littleEndian: memory.base.load(
        fromByteOffset: layout.generationOffset(index), as: UInt32.self))
  }

  func connection(of index: Int) -> UInt32 {
    unsafe UInt32(
      littleEndian: slot(index).load(
        fromByteOffset: JournalLayout.connectionOffset, as: UInt32.self))
  }

  func request(at index: Int) -> SessionRequest {
    unsafe SessionRequest(loading: slot(index) + JournalLayout.wordsOffset)
  }

  /// The keys of a session, which stay there until `erase`.
  func keys(at index: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe keys(index, byteCount: request(at: index).keyByteCount ?? 0)
      .assumingMemoryBound(to: UInt8.self)
  }

  private func storedCheck(at index: Int) -> UInt64 {
    unsafe UInt64(
      littleEndian: slot(index).load(fromByteOffset: JournalLayout.checkOffset, as: UInt64.self))
  }

  func computedCheck(of index: Int, _ identifier: UInt64, keyByteCount: Int) -> UInt64 {
    var check = RecordCheck(identifier)
    let words = JournalLayout.keysOffset - JournalLayout.connectionOffset
    unsafe check.add(
      UnsafeRawBufferPointer(start: slot(index) + JournalLayout.connectionOffset, count: words))
    unsafe check.add(
      UnsafeRawBufferPointer(start: keys(index, byteCount: keyByteCount), count: keyByteCount))
    return check.value
  }

  // MARK: - Locking

  func lock(upTo count: Int) {
    let end = min(
      (count * JournalLayout.slotByteCount + Self.chunkByteCount - 1) / Self.chunkByteCount
        * Self.chunkByteCount, layout.slotsByteCount)
    guard end > lockedByteCount else { return }
    memory.holdSecrets(
      offset: layout.slotsOffset + lockedByteCount, byteCount: end - lockedByteCount)
    lockedByteCount = end
  }

  /// Chunks of several slots': pages locked one by one would be mappings of their own, of which there are not many.
  func lockLongKeys(_ index: Int) {
    let perChunk = 64
    let chunk = index / perChunk
    guard lockedChunks.insert(chunk).inserted else { return }
    let first = layout.longKeysOffset(chunk * perChunk)
    let byteCount = perChunk * JournalLayout.longKeysByteCount
    memory.holdSecrets(offset: first, byteCount: min(byteCount, layout.byteCount - first))
  }
}
