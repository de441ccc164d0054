import CryptoTypes

/// What became of sessions that an earlier process left.
public struct Restoration: Equatable {
  /// Held until their guest has come.
  public var heldCount = 0
  /// Dropped, because their algorithm is offered no more or no engine takes the key.
  public var refusedCount = 0
  /// Dropped, because nobody can prove to be their guest.
  public var ownerlessCount = 0

  public init() {}
}

// Sessions of an earlier process.
extension DeviceCore {
  /// Takes the journal's sessions over, without letting anybody use them.
  ///
  /// Each is checked like a guest's request, against what is offered now, and its engines are chosen anew.
  func restore() -> Restoration {
    var result = Restoration()
    guard let journal = sessions.journal else { return result }
    sessions.takeOverGenerations()
    for index in 0..<journal.usedSlotCount where journal.identifier(at: index) != 0 {
      guard journal.owner?.connections.contains(journal.connection(of: index)) == true else {
        journal.erase(index)
        result.ownerlessCount += 1
        continue
      }
      if restore(UInt32(index), journal) {
        result.heldCount += 1
      } else {
        journal.erase(index)
        result.refusedCount += 1
      }
    }
    sessions.takeOverSpare()
    if let last = journal.owner?.connections.upperBound { sessions.connection = last }
    return result
  }

  private func restore(_ index: UInt32, _ journal: SessionJournal) -> Bool {
    let request = journal.request(at: Int(index))
    do throws(Refusal) {
      var parameters = try request.resolve(offer.algorithms)
      parameters.maximumOperationMilliseconds = offer.maximumOperationMilliseconds
      return unsafe sessions.hold(parameters, request, at: index, check: validate)
    } catch { return false }
  }

  /// Whose the held sessions are; nil where there are none.
  public var heldOwner: SessionOwner? {
    sessions.held.isEmpty ? nil : sessions.journal?.owner?.owner
  }

  /// A front-end has come: sessions are made in its name from now on.
  public func beginConnection() { sessions.connection &+= 1 }

  /// Says whose the sessions of this connection are, and those that it was let have.
  ///
  /// Not while sessions are held: their owner stands until it is known whether it has come back.
  public func setOwner(_ owner: SessionOwner?) {
    guard let journal = sessions.journal, sessions.held.isEmpty else { return }
    guard let owner else { return journal.setOwner(nil) }
    let first = isContinuing ? journal.owner?.connections.lowerBound : nil
    journal.setOwner(
      OwnerRecord(
        owner: owner,
        connections: min(first ?? sessions.connection, sessions.connection)...sessions.connection))
  }

  /// Lets the connection have the held sessions: it is their guest's.
  public func admitHeld() {
    guard let owner = heldOwner else { return }
    sessions.admitHeld()
    isContinuing = true
    setOwner(owner)
  }

  /// Destroys the held sessions: somebody else has come, or nobody can.
  public func destroyHeld() {
    sessions.destroyHeld()
    sessions.journal?.clearMark()
  }

  /// The front-end has left: its sessions are no more.
  ///
  /// Held ones are not its.
  public func endConnection() {
    sessions.destroyAll()
    sessions.journal?.clearMark()
    finishedDestruction = nil
    isContinuing = false
    setOwner(nil)
  }
}
