public import CryptoTypes

extension StatisticsRow {
  /// The row of every request of a session.
  @_noAllocation @_noLocks
  public init(_ session: SessionParameters) {
    let index: UInt16
    let direction = UInt16(session.direction.rawValue)
    switch session.service {
    case .cipher: index = UInt16(session.cipher.rawValue) * 2 + direction
    case .hash: index = Self.hashBase + UInt16(session.hash.rawValue)
    case .mac: index = Self.macBase + UInt16(session.mac.rawValue)
    case .aead: index = Self.aeadBase + UInt16(session.aead.rawValue) * 2 + direction
    case .chain:
      let half: UInt16 =
        switch session.hashMode {
        case .plain: UInt16(session.hash.rawValue)
        case .nested: Self.hashes + UInt16(session.hash.rawValue)
        case .authenticated: Self.hashes * 2 + UInt16(session.mac.rawValue)
        }
      index =
        Self.chainBase
        + (UInt16(session.cipher.rawValue) * Self.chainHalves + half) * 2 + direction
    }
    self.init(index: index)
  }
}
