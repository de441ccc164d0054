import Foundation
import LinuxSystem
import TestSupport
import Testing

@testable import ServiceManager

@Suite("Notifications")
struct NotifierTests {
  @Test(arguments: [true, false])
  func oneDatagramHoldsAllAssignments(isAbstract: Bool) throws {
    let directory = try TemporaryDirectory()
    let manager = try ManagerSocket(directory, isAbstract: isAbstract)
    let notifier = try ServiceNotifier(address: manager.address)
    try notifier.send([.ready, .status("Serving 1 device")])
    try notifier.send([.reloading(monotonicMicroseconds: 17)])
    try notifier.send([.stopping, .errno(98), .watchdog], waits: false)
    #expect(try manager.next() == "READY=1\nSTATUS=Serving 1 device")
    #expect(try manager.next() == "RELOADING=1\nMONOTONIC_USEC=17")
    #expect(try manager.next() == "STOPPING=1\nERRNO=98\nWATCHDOG=1")
  }

  /// What a status line holds comes from anywhere.
  @Test func aStatusIsOneLine() throws {
    let manager = try ManagerSocket(TemporaryDirectory(), isAbstract: true)
    try ServiceNotifier(address: manager.address).send([.status("a\nREADY=1\r\nb")])
    #expect(try manager.next() == "STATUS=a READY=1 b")
  }

  @Test(arguments: [
    "", "/", "@", "relative", "vsock:2:9", "/" + String(repeating: "x", count: 107),
  ])
  func addressesThatCannotBeNotifiedAreRefused(address: String) {
    #expect(throws: NotifierError.unusableAddress(address)) {
      try ServiceNotifier(address: address)
    }
  }

  @Test func aManagerThatIsGoneIsAnError() throws {
    let directory = try TemporaryDirectory()
    let notifier = try ServiceNotifier(address: directory.file("none"))
    #expect {
      try notifier.send([.ready])
    } throws: {
      ($0 as? SystemError)?.code == ENOENT
    }
  }

  /// A manager that does not read holds up nobody who does not want to wait.
  @Test func aFullSocketIsNotWaitedFor() throws {
    let manager = try ManagerSocket(TemporaryDirectory(), isAbstract: true)
    let notifier = try ServiceNotifier(address: manager.address)
    #expect {
      for _ in 0..<100_000 { try notifier.send([.watchdog], waits: false) }
    } throws: {
      ($0 as? SystemError)?.code == EAGAIN
    }
  }

  // MARK: The environment

  @Test func theWatchdogIsOursAlone() {
    func timeout(_ microseconds: String?, _ process: String?, address: String? = "@x") -> Duration?
    {
      ServiceManager(
        address: address, watchdogMicroseconds: microseconds, watchdogProcess: process
      ).watchdogTimeout
    }
    #expect(timeout("2000000", nil) == .seconds(2))
    #expect(timeout("2000000", "\(getpid())") == .seconds(2))
    #expect(timeout("2000000", "\(getpid() + 1)") == nil)
    #expect(timeout("2000000", "") == nil)
    #expect(timeout(nil, nil) == nil)
    #expect(timeout("2000000", nil, address: nil) == nil, "nobody to be told")
  }

  @Test func whatIsWrongIsToldAndDoneWithout() {
    let manager = ServiceManager(
      address: "vsock:2:1", watchdogMicroseconds: "soon", watchdogProcess: nil)
    #expect(manager.notifier == nil && manager.watchdogTimeout == nil)
    #expect(manager.warnings.count == 2)
    #expect(manager.warnings[0].contains("vsock:2:1") && manager.warnings[1].contains("'soon'"))
    for text in ["0", "-1", "99999999999999999999"] {
      let wrong = ServiceManager(
        address: "@x", watchdogMicroseconds: text, watchdogProcess: nil)
      #expect(wrong.watchdogTimeout == nil && wrong.warnings.count == 1, "\(text)")
    }
  }

  @Test func variablesAreGoneAfterwards() throws {
    let names = [
      "NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LISTEN_PID": "1",
      "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a",
    ]
    for (name, value) in names { setenv(name, value, 1) }
    #expect(ServiceManager.takeFromEnvironment().notifier != nil)
    // Somebody else's sockets are an error, and gone all the same.
    #expect(throws: ActivationError.self) {
      try SocketActivation.takeFromEnvironment(storedPrefix: "kept-")
    }
    for name in names.keys { #expect(getenv(name) == nil, "\(name)") }
    #expect(try SocketActivation.takeFromEnvironment(storedPrefix: "kept-") == PassedDescriptors())
  }

  @Test func theJournalIsKnownByItsInode() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("", to: "journal")
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    var information = stat()
    #expect(fstat(descriptor, &information) == 0)
    let stream = "\(information.st_dev):\(information.st_ino)"
    #expect(JournalStream.matches(stream, descriptor: descriptor))
    #expect(!JournalStream.matches(stream + "1", descriptor: descriptor))
    #expect(!JournalStream.matches("", descriptor: descriptor))
    #expect(!JournalStream.matches(stream, descriptor: -1))
  }
}
