import Foundation
import VhostUserFrontend
import VirtioSpec

// Sessions, front-ends and daemons that come and go.

extension Guest {
  /// Ends the session of an idle request and opens it again; a refusal is a failure where these are tolerated.
  func renewSession() throws {
    let index = Int(random.next() % UInt64(queues.count))
    guard let number = idle[index].randomElement(using: &random),
      let old = riders[index][number].sessionID
    else { return }
    let service = riders[index][number].wish.session.service
    let status = try client.destroySession(old, service: service)
    guard status == .ok else {
      throw DriverError("\(settings.name): ending a session: \(status)")
    }
    riders[index][number].sessionID = nil
    try openSession(index, number)
  }

  private func openSession(_ index: Int, _ number: Int) throws {
    let answer = try client.createSession(riders[index][number].wish.session)
    if answer.statusWord == 0 {
      riders[index][number].sessionID = answer.sessionID
      ledger.sessions += 1
    } else if toleratesFailures, answer.status == .err {
      ledger.refusedSessions += 1
    } else {
      throw DriverError(
        "\(settings.name): a session for \(riders[index][number].wish): \(answer.status)")
    }
  }

  /// Opens the sessions that could not be had.
  func wakeSleepers() throws {
    for index in queues.indices {
      for number in sleepers[index] where !riders[index][number].isReady {
        try openSession(index, number)
      }
      idle[index] += sleepers[index]
      sleepers[index] = []
      for number in idle[index] where !riders[index][number].isReady {
        try openSession(index, number)
      }
    }
  }

  /// Goes on until nothing is in flight.
  func finish() throws {
    sendsRequests = false
    defer { sendsRequests = true }
    while inFlightCount > 0 { if try !turn() { yieldProcessor() } }
  }

  /// Fills the counters of its call eventfds, so that signals to them fail.
  func fillCallEvents() {
    var most = UInt64.max - 1
    for queue in queues { _ = write(queue.callEvent.descriptor, &most, 8) }
  }

  /// Leaves without a word, with all that is in flight.
  func vanish() {
    client.frontend.disconnect()
    ledger.abandoned += inFlightCount
    inFlightCount = 0
  }

  /// After the daemon was killed: takes what it has finished.
  ///
  /// `keepsSessions`: the next daemon will have them.
  func daemonHasDied(keepsSessions: Bool) throws {
    isAwake = isAwake.map { _ in true }
    for index in queues.indices {
      _ = try take(index)
      for number in riders[index].indices where riders[index][number].needsSession {
        if keepsSessions { ledger.keptSessions += 1 }
        guard riders[index][number].isInFlight else { continue }
        if keepsSessions { ledger.keptInFlight += 1 }
        // A session that an earlier kill has ended stays so.
        if !keepsSessions { riders[index][number].mayLackItsSession = true }
      }
    }
    ledger.inFlightAtKills += inFlightCount
  }

  /// Goes on with another daemon: memory, rings and record as they are, sessions anew unless they were kept.
  func resume(path: String, keepsSessions: Bool) throws {
    let frontend = try Self.connect(path, settings)
    try frontend.setInflightArea(area)
    try frontend.shareMemory(memory)
    let controlIndex = Int(try frontend.readConfiguration().maxDataQueues)
    try frontend.startQueue(controlIndex, controlQueue)
    client = CryptoClient(
      frontend: frontend, memory: memory, dataQueues: queues, control: .queue(controlQueue))
    for index in queues.indices {
      for number in riders[index].indices
      where riders[index][number].needsSession && !keepsSessions {
        riders[index][number].sessionID = nil
        try openSession(index, number)
      }
    }
    for (index, queue) in queues.enumerated() { try frontend.startQueue(index, queue) }
    isAwake = isAwake.map { _ in true }
    lastProgress = monotonicNanoseconds()
  }
}
