import CryptoTypes

// Sessions that are not made by a guest's request: those of a journal, and those of another host.
extension SessionTable {
  /// Takes over which identifiers the journal's slots had.
  func takeOverGenerations() {
    guard let journal else { return }
    let first = firstGeneration
    useIndices(UInt32(journal.usedSlotCount))
    for index in 0..<journal.usedSlotCount {
      let generation = journal.generation(of: index)
      // Within reach of the arithmetic, whatever it says; 0: it had none.
      generations[index] = generation == 0 ? first : min(generation, 0x7fff_ffff)
    }
  }

  /// Takes over which of the journal's slots are free.
  func takeOverSpare() {
    guard let journal else { return }
    spare = (0..<neverUsed).reversed().filter { journal.identifier(at: Int($0)) == 0 }
  }

  /// Makes a block for a session of the journal, which nobody can find yet; false where it cannot be used.
  func hold(
    _ template: SessionParameters, _ request: SessionRequest, at index: UInt32,
    check: (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome
  ) -> Bool {
    guard let journal,
      let block = unsafe makeBlock(template, request, keys: journal.keys(at: Int(index)))
    else { return false }
    // SAFETY: the block was made just now and is not shared yet.
    let outcome = unsafe withUnsafeMutablePointer(to: &block.pointee.parameters) {
      unsafe check($0)
    }
    guard outcome == .ok else {
      unsafe wipe(block)
      return false
    }
    // SAFETY: index < slotCount; no worker runs yet.
    unsafe slots[Int(index)].block = block
    held.append(index)
    return true
  }

  /// Lets workers find what was held.
  func admitHeld() {
    guard let journal else { return }
    for index in held {
      // SAFETY: `hold` has put the block there.
      guard let block = unsafe slots[Int(index)].block else { continue }
      unsafe show(block, journal.identifier(at: Int(index)))
    }
    held = []
  }

  /// Wipes what was held, which nobody has ever found.
  func destroyHeld() {
    for index in held {
      journal?.end(Int(index))
      release(index)
      spare.append(index)
    }
    held = []
  }

  /// How many sessions are held.
  public var heldCount: Int { held.count }
}
