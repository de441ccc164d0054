import Foundation
import IOUring
import Testing

/// A message to one end of a socket pair, and a read of what the other end has sent, as one chain.
@Suite struct SubmissionRingTests {
  /// Two datagram sockets, and one message with the room for its answer.
  private final class Exchange {
    private(set) var ends: [Int32] = [-1, -1]
    private let message = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
    private let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
    let text = UnsafeMutablePointer<UInt8>.allocate(capacity: 4)
    let answer = UnsafeMutablePointer<UInt8>.allocate(capacity: 8)

    init() {
      socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
      for index in 0..<4 { text[index] = UInt8(index + 1) }
      for index in 0..<8 { answer[index] = 0 }
      vectors[0] = iovec(iov_base: text, iov_len: 4)
      vectors[1] = iovec(iov_base: answer, iov_len: 8)
      message.initialize(to: msghdr())
      message.pointee.msg_iov = vectors
      message.pointee.msg_iovlen = 1
    }

    deinit {
      for end in ends { close(end) }
      message.deallocate()
      vectors.deallocate()
      text.deallocate()
      answer.deallocate()
    }

    func closePeer() {
      close(ends[1])
      ends[1] = -1
    }

    func prepare(on ring: SubmissionRing, _ index: UInt32, inThread: Bool) {
      ring.sendThenRead(
        fd: ends[0], message: message, vector: vectors + 1, vectorCount: 1,
        userData: UserData(kind: 0x80, index: index),
        sendUserData: UserData(kind: 0x81, index: index), sendsInThread: inThread,
        readsInThread: inThread)
    }
  }

  @Test(arguments: [false, true])
  func readFollowsTheMessageAndCompletesAlone(inThread: Bool) throws {
    let ring = try RingBox()
    let exchange = Exchange()
    #expect(send(exchange.ends[1], [9, 8, 7] as [UInt8], 3, 0) == 3)
    #expect(!ring.hasPrepared)
    #expect(ring.submissions.reserve(2))
    exchange.prepare(on: ring.submissions, 5, inThread: inThread)
    #expect(ring.hasPrepared)
    var completion = try #require(ring.completion())
    if !ring.submissions.sendsSilently, completion.userData.kind == 0x81 {
      completion = try #require(ring.completion())
    }
    #expect(completion.userData == UserData(kind: 0x80, index: 5) && completion.result == 3)
    #expect((0..<3).map { exchange.answer[$0] } == [9, 8, 7])
    var received = [UInt8](repeating: 0, count: 8)
    #expect(recv(exchange.ends[1], &received, 8, Int32(MSG_DONTWAIT)) == 4)
    #expect(received == [1, 2, 3, 4, 0, 0, 0, 0])
    #expect(ring.nextCompletion() == nil && !ring.hasPrepared)
  }

  @Test(arguments: [false, true])
  func messageThatCannotBeSentIsTheOnlyCompletion(inThread: Bool) throws {
    let ring = try RingBox()
    try #require(ring.submissions.sendsSilently, "Linux 5.17 and later")
    let exchange = Exchange()
    exchange.closePeer()
    #expect(ring.submissions.reserve(2))
    exchange.prepare(on: ring.submissions, 6, inThread: inThread)
    let completion = try #require(ring.completion())
    #expect(completion.userData == UserData(kind: 0x81, index: 6))
    #expect(completion.result == -ECONNREFUSED)
    // The next chain works, and nothing of the first comes in between.
    let next = Exchange()
    #expect(send(next.ends[1], [3] as [UInt8], 1, 0) == 1)
    #expect(ring.submissions.reserve(2))
    next.prepare(on: ring.submissions, 7, inThread: false)
    #expect(ring.completion()?.userData == UserData(kind: 0x80, index: 7))
    #expect(ring.nextCompletion() == nil)
  }

  @Test func reservingMakesRoomBySubmitting() throws {
    let ring = try RingBox(entries: 4)
    let exchanges = (0..<6).map { _ in Exchange() }
    for (index, exchange) in exchanges.enumerated() {
      #expect(send(exchange.ends[1], [UInt8(index)], 1, 0) == 1)
      #expect(ring.submissions.reserve(2), "\(index)")
      exchange.prepare(on: ring.submissions, UInt32(index), inThread: false)
    }
    #expect(!ring.submissions.reserve(5), "more than the ring has")
    var seen: Set<UInt32> = []
    while seen.count < 6, let completion = ring.completion() {
      if completion.userData.kind == 0x80 { seen.insert(completion.userData.index) }
    }
    #expect(seen == Set(0..<6))
  }
}
