import CryptoTypes

/// Operations in the order of their arrival; as many as a worker has slots for.
@safe
struct OperationQueue: ~Copyable {
  private let places: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>?>
  private let mask: Int
  private var head = 0
  private var tail = 0

  /// `capacity`: operations that there can be at once.
  init(capacity: Int) {
    var count = 1
    while count < capacity { count *= 2 }
    unsafe places = .allocate(capacity: count)
    unsafe places.initialize(repeating: nil, count: count)
    mask = count - 1
  }

  deinit { unsafe places.deallocate() }

  var first: UnsafeMutablePointer<CryptoOperation>? {
    // SAFETY: positions are taken modulo the count of places.
    @_noAllocation @_noLocks get { head == tail ? nil : unsafe places[head & mask] }
  }

  /// Adds an operation; the caller has no more than `capacity` of them.
  @_noAllocation @_noLocks
  mutating func append(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    unsafe places[tail & mask] = operation
    tail &+= 1
  }

  @_noAllocation @_noLocks
  mutating func removeFirst() -> UnsafeMutablePointer<CryptoOperation>? {
    guard head != tail else { return nil }
    let operation = unsafe places[head & mask]
    head &+= 1
    return unsafe operation
  }
}
