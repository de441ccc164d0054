import LinuxSystem

/// A worker's helper threads and the memory that it shares with them.
///
/// Started before the worker serves, and stopped when it has everything back. Must outlive the worker's `HelperLinks`.
@safe
public final class HelperCrew: @unchecked Sendable {
  // Unchecked: the memory's words are shared as the mailboxes say; everything else is set once.

  /// What a helper's thread finds: its mailbox, the eventfds of both sides, and whom to tell that it has started.
  @safe
  public struct Context: Sendable {
    @usableFromInline let operations: WordRing
    @usableFromInline let results: WordRing
    @usableFromInline let helperSleep: SleepWord
    @usableFromInline let workerSleep: SleepWord
    @usableFromInline let wakeDescriptor: Int32
    @usableFromInline let workerWakeDescriptor: Int32
    private let mailbox: HelperMailbox
    private let report: StartReport

    fileprivate init(
      _ mailbox: HelperMailbox, wake: Int32, workerWake: Int32, report: StartReport
    ) {
      operations = mailbox.operations
      results = mailbox.results
      helperSleep = mailbox.helperSleep
      workerSleep = mailbox.workerSleep
      wakeDescriptor = wake
      workerWakeDescriptor = workerWake
      self.mailbox = mailbox
      self.report = report
    }

    /// Everything is in place: the helper serves from now on.
    public func started() { report.finish(nil) }
    /// The helper cannot run, in a sentence; its body returns at once.
    public func failed(_ reason: String) { report.finish(reason) }

    @usableFromInline var stopRequested: Bool {
      @_noAllocation @_noLocks get { mailbox.stopRequested }
    }
  }

  @safe
  private struct Helper {
    let mailbox: HelperMailbox
    let wake: FileDescriptorBox
    let knownSessions: UnsafeMutablePointer<UInt64>
    var thread: PinnedThread?
  }

  private final class FileDescriptorBox: Sendable {
    let event: EventFD
    init() throws(SystemError) { event = try EventFD() }
  }

  private let memory: MappedMemory
  private var helpers: [Helper] = []
  let workerSleep: SleepWord
  let sessionCapacity: Int

  /// Starts the threads and waits for each to call `started` or `failed`, which it must.
  ///
  /// - Parameters:
  ///   - name: the threads' name, at most 12 bytes; each has its number behind it.
  ///   - cpus: one per helper; nil where it is not pinned.
  ///   - operationCapacity: operations that the worker can have in flight.
  ///   - sessionCapacity: sessions of lower index have keys that are kept.
  ///   - workerWake: the eventfd that interrupts the worker; outlives the crew.
  ///   - body: the life of each thread.
  /// - Throws: why one of them could not start; then none is left running.
  public init(
    name: String, cpus: [Int?], operationCapacity: Int, sessionCapacity: Int, workerWake: Int32,
    body: @escaping @Sendable (Context) -> Void
  ) throws(WorkerStartError) {
    let capacity = Self.powerOfTwo(
      atLeast: operationCapacity + HelperLinks.forgetCapacity + cpus.count)
    let mailboxWords = HelperMailbox.wordCount(capacity: capacity)
    // Whole cache lines, so that two helpers share none.
    let sessionWords = (sessionCapacity + 511) / 512 * 8
    let firstWords = 8
    self.sessionCapacity = sessionCapacity
    do throws(SystemError) {
      memory = try MappedMemory(
        reserving: (firstWords + cpus.count * (mailboxWords + sessionWords)) * 8)
    } catch { throw WorkerStartError(description: "starting helpers: \(error)") }
    // SAFETY: mapped memory is zero and page-aligned; the places below are within what was reserved.
    let words = unsafe memory.base.assumingMemoryBound(to: UInt64.self)
    unsafe workerSleep = SleepWord(words)
    var reports: [StartReport] = []
    var failure: String?
    for (index, cpu) in cpus.enumerated() {
      let place = unsafe words + firstWords + index * (mailboxWords + sessionWords)
      let mailbox = unsafe HelperMailbox(
        memory: place, capacity: capacity, workerSleep: workerSleep)
      let report = StartReport()
      do throws(SystemError) {
        let wake = try FileDescriptorBox()
        let context = Context(
          mailbox, wake: wake.event.rawValue, workerWake: workerWake, report: report)
        unsafe helpers.append(
          Helper(
            mailbox: mailbox, wake: wake, knownSessions: place + mailboxWords,
            thread: try PinnedThread(name: "\(name).\(index)", cpu: cpu) { body(context) }))
        reports.append(report)
      } catch {
        failure = "\(error)"
        break
      }
    }
    // Lanes take a while to make: all threads make theirs at the same time.
    for report in reports {
      if let reason = report.wait() { failure = failure ?? reason }
    }
    if let failure {
      stop()
      throw WorkerStartError(description: "starting a helper thread: \(failure)")
    }
  }

  deinit { stop() }

  /// Ends the threads and waits for them; the worker has everything back.
  public func stop() {
    for helper in helpers {
      helper.mailbox.requestStop()
      helper.wake.event.signal()
    }
    for helper in helpers { helper.thread?.join() }
  }

  /// What was asked for and refused: which helper is not pinned, and why.
  public var pinningFailures: [String] {
    helpers.compactMap { $0.thread?.pinningFailure }
  }

  var helperCount: Int { helpers.count }

  func link(_ index: Int) -> HelperLinks.Link {
    let helper = helpers[index]
    return unsafe HelperLinks.Link(
      mailbox: helper.mailbox, wakeDescriptor: helper.wake.event.rawValue,
      knownSessions: helper.knownSessions)
  }

  private static func powerOfTwo(atLeast count: Int) -> Int {
    var power = 1
    while power < count { power *= 2 }
    return power
  }
}
