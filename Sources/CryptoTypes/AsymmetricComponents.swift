/// How a key in parts lies in memory: a header of words in the host's byte order, then the bytes of the parts, one
/// behind the other, each a big-endian number of any length.
///
/// The parts, in their order:
///
/// - RSA: n, e, d, p, q, dp, dq, qinv, then of all further primes: primes, exponents, coefficients
/// - DSA: p, q, g, x, y
/// - DH: p, g, x, y
/// - ECDSA and ECDH: the generator's x and y, order, field prime or polynomial, a, b, cofactor, scalar, x, y
///
/// Those that an operation does not need may be empty. The results of these operations are flat: numbers of the widths
/// that the header gives, with zeros in front; a number that does not fit fails the operation.
///
/// - DSA and ECDSA signatures are r and s; RSA's is one number.
/// - A generated RSA key is n, d, n, e in the representation 0; in the representation 1 it is p, q, dp, dq, qinv, then
///   all further primes, exponents and coefficients, n, e.
/// - A generated DSA key is p, q, g, x, y; generated DH parameters are p, g and a key is x, y; an EC key is d, x, y.
/// - Texts have the length that they have.
public enum AsymmetricComponents {
  /// How many parts, and how many widths, the header has room for.
  public static var partCount: Int { @_noAllocation @_noLocks @inlinable get { 12 } }
  /// Four words and two tables.
  public static var headerByteCount: Int { @_noAllocation @_noLocks @inlinable get { 112 } }

  /// EC: 0 for a prime field, 1 for a binary one.
  public static var fieldTypeOffset: Int { @_noAllocation @_noLocks @inlinable get { 0 } }
  /// RSA: how many primes a key of representation 1, or one to generate, has.
  public static var primeCountOffset: Int { @_noAllocation @_noLocks @inlinable get { 4 } }
  /// RSA: what a private key brings: 0 for n and d, 1 for the primes.
  public static var representationOffset: Int { @_noAllocation @_noLocks @inlinable get { 8 } }
  /// The length of a modulus that is to be generated.
  public static var modulusByteCountOffset: Int { @_noAllocation @_noLocks @inlinable get { 12 } }

  /// Where the length of a part is.
  @_noAllocation @_noLocks
  @inlinable public static func partByteCountOffset(_ index: Int) -> Int { 16 &+ index &* 4 }

  /// Where the width of a result's part is; of `verify`, those of the signature's parts.
  @_noAllocation @_noLocks
  @inlinable public static func resultByteCountOffset(_ index: Int) -> Int { 64 &+ index &* 4 }
}
