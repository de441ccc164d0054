public import CryptoTypes
import VirtioSpec

/// The control side of one virtio-crypto device: its sessions, and the control requests that make and end them.
///
/// Used by one thread, the device's own.
@safe
public final class DeviceCore {
  /// Its sizes stay those that the device was made with.
  public var offer: DeviceOffer
  public let sessions: SessionTable
  /// Sessions refused since the start, for the statistics.
  public private(set) var refusedCount: UInt64 = 0
  /// What the driver has negotiated.
  private var layout: RequestLayout
  /// Decides the control requests' layout and whether `NOSPC` exists.
  public var revision1: Bool { layout.revision1 }

  /// As many as one round of the largest control queue can destroy before a worker gets to hear of it.
  private static let spareSessionCount = 1024

  /// What became of the journal's sessions.
  public private(set) var restoration = Restoration()

  /// Whether the connection was let have sessions of an earlier one.
  var isContinuing = false
  /// A session that an earlier process has ended without telling the guest, which asks again.
  var finishedDestruction: UInt64?

  let validate: (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome

  /// How many slots a journal needs for a device of this capacity.
  public static func slotCount(capacity: Int) -> Int { capacity + spareSessionCount }

  /// Makes a device; the sessions of a journal are held until ``admitHeld()``.
  ///
  /// - `journal`: where sessions outlive the process.
  /// - `validate`: tries to expand a new session's keys in the engines of its route, and takes those out that cannot.
  public init(
    offer: DeviceOffer, journal: SessionJournal? = nil,
    validate: @escaping (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome
  ) {
    self.offer = offer
    layout = offer.layout(features: 0)
    unsafe self.validate = unsafe validate
    sessions = SessionTable(
      capacity: offer.sessionCapacity, workerCount: offer.dataQueueCount,
      spareCount: Self.spareSessionCount, journal: journal,
      // A guest may know identifiers of an earlier process whose sessions are lost: no session of ours has one of those,
      // but by a chance of one in two thousand millions.
      firstGeneration: .random(in: 0..<0x7fff_ffff))
    restoration = restore()
  }

  /// Takes the features that the driver accepts; 0 when it is gone.
  public func negotiate(features: UInt64) { layout = offer.layout(features: features) }

  /// Makes a session; the keys are copied.
  ///
  /// Returns its identifier, which is positive as a signed number too.
  public func createSession(
    _ request: SessionRequest, cipherKey: UnsafeRawBufferPointer, authKey: UnsafeRawBufferPointer
  ) throws(Refusal) -> UInt64 {
    do throws(Refusal) {
      var parameters = try request.resolve(offer.algorithms)
      guard sessions.openCount < offer.allowedSessionCount else { throw .tableFull }
      parameters.maximumOperationMilliseconds = offer.maximumOperationMilliseconds
      switch unsafe sessions.create(
        parameters, request: request, cipherKey: cipherKey, authKey: authKey, check: validate)
      {
      case .success(let identifier): return identifier
      case .failure(.tableFull): throw .tableFull
      case .failure(.keyUnusable): throw .error
      case .failure(.unsupported): throw .unsupported
      }
    } catch {
      refusedCount += 1
      throw error
    }
  }

  /// Ends a session of one of these services.
  public func destroySession(
    _ identifier: UInt64, services: CryptoServices
  ) throws(Refusal) {
    if sessions.destroy(identifier, of: services) { return }
    guard identifier == finishedDestruction else { throw .invalidSession }
    finishedDestruction = nil
  }

  /// Carries out a control request: the bytes of its outcome, as many as the guest left room for.
  ///
  /// - `bytes`: the readable part, copied out of guest memory.
  /// - `outcomeByteCount`: the size of the writable part.
  /// Returns nil if the outcome does not fit.
  ///
  /// Spec: draft v25 §Control Virtqueue. Destroying answers with one byte, or, where the guest leaves eight (draft
  /// v23), with a le32 and zeros.
  public func perform(_ bytes: UnsafeRawBufferPointer, outcomeByteCount: Int) -> ControlOutcome? {
    do throws(Refusal) {
      let request = try ControlRequest(
        unsafe bytes.bytes, revision1: revision1, dialect: offer.dialect)
      switch request {
      case .create(let session, let cipherKey, let authKey):
        guard outcomeByteCount >= VirtioCryptoWire.createSessionInputByteCount else { return nil }
        guard layout.hasSessions(session.service) else {
          refusedCount += 1
          throw .unsupported
        }
        let identifier = unsafe try createSession(
          session, cipherKey: unsafe UnsafeRawBufferPointer(rebasing: bytes[cipherKey]),
          authKey: unsafe UnsafeRawBufferPointer(rebasing: bytes[authKey]))
        return ControlOutcome(identifier, .ok)
      case .destroy(let identifier, let services):
        guard outcomeByteCount >= 1 else { return nil }
        try destroySession(identifier, services: services)
        return ControlOutcome(destruction: .ok, room: outcomeByteCount)
      }
    } catch {
      let status = VirtioCryptoStatus(error, revision1: revision1)
      // The low byte of an opcode that ends a session: its outcome has another shape.
      let isDestroy = unsafe bytes.count >= 4 && (bytes[0] == 0x03 || bytes[0] == 0x05)
      if !isDestroy, outcomeByteCount >= VirtioCryptoWire.createSessionInputByteCount {
        return ControlOutcome(0, status)
      }
      return outcomeByteCount >= 1
        ? ControlOutcome(destruction: status, room: outcomeByteCount) : nil
    }
  }
}

/// What the guest gets back for a control request: at most sixteen bytes, little-endian.
public struct ControlOutcome: Equatable {
  public var words: (UInt64, UInt64)
  public var byteCount: Int

  /// `struct virtio_crypto_create_session_input`; the identifier is 0 unless the status is `OK`.
  init(_ identifier: UInt64, _ status: VirtioCryptoStatus) {
    words = (identifier.littleEndian, UInt64(status.rawValue).littleEndian)
    byteCount = VirtioCryptoWire.createSessionInputByteCount
  }

  /// `struct virtio_crypto_destroy_session_input`.
  init(destruction status: VirtioCryptoStatus, room: Int) {
    words = (UInt64(status.rawValue).littleEndian, 0)
    byteCount = room >= 8 ? 8 : 1
  }

  public static func == (first: Self, second: Self) -> Bool {
    first.words == second.words && first.byteCount == second.byteCount
  }
}
