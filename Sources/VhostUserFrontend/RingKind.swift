internal import Glibc
internal import VirtioSpec

/// How a driver's rings are laid out, and whether the device has to finish chains in order.
public enum RingKind: String, CaseIterable, Hashable, Sendable {
  case split
  case packed
  case splitInOrder = "split-in-order"
  case packedInOrder = "packed-in-order"

  public init(isPacked: Bool, isInOrder: Bool) {
    self =
      isPacked ? (isInOrder ? .packedInOrder : .packed) : (isInOrder ? .splitInOrder : .split)
  }

  /// What was negotiated.
  public init(features: UInt64) {
    self.init(
      isPacked: features & VirtioFeature.ringPacked != 0,
      isInOrder: features & VirtioFeature.inOrder != 0)
  }

  public var isPacked: Bool { self == .packed || self == .packedInOrder }
  public var isInOrder: Bool { self == .splitInOrder || self == .packedInOrder }

  /// The feature bits that ask for it.
  public var features: UInt64 {
    (isPacked ? VirtioFeature.ringPacked : 0) | (isInOrder ? VirtioFeature.inOrder : 0)
  }

  /// Split rings, or what the environment's `VHOST_CRYPTO_RING` names, which lets all tests run over each kind.
  public static let usual: RingKind =
    unsafe getenv("VHOST_CRYPTO_RING").flatMap { unsafe RingKind(rawValue: String(cString: $0)) }
    ?? .split
}
