/// Which text of virtio-crypto a device speaks: `device.dialect` in the capability file.
///
/// A dialect is another decoder in front of the same device. Spec: docs/wire.md, "Dialects".
public enum Dialect: String, CaseIterable, Sendable {
  /// Virtio 1.3, which is draft v25 and the akcipher draft.
  case virtio13 = "virtio-1.3"
  /// Draft v15 of January 2017: session-mode feature bits, and one structure for requests with and without a session.
  case draftV15 = "draft-v15"
  /// The asymmetric RFC, version 3, which stands on draft v15.
  case rfcAsymV3 = "rfc-asym-v3"

  /// Whether requests and feature bits are draft v15's.
  @inlinable public var isDraftV15: Bool {
    @_noAllocation @_noLocks get {
      switch self {
      case .virtio13: false
      case .draftV15, .rfcAsymV3: true
      }
    }
  }

  /// Whether there is an AKCIPHER service; draft v15 came before it.
  @inlinable public var hasAKCipher: Bool { !isDraftV15 }
}
