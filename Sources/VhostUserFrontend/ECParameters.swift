internal import COpenSSL

/// The parameters of a curve as requests bring them, any of which a test may replace.
public struct ECParameters: Hashable, Sendable {
  public var isBinary: Bool
  /// The generator.
  public var generatorX: [UInt8]
  public var generatorY: [UInt8]
  public var order: [UInt8]
  /// The prime, or the polynomial.
  public var field: [UInt8]
  public var a: [UInt8]
  public var b: [UInt8]
  public var cofactor: [UInt8]

  var fieldType: Int { isBinary ? 1 : 0 }
  var parts: [[UInt8]] { [generatorX, generatorY, order, field, a, b, cofactor] }
  var words: [Int] { parts.map(\.count) + [0] }
}

/// A named curve of libcrypto's, and the arithmetic on it: what the device's results are compared with.
@safe
public final class ECCurve: @unchecked Sendable {
  // SAFETY, for this whole file: the group is made in the initialiser, not changed afterwards and freed with its object;
  // points live for the length of a function, and only the numbers that a function has made are written to.
  private let group: OpaquePointer
  public let name: String
  public let parameters: ECParameters

  /// The short names of all curves that libcrypto knows.
  public static var names: [String] {
    let count = EC_get_builtin_curves(nil, 0)
    var curves = unsafe [EC_builtin_curve](repeating: EC_builtin_curve(), count: count)
    _ = unsafe EC_get_builtin_curves(&curves, count)
    return unsafe curves.compactMap { unsafe OBJ_nid2sn($0.nid).map { unsafe String(cString: $0) } }
  }

  /// Nil for a name that libcrypto does not know.
  public init?(_ name: String) {
    guard let group = unsafe EC_GROUP_new_by_curve_name(OBJ_sn2nid(name)) else { return nil }
    unsafe self.group = group
    self.name = name
    let (field, a, b) = (BigNumber(0), BigNumber(0), BigNumber(0))
    let (x, y, order, cofactor) = (BigNumber(0), BigNumber(0), BigNumber(0), BigNumber(0))
    guard
      unsafe EC_GROUP_get_curve(group, field.pointer, a.pointer, b.pointer, nil) == 1,
      unsafe EC_POINT_get_affine_coordinates(
        group, EC_GROUP_get0_generator(group), x.pointer, y.pointer, nil) == 1,
      unsafe EC_GROUP_get_order(group, order.pointer, nil) == 1,
      unsafe EC_GROUP_get_cofactor(group, cofactor.pointer, nil) == 1
    else { return nil }
    parameters = ECParameters(
      isBinary: unsafe EC_GROUP_get_field_type(group) == NID_X9_62_characteristic_two_field,
      generatorX: x.bytes, generatorY: y.bytes, order: order.bytes, field: field.bytes,
      a: a.bytes, b: b.bytes, cofactor: cofactor.bytes)
  }

  deinit { unsafe EC_GROUP_free(group) }

  /// Bytes of a coordinate.
  public var fieldByteCount: Int { unsafe Int(EC_GROUP_get_degree(group) + 7) / 8 }
  /// Bytes of a scalar.
  public var orderByteCount: Int { parameters.order.count }

  /// Coordinates of a·G + b·P; nil for the point at infinity, and where P is not on the curve.
  public func combine(
    _ a: [UInt8], _ b: [UInt8] = [], x: [UInt8] = [], y: [UInt8] = []
  ) -> (x: [UInt8], y: [UInt8])? {
    let (a, b) = (BigNumber(bytes: a), BigNumber(bytes: b))
    let (xNumber, yNumber) = (BigNumber(bytes: x), BigNumber(bytes: y))
    let point = unsafe EC_POINT_new(group)
    let other = unsafe EC_POINT_new(group)
    defer {
      unsafe EC_POINT_free(point)
      unsafe EC_POINT_free(other)
    }
    let isDone: Bool
    if x.isEmpty {
      unsafe isDone = EC_POINT_mul(group, point, a.pointer, nil, nil, nil) == 1
    } else {
      unsafe isDone =
        EC_POINT_set_affine_coordinates(group, other, xNumber.pointer, yNumber.pointer, nil) == 1
        && EC_POINT_mul(group, point, a.pointer, other, b.pointer, nil) == 1
    }
    let (resultX, resultY) = (BigNumber(0), BigNumber(0))
    guard isDone,
      unsafe EC_POINT_get_affine_coordinates(
        group, point, resultX.pointer, resultY.pointer, nil) == 1,
      let xBytes = resultX.bytes(count: fieldByteCount),
      let yBytes = resultY.bytes(count: fieldByteCount)
    else { return nil }
    return (xBytes, yBytes)
  }

  /// The coordinates of a point of SEC 1, compressed or not; nil if it is none.
  public func coordinates(ofPoint encoded: [UInt8]) -> (x: [UInt8], y: [UInt8])? {
    let point = unsafe EC_POINT_new(group)
    defer { unsafe EC_POINT_free(point) }
    guard unsafe EC_POINT_oct2point(group, point, encoded, encoded.count, nil) == 1 else {
      return nil
    }
    var bytes = [UInt8](repeating: 0, count: 1 + 2 * fieldByteCount)
    let count = unsafe EC_POINT_point2oct(
      group, point, POINT_CONVERSION_UNCOMPRESSED, &bytes, bytes.count, nil)
    guard count == bytes.count else { return nil }
    return (Array(bytes[1..<1 + fieldByteCount]), Array(bytes[(1 + fieldByteCount)...]))
  }

  /// Whether r and s are an ECDSA signature of a digest (FIPS 186-4 §6.4), by the textbook.
  public func verify(
    r: [UInt8], s: [UInt8], digest: [UInt8], x: [UInt8], y: [UInt8]
  ) -> Bool {
    let n = BigNumber(bytes: parameters.order)
    let zero = BigNumber(0)
    let (rNumber, sNumber) = (BigNumber(bytes: r), BigNumber(bytes: s))
    guard rNumber > zero, rNumber < n, sNumber > zero, sNumber < n,
      let inverse = sNumber.inverse(modulo: n)
    else { return false }
    let shortened = BigNumber.leading(n.bitCount, of: digest)
    guard
      let point = combine(
        (shortened * inverse % n).bytes, (rNumber * inverse % n).bytes, x: x, y: y)
    else { return false }
    return BigNumber(bytes: point.x) % n == rNumber
  }
}

extension BigNumber {
  /// The number that so many leading bits of a digest mean.
  public static func leading(_ bitCount: Int, of digest: [UInt8]) -> BigNumber {
    let excess = digest.count * 8 - bitCount
    guard excess > 0 else { return BigNumber(bytes: digest) }
    let kept = Array(digest.prefix((bitCount + 7) / 8))
    let number = BigNumber(bytes: kept)
    let shift = kept.count * 8 - bitCount
    return shift == 0 ? number : number / BigNumber.powerOfTwo(shift)
  }

  public static func / (a: BigNumber, b: BigNumber) -> BigNumber { a.quotient(by: b) }
}
