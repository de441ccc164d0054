// MigrationTests: that a front-end which copies the pages of the log has all of guest memory, whatever the device does,
// and that a guest which moves from one daemon to another notices nothing.

import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Everything here runs one after the other: each test has daemons of its own.
@Suite("Migration", .serialized)
struct MigrationTests {}

/// A guest whose rings and buffers each have pages of their own, so that what is not logged cannot hide in a neighbour's
/// page.
final class LoggedGuest {
  /// A request, and what is to become of it.
  struct Item {
    var name: String
    var request: DataRequest
    var status = VirtioCryptoStatus.ok
  }

  static let page = DirtyBitmap.pageByteCount
  let client: CryptoClient
  let bitmap: DirtyBitmap
  let controlIndex: Int
  let control: DriverQueue
  var frontend: Frontend { client.frontend }
  var memory: GuestRAM { client.memory }
  var queue: DriverQueue { client.dataQueues[0] }

  /// What a front-end negotiates; `movesSessions`: DEVICE_STATE, too.
  static func options(
    _ format: RequestFormat, _ ring: RingKind, movesSessions: Bool = false
  ) -> Frontend.Options {
    var options = Frontend.Options(format: format, ring: ring)
    if movesSessions { options.protocolFeatures? |= ProtocolFeature.deviceState }
    return options
  }

  convenience init(_ daemon: DaemonProcess, format: RequestFormat, ring: RingKind) throws {
    try self.init(daemon, options: Self.options(format, ring))
  }

  init(_ daemon: DaemonProcess, options: Frontend.Options) throws {
    let frontend = try Frontend.connect(path: daemon.socketPath, options: options)
    try frontend.negotiate()
    let memory = try GuestRAM.scattered(regionByteCount: 16 << 20)
    try frontend.shareMemory(memory)
    let data = try frontend.makeQueue(size: 512, alignment: Self.page)
    try frontend.startQueue(0, data)
    controlIndex = Int(try frontend.readConfiguration().maxDataQueues)
    control = try frontend.makeQueue(size: 64, alignment: Self.page)
    try frontend.startQueue(controlIndex, control)
    client = CryptoClient(
      frontend: frontend, memory: memory, dataQueues: [data], control: .queue(control))
    client.timeoutMilliseconds = 20000
    bitmap = try DirtyBitmap(covering: memory, fileOffset: Self.page)
  }

  /// Has the device do something after all of memory was copied, and copies what was logged: nothing may differ.
  ///
  /// - `index`: the queue, which stands still while `prepare` fills it.
  /// - `allowed`: the only pages that may be logged, beside the ring's.
  func expectEverythingIsLogged(
    _ what: String, on queue: DriverQueue, index: Int, allowed: () -> Set<UInt64>,
    prepare: () throws -> Void, wait: () throws -> Void,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try frontend.setEnabled(index, false)
    try prepare()
    let shadow = try memory.emptyCopy()
    bitmap.clear()
    memory.copyAll(to: shadow)
    #expect(memory.differingPages(from: shadow).isEmpty, sourceLocation: sourceLocation)
    try frontend.setEnabled(index, true)
    try queue.kick()
    try wait()
    try frontend.stopQueue(index)
    let pages = bitmap.take()
    let changed = memory.differingPages(from: shadow)
    memory.copyPages(pages, to: shadow)
    let lost = memory.differingPages(from: shadow)
    #expect(
      lost.isEmpty, "\(what): not logged: \(lost.map { String($0, radix: 16) })",
      sourceLocation: sourceLocation)
    #expect(!changed.isEmpty, "\(what)", sourceLocation: sourceLocation)
    let surplus = Set(pages).subtracting(allowed()).subtracting(ringPages(queue))
    #expect(surplus.isEmpty, "\(what): logged without need", sourceLocation: sourceLocation)
    // Nothing more happens once the ring is back.
    #expect(bitmap.take().isEmpty, "\(what)", sourceLocation: sourceLocation)
    try frontend.startQueue(index, queue)
    try frontend.setVringAddress(index, queue, isLogged: true)
  }

  /// Pages of the parts that the device writes.
  func ringPages(_ queue: DriverQueue) -> Set<UInt64> {
    let size = Int(queue.size)
    guard queue.kind.isPacked else {
      return Set(GuestRAM.pages(queue.layout.used, byteCount: 6 + 8 * size))
    }
    return Set(GuestRAM.pages(queue.layout.used, byteCount: 4))
      .union(GuestRAM.pages(queue.layout.descriptorTable, byteCount: 16 * size))
  }

  /// Carries requests out, and expects that everything is logged and that each has its status.
  func expectEverythingIsLogged(
    _ items: [Item], plan: RequestPlan, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var plan = plan
    plan.alignment = Self.page
    var placed: [UInt32: (Item, PlacedRequest)] = [:]
    var pages = Set<UInt64>()
    try expectEverythingIsLogged(
      what, on: queue, index: 0, allowed: { pages },
      prepare: {
        for item in items {
          let request = try PlacedRequest(item.request, plan: plan, in: memory)
          for buffer in request.buffers where buffer.isWritable {
            pages.formUnion(
              GuestRAM.pages(buffer.guestAddress, byteCount: Int(buffer.byteCount)))
          }
          let head = try queue.reserve(request.buffers, indirect: plan.isIndirect)
          placed[UInt32(head)] = (item, request)
          queue.post(head)
        }
        _ = queue.publish()
      },
      wait: {
        for _ in items {
          let used = try queue.pollUsed(timeoutMilliseconds: 20000)
          let found = placed.removeValue(forKey: used.head)
          let (item, request) = try #require(found)
          let answer = try client.answer(request, used)
          if request.statusAddress != nil {
            #expect(
              answer.status == item.status, "\(what), \(item.name)",
              sourceLocation: sourceLocation)
          }
          queue.release(UInt16(truncatingIfNeeded: used.head))
          request.free(in: memory)
        }
      }, sourceLocation: sourceLocation)
  }
}
