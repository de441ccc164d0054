import CKcapi
import CryptoTypes
import Glibc

/// What kind of socket a transform is.
enum TransformKind: Int32 {
  case skcipher, hash, aead

  /// What CKcapi calls it.
  var code: Int32 { @_noAllocation @_noLocks get { rawValue } }
}

/// One algorithm as the kernel knows it; lanes look these up by number.
@safe
struct Transform {
  var kind = TransformKind.skcipher
  /// Whether the kernel has it, and it is what its name promises.
  var isPresent = false
  /// Whether the kernel's own threads have to wait for it, as it finishes no read later and by itself.
  var runsInThread = true
  /// The algorithm or the driver that a socket is bound to; lives as long as the engine.
  var name: UnsafeMutablePointer<CChar>?
}

/// Every transform of the kernel's that algorithms are made of: found once, then read by lanes.
///
/// A plain view that lanes copy; the engine owns the memory and outlives its lanes.
@safe
struct TransformTable {
  private let transforms: UnsafeMutablePointer<Transform>

  // Numbers: algorithms by service, then what AES-F8 and GCM are put together from.
  private static let hashBase = CipherAlgorithm.allCases.count
  private static let macBase = hashBase + HashAlgorithm.allCases.count
  private static let aeadBase = macBase + MACAlgorithm.allCases.count
  private static let blockIndex = aeadBase + AEADAlgorithm.allCases.count
  static let count = blockIndex + 2

  // As constants, for the data path.
  @_noAllocation @_noLocks
  static func index(of cipher: CipherAlgorithm) -> Int { Int(cipher.rawValue) }
  @_noAllocation @_noLocks
  static func index(of hash: HashAlgorithm) -> Int { 14 &+ Int(hash.rawValue) }
  @_noAllocation @_noLocks
  static func index(of mac: MACAlgorithm) -> Int { 26 &+ Int(mac.rawValue) }
  @_noAllocation @_noLocks
  static func index(of aead: AEADAlgorithm) -> Int { 42 &+ Int(aead.rawValue) }
  /// AES-ECB, for single blocks.
  static var indexOfBlock: Int { @_noAllocation @_noLocks get { 45 } }
  /// GHASH, for GCM from a J0 of the guest's own.
  static var indexOfGHASH: Int { @_noAllocation @_noLocks get { 46 } }

  static func index(of algorithm: CryptoAlgorithm) -> Int {
    switch algorithm {
    case .cipher(let cipher): index(of: cipher)
    case .hash(let hash): index(of: hash)
    case .mac(let mac): index(of: mac)
    case .aead(let aead): index(of: aead)
    case .akcipher: preconditionFailure("the kernel has no socket for public keys")
    }
  }

  init() {
    precondition(
      (Self.hashBase, Self.macBase, Self.aeadBase, Self.blockIndex) == (14, 26, 42, 45),
      "the numbers above are the algorithms'")
    // SAFETY: sized by the count that indices are below of; freed by `release`.
    unsafe transforms = .allocate(capacity: Self.count)
    unsafe transforms.initialize(repeating: Transform(), count: Self.count)
  }

  /// Gives the memory back; no lane may be left.
  func release() {
    for index in 0..<Self.count { unsafe free(transforms[index].name) }
    unsafe transforms.deallocate()
  }

  @_noAllocation @_noLocks
  func transform(at index: Int) -> Transform {
    // SAFETY: indices are those of the functions above.
    unsafe transforms[index]
  }

  /// Looks for an algorithm in the kernel; why it is not there, nil when it is.
  ///
  /// `driver`: the one to use instead of the kernel's own choice.
  func find(_ algorithm: CryptoAlgorithm, driver: String?) -> String? {
    guard let (kind, usual) = KernelName.of(algorithm) else { return "the kernel does not have it" }
    let name = driver ?? usual
    if let reason = find(at: Self.index(of: algorithm), kind, name, algorithm) { return reason }
    switch algorithm {
    case .cipher(.aesF8):
      return find(at: Self.indexOfBlock, .skcipher, "ecb(aes)", .cipher(.aesECB))
    case .aead(.gcm):
      // Without these the usual GCM is there all the same.
      _ = find(at: Self.indexOfBlock, .skcipher, "ecb(aes)", .cipher(.aesECB))
      _ = find(at: Self.indexOfGHASH, .hash, "ghash", nil)
      let counter = TransformTable.index(of: CipherAlgorithm.aesCTR)
      if !transform(at: counter).isPresent { _ = find(at: counter, .skcipher, "ctr(aes)", nil) }
      return nil
    default: return nil
    }
  }

  private func find(
    at index: Int, _ kind: TransformKind, _ name: String, _ algorithm: CryptoAlgorithm?
  ) -> String? {
    var traits = ckcapi_traits()
    let result = unsafe ckcapi_query(kind.rawValue, name, &traits)
    guard result == 0 else {
      return result == -ENOENT ? "the kernel has no \(name)" : "\(name): \(Self.text(-result))"
    }
    if let algorithm, let mismatch = Self.describeMismatch(algorithm, traits) {
      return "\(name) \(mismatch)"
    }
    // SAFETY: the index is in bounds; the copy of the name is freed by `release`.
    unsafe transforms[index].kind = kind
    unsafe transforms[index].isPresent = true
    unsafe free(transforms[index].name)
    unsafe transforms[index].name = strdup(name)
    return nil
  }

  /// What makes a transform another one than the algorithm, such as a driver of another mode; nil if nothing does.
  private static func describeMismatch(
    _ algorithm: CryptoAlgorithm, _ traits: ckcapi_traits
  ) -> String? {
    // All zero where the kernel cannot describe it; the self-test decides then.
    if traits.iv_count == 0, traits.block_count == 0, traits.result_count == 0 { return nil }
    let (ivByteCount, resultByteCount) = KernelName.traits(of: algorithm)
    if traits.iv_count != ivByteCount {
      return "takes an IV of \(traits.iv_count) bytes, not \(ivByteCount)"
    }
    if resultByteCount != 0, traits.result_count != resultByteCount {
      return "gives \(traits.result_count) bytes, not \(resultByteCount)"
    }
    return nil
  }

  /// Notes whether the kernel finishes a transform's reads by itself: tried, as no interface says so.
  func measureAsynchrony(of algorithm: CryptoAlgorithm) {
    let index = Self.index(of: algorithm)
    // SAFETY: the index is in bounds.
    let transform = unsafe transforms[index]
    guard transform.isPresent, transform.kind != .hash, let name = unsafe transform.name else {
      return
    }
    let socket = unsafe ckcapi_open(transform.kind.rawValue, name)
    guard socket >= 0 else { return }
    defer { ckcapi_close(socket) }
    let key = [UInt8](0..<64)
    let keyByteCount = KernelName.trialKeyByteCount(of: algorithm)
    guard unsafe ckcapi_set_key(socket, key, keyByteCount) == 0 else { return }
    let (ivByteCount, _) = KernelName.traits(of: algorithm)
    unsafe transforms[index].runsInThread = !ckcapi_is_asynchronous(
      transform.kind.rawValue, socket, ivByteCount, 4096)
  }

  /// Algorithms whose reads the kernel finishes by itself.
  func isAsynchronous(_ algorithm: CryptoAlgorithm) -> Bool {
    let transform = unsafe transforms[Self.index(of: algorithm)]
    return transform.isPresent && !transform.runsInThread
  }

  private static func text(_ code: Int32) -> String {
    // SAFETY: strerror's text is copied at once.
    unsafe String(cString: strerror(code))
  }
}
