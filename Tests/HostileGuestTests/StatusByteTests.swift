import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension HostileGuest {
  @Suite struct StatusBytes {
    /// Sends buffers as they are; the used entry.
    private func run(_ buffers: [ChainBuffer], _ guest: Guest) throws -> UsedElement {
      let queue = guest.client.dataQueues[0]
      let head = try queue.submit(buffers, indirect: true)
      let used = try queue.pollUsed()
      #expect(used.head == UInt32(head))
      queue.release(head)
      return used
    }

    private func place(
      _ operation: OperationSpec, _ guest: Guest, _ plan: RequestPlan = RequestPlan()
    ) throws -> PlacedRequest {
      try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: guest.format), plan: plan, in: guest.memory)
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1"])
    func requestWithoutAnyWritableByteIsUsedWithLength0AndCounted(
      kind: Kind, layout: String
    ) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(layout == "legacy" ? .legacy : .revision1)
      let before = try stage.counter("requestsWithoutStatus")
      let placed = try place(guest.operation(kind), guest)
      let used = try run(placed.buffers.filter { !$0.isWritable }, guest)
      #expect(used.byteCount == 0)
      #expect(try stage.counter("requestsWithoutStatus") == before + 1)
      try guest.expectAllIsWell(kind)
    }

    /// Without a byte of its own, the status takes the result's last one, and is an error.
    @Test(arguments: Kind.allCases)
    func resultThatLeavesNoByteForTheStatusIsRefused(kind: Kind) throws {
      let guest = try Stage.current().guest()
      var plan = RequestPlan()
      plan.status = .missing
      let placed = try place(guest.operation(kind), guest, plan)
      let used = try run(placed.buffers, guest)
      #expect(used.byteCount == 1)
      let written = try PlacedRequest.content(
        of: placed.destination + placed.result, in: guest.memory)
      #expect(written.last == VirtioCryptoStatus.err.rawValue)
      #expect(written.dropLast().allSatisfy { $0 == PlacedRequest.untouched })
      try guest.expectAllIsWell(kind)
    }

    /// A descriptor for the status in front of the destination gets the first byte of the result:
    /// the status is in the last writable byte, wherever the driver meant it to be.
    @Test func statusIsTheLastWritableByteEvenIfItsDescriptorIsNotLast() throws {
      let guest = try Stage.current().guest()
      let operation = guest.operation(.cipher)
      let placed = try place(operation, guest)
      var buffers = placed.buffers
      buffers.swapAt(3, 4)
      let used = try run(buffers, guest)
      #expect(used.byteCount == 65)
      let written = try PlacedRequest.content(of: Array(buffers.suffix(2)), in: guest.memory)
      #expect(try written == Guest.expectedBytes(operation) + [VirtioCryptoStatus.ok.rawValue])
      try guest.expectAllIsWell()
    }

    @Test func writableBytesBetweenResultAndStatusAreLeftAlone() throws {
      let guest = try Stage.current().guest()
      var plan = RequestPlan()
      plan.slackByteCount = 100
      let operation = guest.operation(.chain)
      let placed = try place(operation, guest, plan)
      let used = try run(placed.buffers, guest)
      try expectRight(guest.client.answer(placed, used), operation)
      let slack = try #require(placed.buffers.dropLast().last)
      #expect(
        try PlacedRequest.content(of: [slack], in: guest.memory).allSatisfy {
          $0 == PlacedRequest.untouched
        })
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1", "stateless"])
    func requestTruncatedAtAnyByteIsRefused(kind: Kind, layout: String) throws {
      let isStateless = layout == "stateless"
      let guest = try Stage.current().guest(
        isStateless ? .stateless : layout == "legacy" ? .legacy : .revision1)
      let request = CryptoRequestBuilder.data(
        guest.operation(kind, isStateless: isStateless), format: guest.format)
      let whole = request.fixed.bytes + request.fields.flatMap(\.bytes)
      let address = try guest.memory.allocate(whole.count)
      try guest.memory.write(whole, at: address)
      let writable = 64 + 32 + 16 + 1
      let output = try guest.memory.allocate(writable)
      // Up to the last byte before the request is whole, the header alone among them.
      for count in 0..<whole.count {
        try guest.memory.fill(output, byteCount: writable, with: PlacedRequest.untouched)
        let used = try run(
          [
            ChainBuffer(guestAddress: address, byteCount: UInt32(count), isWritable: false),
            ChainBuffer(guestAddress: output, byteCount: UInt32(writable), isWritable: true),
          ], guest)
        #expect(used.byteCount == 1, "\(count) bytes")
        let written = try guest.memory.read(output, byteCount: writable)
        #expect(written.last == VirtioCryptoStatus.err.rawValue, "\(count) bytes")
        #expect(
          written.dropLast().allSatisfy { $0 == PlacedRequest.untouched }, "\(count) bytes")
      }
      try guest.expectAllIsWell(kind)
    }

    @Test func destinationShorterThanItsLengthSaysIsRefused() throws {
      let guest = try Stage.current().guest()
      for kind in Kind.allCases {
        for missing in [1, 2, 17] {
          var request = CryptoRequestBuilder.data(guest.operation(kind), format: guest.format)
          if request.destinationByteCount > 0 {
            request.destinationByteCount -= missing
          } else {
            request.resultByteCount -= missing
          }
          try guest.expectRefused(request, .err, "\(kind), \(missing) bytes missing")
          try guest.expectAllIsWell(kind)
        }
      }
    }

    @Test(arguments: [
      2, 3, 0xFF, 0x002, 0x102, 0x202, 0x302, 0x404, 0x500, 0x8000_0000, UInt32.max,
    ])
    func unknownOperationIsNotSupported(opcode: UInt32) throws {
      for format in [RequestFormat.legacy, .revision1, .stateless] {
        let guest = try Stage.current().guest(format)
        var request = CryptoRequestBuilder.data(guest.operation(.cipher), format: format)
        request.fixed.set32(opcode, at: 0)
        try guest.expectRefused(request, .notsupp)
        try guest.expectAllIsWell()
        guest.leave()
      }
    }
  }
}
