import CRingShims
import LinuxSystem

/// A change by a control request that is being carried out and whose answer the guest has not been shown.
///
/// A daemon that is killed then leaves a session that nobody knows of, or has ended one and told nobody; and its successor
/// gets the request again.
struct ControlMark: Hashable {
  enum Kind: UInt32 { case creation = 1, destruction = 2 }

  var kind: Kind
  var identifier: UInt64
  /// Up to where the guest had been shown answers.
  var position: UInt32
}

// In the journal's header, for one request at a time.
extension SessionJournal {
  /// Notes a change before it is made, if it is a control request's.
  func note(_ kind: ControlMark.Kind, _ identifier: UInt64) {
    guard let position = requestPosition else { return }
    let word = UInt64(position) | UInt64(kind.rawValue) << 32
    var check = RecordCheck(identifier)
    check.add(word)
    // SAFETY: the header's page is mapped.
    unsafe memory.base.storeBytes(
      of: identifier.littleEndian, toByteOffset: JournalLayout.markOffset, as: UInt64.self)
    unsafe memory.base.storeBytes(
      of: check.value.littleEndian, toByteOffset: JournalLayout.markOffset + 8, as: UInt64.self)
    // The store that counts; the change itself comes after it.
    unsafe cring_store64_release(markWord, word.littleEndian)
    cring_fence_release()
    isMarked = true
  }

  /// Forgets the change: its answer was shown, or whoever asked for it is gone.
  func clearMark() {
    // What has shown the answer comes before this.
    unsafe cring_store64_release(markWord, 0)
    isMarked = false
  }

  /// The change that an earlier process has left, once; damaged ones count as none.
  func takeMark() -> ControlMark? {
    defer { clearMark() }
    let base = unsafe memory.base + JournalLayout.markOffset
    // SAFETY: the header's page is mapped.
    let identifier = unsafe UInt64(littleEndian: base.load(as: UInt64.self))
    let stored = unsafe UInt64(littleEndian: base.load(fromByteOffset: 8, as: UInt64.self))
    let word = unsafe UInt64(littleEndian: cring_load64_relaxed(markWord))
    var check = RecordCheck(identifier)
    check.add(word)
    guard stored == check.value,
      let kind = ControlMark.Kind(rawValue: UInt32(truncatingIfNeeded: word >> 32))
    else { return nil }
    return ControlMark(
      kind: kind, identifier: identifier, position: UInt32(truncatingIfNeeded: word))
  }

  private var markWord: UnsafeMutableRawPointer {
    unsafe memory.base + JournalLayout.markOffset + 16
  }
}

// Control requests whose answers the guest has not been shown.
extension DeviceCore {
  /// A request of the control queue comes next; the guest has been shown answers up to this position.
  func beginRequest(at position: UInt32) { sessions.journal?.requestPosition = position }

  /// Whether sessions outlive the process: each request's answer has to be shown before the next one is carried out.
  var showsEachAnswer: Bool { sessions.journal != nil }

  func endRequest() { sessions.journal?.requestPosition = nil }

  func answersWereShown() {
    if let journal = sessions.journal, journal.isMarked { journal.clearMark() }
  }

  /// Takes back what an earlier process had done for a request that will come again; its guest has its sessions.
  ///
  /// - `position`: up to where the queue has shown answers. Another one than then: that answer among them.
  public func resumeRequests(at position: UInt32) {
    finishedDestruction = nil
    guard let mark = sessions.journal?.takeMark(), mark.position == position else { return }
    switch mark.kind {
    case .creation: _ = sessions.destroy(mark.identifier, of: .all)
    case .destruction: finishedDestruction = mark.identifier
    }
  }
}
