import CRingShims

/// A back-end that knows of a packed ring's record what the protocol says, and nothing else.
///
/// It takes and finishes one chain at a time. Where the protocol compares places it compares their wrap counters, too.
/// Spec: vhost-user, "Inflight I/O tracking", the steps for packed virtqueues.
struct OtherBackend {
  private let memory: UnsafeMutablePointer<UInt8>
  private let size: Int

  init(_ memory: UnsafeMutablePointer<UInt8>, size: Int) {
    self.memory = memory
    self.size = size
  }

  private func half(_ offset: Int) -> UInt16 { cring_load16(memory + CrashWorld.record + offset) }
  private func set(_ offset: Int, _ value: UInt16) {
    cring_store16(memory + CrashWorld.record + offset, value)
  }
  private func state(_ index: Int) -> Int { 32 + 32 * index }

  private func place(_ index: Int, _ wrap: Int) -> PackedDriver.Place {
    PackedDriver.Place(
      index: Int(half(index)), wrap: cring_load8(memory + CrashWorld.record + wrap) == 1)
  }

  private func entry(_ place: PackedDriver.Place) -> UnsafeMutablePointer<UInt8> {
    memory + CrashWorld.table + 16 * place.index
  }

  private func isAvailable(_ place: PackedDriver.Place) -> Bool {
    let both = PackedDriver.avail | PackedDriver.used
    return cring_load16(entry(place) + 14) & both
      == (place.wrap ? PackedDriver.avail : PackedDriver.used)
  }

  /// The chains that it takes, by their identifiers: those in flight in the order of their counters, then what is available
  /// in the ring behind them.
  var chains: [UInt16] {
    guard half(8) == 1 else { return inRing(from: PackedDriver.Place(index: 0, wrap: true)) }
    let capacity = Int(half(10))
    // `free_head`, `used_idx` and `used_wrap_counter`, or the old ones where the last batch was not shown.
    var (head, used) = (Int(half(12)), place(16, 20))
    let old = place(18, 21)
    if used != old, isAvailable(old) { (head, used) = (Int(half(14)), old) }
    if used == old { head = Int(half(14)) }
    var free: Set<Int> = []
    while head < capacity, free.insert(head).inserted { head = Int(half(state(head) + 2)) }
    let inFlight = (0..<capacity).filter {
      !free.contains($0) && cring_load8(memory + CrashWorld.record + state($0)) == 1
    }.sorted { counter($0) < counter($1) }
    var next = used
    for first in inFlight { next.advance(Int(half(state(first) + 6)), size: size) }
    // The last descriptor has the identifier.
    return inFlight.map { half(state(Int(half(state($0) + 4))) + 16) } + inRing(from: next)
  }

  // MARK: - At work, where nothing is in flight

  /// A chain that it has taken.
  struct Taken {
    fileprivate var state: Int
    fileprivate var count: Int
    fileprivate var id: UInt16
  }

  /// Takes the chain at a place of the ring, and records it under a counter.
  func take(at start: PackedDriver.Place, counter: UInt64) -> Taken {
    let first = Int(half(12))
    var (place, current, last, count) = (start, first, first, 0)
    var flags: UInt16
    repeat {
      flags = cring_load16(entry(place) + 14)
      cring_store64(memory + CrashWorld.record + state(current) + 24, cring_load64(entry(place)))
      let word = cring_load64(entry(place) + 8)
      cring_store64(memory + CrashWorld.record + state(current) + 16, word >> 32 | word << 32)
      last = current
      count += 1
      current = Int(half(state(current) + 2))
      place.advance(1, size: size)
    } while flags & DriverDescriptor.next != 0
    set(state(first) + 4, UInt16(last))
    set(state(first) + 6, UInt16(count))
    cring_store64(memory + CrashWorld.record + state(first) + 8, counter)
    set(state(first), 1)
    set(12, UInt16(current))
    set(14, UInt16(current))
    return Taken(state: first, count: count, id: half(state(last) + 16))
  }

  /// Finishes a chain, whose used descriptor goes where the record says.
  func finish(_ chain: Taken) {
    let used = place(16, 20)
    let flags = used.wrap ? PackedDriver.avail | PackedDriver.used : 0
    cring_store64(
      entry(used) + 8, 1 | UInt64(chain.id) << 32 | UInt64(flags | DriverDescriptor.write) << 48)
    set(state(Int(half(state(chain.state) + 4))) + 2, half(12))
    set(12, UInt16(chain.state))
    set(14, UInt16(chain.state))
    set(state(chain.state), 0)
    let next = used.advanced(chain.count, size: size)
    for (index, wrap) in [(16, 20), (18, 21)] {
      set(index, UInt16(next.index))
      cring_store8(memory + CrashWorld.record + wrap, next.wrap ? 1 : 0)
    }
  }

  /// Takes and finishes the next chain; nothing is in flight.
  func serveOne(counter: UInt64) { finish(take(at: place(16, 20), counter: counter)) }

  /// Where the record has the used descriptors.
  var used: PackedDriver.Place { place(16, 20) }

  private func counter(_ index: Int) -> UInt64 {
    cring_load64(memory + CrashWorld.record + state(index) + 8)
  }

  private func inRing(from start: PackedDriver.Place) -> [UInt16] {
    var chains: [UInt16] = []
    var place = start
    while isAvailable(place) {
      while cring_load16(entry(place) + 14) & DriverDescriptor.next != 0 {
        place.advance(1, size: size)
      }
      chains.append(cring_load16(entry(place) + 12))
      place.advance(1, size: size)
    }
    return chains
  }
}
