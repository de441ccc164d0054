public import CryptoTypes
public import VirtioSpec

/// Why a request is refused.
public enum Refusal: Error, Equatable {
  /// The algorithm, operation, key size or mode is not offered.
  case unsupported
  /// Lengths disagree or do not fit, a key is malformed, or something failed.
  case error
  /// No such session for this service.
  case invalidSession
  /// No session slot is left.
  case tableFull
}

extension VirtioCryptoStatus {
  /// What the guest is told of a refusal.
  ///
  /// `NOSPC` exists only where `VIRTIO_CRYPTO_F_REVISION_1` is negotiated. Spec: draft v25 §Operation Status.
  public init(_ refusal: Refusal, revision1: Bool) {
    switch refusal {
    case .unsupported: self = .notsupp
    case .error: self = .err
    case .invalidSession: self = .invsess
    case .tableFull: self = revision1 ? .nospc : .err
    }
  }

  /// What the guest is told of an engine's outcome.
  @_noAllocation @_noLocks
  public init(_ outcome: CryptoOutcome) {
    switch outcome {
    case .ok: self = .ok
    case .failed, .exhausted: self = .err
    case .tagMismatch: self = .badmsg
    case .unsupported: self = .notsupp
    case .signatureMismatch: self = .keyRejected
    }
  }
}
