import Foundation
import LinuxSystem
import Logging
import Testing
import VhostUserBackend
import VhostUserProtocol

extension OneAtATime {
  @Suite("Server life")
  struct ServerLifeTests {
    let region: GuestRegion
    let kick: Event

    init() throws {
      region = try GuestRegion()
      kick = try Event()
    }

    @Test func frontendsComeAndGo() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      for round in 1...3 {
        let frontend = try RawFrontend.connect(path: path)
        try frontend.negotiate()
        frontend.setMemory([region])
        frontend.setUpRing(0, in: region, kick: kick)
        try frontend.settle()
        #expect(harness.device.running == [0])
        #expect(harness.device.calls.filter { $0 == .opened }.count == round)
      }
      #expect(eventually { harness.device.calls.filter { $0 == .closed }.count == 3 })
      // Queues stop before the device is told.
      #expect(harness.device.calls.suffix(2) == [.stop(index: 0), .closed])
    }

    @Test func secondFrontendWaitsItsTurn() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      var first: RawFrontend? = try RawFrontend.connect(path: path)
      try first?.negotiate()
      let second = try RawFrontend.connect(path: path)
      second.send(.getQueueNum)
      for _ in 0..<20 { try first?.settle() }
      #expect(harness.device.calls.filter { $0 == .opened }.count == 1)
      first = nil
      #expect(try second.answer(to: .getQueueNum).count == 8)
    }

    @Test func halfAHeaderBlocksNothing() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      let pair = try SocketPair()
      let frontend = try RawFrontend.connect(path: path)
      try frontend.settle()
      harness.device.state.withLock { $0.services = [pair.theirs] }
      frontend.send(bytes: Array(MessageHeader(.getFeatures).encoded.prefix(6)))
      pair.ours.send(bytes: [1])
      #expect(eventually { harness.device.calls.contains(.ready(pair.theirs)) })
      harness.server.stop()
      #expect(harness.ended())
      #expect(harness.device.calls.last == .closed)
      #expect(frontend.isCutOff())
    }

    @Test func halfAPayloadWithDescriptorsThenGone() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      let before = settledDescriptorCount()
      for _ in 0..<20 {
        let frontend = try RawFrontend.connect(path: path)
        let message = MemoryTablePayload(regions: [region.payload]).encoded
        let header = MessageHeader(.setMemoryTable, payloadByteCount: message.count).encoded
        frontend.send(bytes: header + message.prefix(9), descriptors: [region.file.descriptor])
      }
      #expect(eventually { harness.device.calls.filter { $0 == .closed }.count == 20 })
      #expect(eventually { openDescriptorCount() <= before })
    }

    @Test func connectedServerEndsWithItsFrontend() throws {
      let (harness, frontend) = try Harness.connected()
      shutdown(frontend.socket, Int32(SHUT_RDWR))
      #expect(harness.ended())
      #expect(harness.device.calls == [.opened, .closed])
    }

    @Test func clientCallsItsFrontendAgain() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.connecting(to: path)
      let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(socket) }
      #expect(bindSocket(socket, to: path) == 0)
      #expect(listen(socket, 1) == 0)
      for round in 1...2 {
        let frontend = RawFrontend(socket: accept(socket, nil, nil))
        try frontend.negotiate()
        #expect(harness.device.calls.filter { $0 == .opened }.count == round)
      }
      harness.server.stop()
      #expect(harness.ended())
    }

    @Test func socketFileIsMadeGuardedAndRemoved() throws {
      let path = try temporarySocketPath()
      do {
        let harness = try Harness.listening(at: path)
        var information = stat()
        #expect(stat(path, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o660)
        #expect(throws: ServerError.inUse(path: path)) { _ = try Harness.listening(at: path) }
        // The one that listens was not disturbed.
        _ = try RawFrontend.connect(path: path).number(.getFeatures)
        harness.server.stop()
        #expect(harness.ended())
      }
      #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func staleSocketIsReplacedAndOtherFilesAreNot() throws {
      let path = try temporarySocketPath()
      // A socket that was bound and abandoned.
      let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      #expect(bindSocket(socket, to: path) == 0)
      close(socket)
      let harness = try Harness.listening(at: path)
      _ = try RawFrontend.connect(path: path).number(.getFeatures)
      withExtendedLifetime(harness) {}

      let file = path + ".txt"
      try Data("keep me".utf8).write(to: URL(fileURLWithPath: file))
      #expect(throws: ServerError.notASocket(path: file)) { _ = try Harness.listening(at: file) }
      #expect(FileManager.default.contents(atPath: file) == Data("keep me".utf8))
      let long = "/" + String(repeating: "x", count: 108)
      #expect(throws: ServerError.badPath(path: long)) { _ = try Harness.listening(at: long) }
    }

    @Test func noDescriptorLeaks() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      let call = try Event()
      func round() throws {
        let frontend = try RawFrontend.connect(path: path)
        try frontend.negotiate()
        frontend.setMemory([region])
        for index in UInt32(0)..<3 {
          frontend.setUpRing(index, in: region, kick: kick)
          for request in [FrontendRequest.setVringCall, .setVringError] {
            frontend.send(
              request, VringDescriptor(index: UInt8(index)).encoded, descriptors: [call.descriptor])
          }
        }
        frontend.send(.setBackendRequestDescriptor, descriptors: [call.descriptor])
        frontend.setMemory([region])
        try frontend.settle()
        #expect(harness.device.running == [0, 1, 2])
      }
      try round()
      #expect(eventually { harness.device.calls.last == .closed })
      let before = settledDescriptorCount()
      for _ in 0..<50 { try round() }

      let bad = BadMessage.all.filter { !$0.isFatal }
      do {
        let frontend = try RawFrontend.connect(path: path)
        try frontend.negotiate()
        for index in 0..<200 {
          let message = bad[index % bad.count]
          message.send(over: frontend, needsReply: true, file: region.file.descriptor)
          _ = try frontend.answer(to: message.request)
        }
      }
      for message in BadMessage.all {
        let frontend = try RawFrontend.connect(path: path)
        message.send(over: frontend, needsReply: false, file: region.file.descriptor)
        #expect(frontend.isCutOff())
      }
      #expect(eventually { openDescriptorCount() <= before })
    }
  }
}

/// Binds a Unix socket to a path; 0 on success.
private func bindSocket(_ socket: Int32, to path: String) -> Int32 {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
}
