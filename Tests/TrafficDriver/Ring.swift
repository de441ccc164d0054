import VhostUserFrontend
import VirtioSpec

/// A device, and requests that are in flight in its first ring together.
final class Ring {
  let name: String
  let client: CryptoClient

  init(_ name: String, _ path: String, _ kind: RingKind) throws {
    self.name = name
    client = try CryptoClient.start(
      path: path, options: Frontend.Options(format: .stateless, ring: kind),
      memory: try GuestRAM(byteCount: 128 << 20), queueSize: 1024)
  }

  /// Sends all of them with one kick and waits for all of them.
  func perform(_ operations: [OperationSpec], _ plans: [RequestPlan]) throws -> [OperationAnswer] {
    let queue = client.dataQueues[0]
    queue.disableCalls()
    var placed: [PlacedRequest] = []
    var indices: [UInt32: Int] = [:]
    for (index, operation) in operations.enumerated() {
      let request = CryptoRequestBuilder.data(operation, format: client.format)
      placed.append(try PlacedRequest(request, plan: plans[index], in: client.memory))
      let head = try queue.reserve(placed[index].buffers, indirect: true)
      indices[UInt32(head)] = index
      queue.post(head)
    }
    if queue.publish() { try queue.kick() }
    var answers = [OperationAnswer?](repeating: nil, count: operations.count)
    for _ in operations {
      let used = try queue.pollUsed(timeoutMilliseconds: 60000)
      guard let index = indices.removeValue(forKey: used.head) else {
        throw DriverError("\(name): chain \(used.head) came back and was not sent, or twice")
      }
      answers[index] = try client.answer(placed[index], used)
      queue.release(UInt16(truncatingIfNeeded: used.head))
    }
    for request in placed { request.free(in: client.memory) }
    return answers.compactMap { $0 }
  }
}

/// What went wrong, for the end of the program.
struct DriverError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
