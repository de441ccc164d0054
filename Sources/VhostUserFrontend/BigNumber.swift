internal import COpenSSL

/// An integer of any size, as a value: what right and wrong keys are made of.
@safe
public final class BigNumber: @unchecked Sendable {
  // SAFETY, for this whole file: the number is made in an initialiser, never changed afterwards and freed with its
  // object, which outlives every call that it is passed to.
  private let pointer: OpaquePointer

  private init(taking pointer: OpaquePointer?) {
    guard let pointer = unsafe pointer else {
      preconditionFailure("libcrypto has no memory for a number")
    }
    unsafe self.pointer = pointer
  }

  deinit { unsafe BN_clear_free(pointer) }

  /// The number that big-endian bytes mean.
  public convenience init(bytes: [UInt8]) {
    unsafe self.init(taking: BN_bin2bn(bytes, Int32(bytes.count), nil))
  }

  public convenience init(_ value: UInt64) {
    self.init(bytes: ReferenceCrypto.bigEndian(value))
  }

  /// A random number of exactly so many bits.
  public static func random(bitCount: Int, isOdd: Bool = false) -> BigNumber {
    unsafe made { unsafe BN_rand($0, Int32(bitCount), BN_RAND_TOP_ONE, isOdd ? 1 : 0) }
  }

  /// A random prime of so many bits, the two highest of which are set: two of them have a product of twice the bits.
  public static func randomPrime(bitCount: Int) -> BigNumber {
    unsafe made { unsafe BN_generate_prime_ex($0, Int32(bitCount), 0, nil, nil, nil) }
  }

  /// 2^`exponent`.
  public static func powerOfTwo(_ exponent: Int) -> BigNumber {
    unsafe made { unsafe BN_set_bit($0, Int32(exponent)) }
  }

  /// The prime of a Diffie-Hellman group, which saves making one: RFC 3526's, and RFC 7919's of the same size.
  public static func groupPrimes(bitCount: Int) -> [BigNumber] {
    let first: OpaquePointer? =
      switch bitCount {
      case 2048: unsafe BN_get_rfc3526_prime_2048(nil)
      case 4096: unsafe BN_get_rfc3526_prime_4096(nil)
      case 8192: unsafe BN_get_rfc3526_prime_8192(nil)
      default: nil
      }
    guard let first = unsafe first else { return [] }
    var second: OpaquePointer?
    let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "DH", nil)
    var group: OpaquePointer?
    defer {
      unsafe EVP_PKEY_CTX_free(context)
      unsafe EVP_PKEY_free(group)
    }
    guard
      unsafe EVP_PKEY_paramgen_init(context) == 1,
      unsafe EVP_PKEY_CTX_set_group_name(context, "ffdhe\(bitCount)") == 1,
      unsafe EVP_PKEY_generate(context, &group) == 1,
      unsafe EVP_PKEY_get_bn_param(group, "p", &second) == 1
    else { preconditionFailure("libcrypto does not know ffdhe\(bitCount)") }
    return unsafe [BigNumber(taking: first), BigNumber(taking: second)]
  }

  private static func made(_ fill: (OpaquePointer) -> Int32) -> BigNumber {
    let result = unsafe BigNumber(taking: BN_new())
    let isFilled = unsafe fill(result.pointer)
    precondition(isFilled == 1, "libcrypto did not compute a number")
    return result
  }

  private static func made(
    _ fill: (_ result: OpaquePointer, _ scratch: OpaquePointer) -> Int32
  ) -> BigNumber {
    guard let scratch = unsafe BN_CTX_new() else {
      preconditionFailure("libcrypto has no memory for a number")
    }
    defer { unsafe BN_CTX_free(scratch) }
    return unsafe made { unsafe fill($0, scratch) }
  }

  // MARK: What it is

  public var bitCount: Int { unsafe Int(BN_num_bits(pointer)) }

  /// The fewest big-endian bytes; none for 0.
  public var bytes: [UInt8] {
    var result = [UInt8](repeating: 0, count: (bitCount + 7) / 8)
    unsafe BN_bn2bin(pointer, &result)
    return result
  }

  /// As many big-endian bytes as asked for; nil when the number needs more.
  public func bytes(count: Int) -> [UInt8]? {
    let bytes = bytes
    guard bytes.count <= count else { return nil }
    return [UInt8](repeating: 0, count: count - bytes.count) + bytes
  }

  // MARK: Arithmetic

  /// `self` to the power of `exponent`, modulo `modulus`.
  public func power(_ exponent: BigNumber, modulo modulus: BigNumber) -> BigNumber {
    unsafe Self.made { unsafe BN_mod_exp($0, pointer, exponent.pointer, modulus.pointer, $1) }
  }

  /// The inverse modulo `modulus`; nil when there is none.
  public func inverse(modulo modulus: BigNumber) -> BigNumber? {
    guard let scratch = unsafe BN_CTX_new() else { return nil }
    defer { unsafe BN_CTX_free(scratch) }
    guard let result = unsafe BN_mod_inverse(nil, pointer, modulus.pointer, scratch) else {
      return nil
    }
    return unsafe BigNumber(taking: result)
  }

  public static func + (a: BigNumber, b: BigNumber) -> BigNumber {
    unsafe made { unsafe BN_add($0, a.pointer, b.pointer) }
  }

  public static func - (a: BigNumber, b: BigNumber) -> BigNumber {
    unsafe made { unsafe BN_sub($0, a.pointer, b.pointer) }
  }

  public static func * (a: BigNumber, b: BigNumber) -> BigNumber {
    unsafe made { unsafe BN_mul($0, a.pointer, b.pointer, $1) }
  }

  public static func % (a: BigNumber, b: BigNumber) -> BigNumber {
    unsafe made { unsafe BN_div(nil, $0, a.pointer, b.pointer, $1) }
  }
}

extension BigNumber: Comparable {
  public static func == (a: BigNumber, b: BigNumber) -> Bool {
    unsafe BN_cmp(a.pointer, b.pointer) == 0
  }

  public static func < (a: BigNumber, b: BigNumber) -> Bool {
    unsafe BN_cmp(a.pointer, b.pointer) < 0
  }
}
