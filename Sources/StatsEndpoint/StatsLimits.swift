/// What all readers together may take; each limit is there for readers who mean harm, or sleep.
public struct StatsLimits: Sendable {
  /// Connections at a time.
  ///
  /// One more closes the one that has waited longest without asking anything.
  public var connectionCount = 64
  /// Bytes of a request with its headers.
  public var requestByteCount = 8192
  /// How long a request may take to arrive, however slowly it trickles.
  public var requestMilliseconds: Int64 = 10_000
  /// How long an answer may take to be read.
  public var answerMilliseconds: Int64 = 30_000
  /// Bytes of answers that nobody has read yet.
  ///
  /// More closes those that have waited longest.
  public var unreadByteCount = 32 << 20

  public init() {}
}
