import Foundation
import LinuxSystem
import TestSupport
import Testing
import VhostUserFrontend

@testable import ServiceManager

@Suite("Socket activation")
struct SocketActivationTests {
  private let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  private func take(
    _ first: Int32, count: String = "1", names: String? = nil, process: String? = "\(getpid())"
  ) throws -> [ActivatedSocket] {
    try SocketActivation.take(
      process: process, count: count, names: names, first: first, storedPrefix: "kept-"
    ).sockets
  }

  private func complaint(_ body: () throws -> [ActivatedSocket]) -> String {
    do {
      return "nothing, but \(try body())"
    } catch { return "\(error)" }
  }

  @Test func listeningSocketsComeWithNameAndPath() throws {
    let path = directory.file("a.sock")
    let listener = try UnixSocket.listening(at: path, isInherited: true)
    let descriptor = listener.descriptor
    #expect(
      try take(descriptor, names: "vm1")
        == [ActivatedSocket(rawValue: descriptor, name: "vm1", path: path)])
    #expect(try take(descriptor).map(\.name) == ["unknown"])
    #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
    #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
    #expect(try take(descriptor, count: "0", names: nil) == [])
  }

  @Test func abstractNamesBeginWithAnAtSign() throws {
    let name = "vhost-crypto-test-\(getpid())"
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    let length = try bindAbstract(descriptor, name)
    #expect(length > 0 && listen(descriptor, 1) == 0)
    #expect(try take(descriptor).map(\.path) == ["@" + name])
  }

  @Test func whatIsNoListeningUnixStreamIsToldInOneLine() throws {
    let (first, second) = try UnixSocket.pair()
    let file = open("/dev/null", O_RDONLY)
    let datagram = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    let internet = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { for descriptor in [file, datagram, internet] { close(descriptor) } }
    for (descriptor, words) in [
      (first.descriptor, "not a listening socket"), (second.descriptor, "not a listening socket"),
      (file, "not a socket"), (datagram, "not a stream socket"), (internet, "not a Unix socket"),
      (9999, "Bad file descriptor"),
    ] {
      let text = complaint { try take(descriptor, names: "vm1") }
      #expect(
        text.contains(words) && text.contains("descriptor \(descriptor) ('vm1')")
          && text.contains("ListenStream="), "\(text)")
    }
  }

  @Test func otherPeoplesAndImpossibleCountsAreRefused() {
    for (text, words) in [
      (complaint { try take(3, process: "1") }, "LISTEN_PID is 1 and this process is \(getpid())"),
      (complaint { try take(3, process: nil) }, "LISTEN_PID is not set"),
      (complaint { try take(3, count: "many") }, "LISTEN_FDS is 'many'"),
      (complaint { try take(3, count: "-1") }, "LISTEN_FDS is '-1'"),
      (complaint { try take(3, count: "1025") }, "LISTEN_FDS is '1025'"),
      (complaint { try take(3, count: "") }, "LISTEN_FDS is ''"),
      (complaint { try take(3, count: "1", names: "a:b") }, "2 names for 1 sockets"),
      (complaint { try take(3, count: "2", names: "a") }, "1 names for 2 sockets"),
    ] { #expect(text.contains(words) && text.contains("; "), "\(text)") }
  }

  private func bindAbstract(_ descriptor: Int32, _ name: String) throws -> Int {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: [0] + Array(name.utf8)) }
    let length = MemoryLayout<sa_family_t>.size + 1 + name.utf8.count
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(length))
      }
    }
    guard result == 0 else { throw TestSupportError("bind: errno \(errno)") }
    return length
  }
}
