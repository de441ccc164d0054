/// What there is to know of an engine without starting it: what a capability file can ask of it.
public struct EngineDescription: Sendable {
  /// The name in the capability file and in statistics.
  public var name: String
  /// What it can do where its library and the host have everything; what it does here is for its self-test to say.
  public var algorithms: Set<CryptoAlgorithm>
  /// Whether one of several drivers can be named for an algorithm.
  public var hasDrivers: Bool
  /// Whether somebody else computes while its lanes go on: then a long operation keeps no thread busy.
  public var isAsynchronous: Bool
  /// Why it is not in this build; nil: it is.
  public var absence: String?

  public init(
    name: String, algorithms: Set<CryptoAlgorithm>, hasDrivers: Bool = false,
    isAsynchronous: Bool = false, absence: String? = nil
  ) {
    self.name = name
    self.algorithms = algorithms
    self.hasDrivers = hasDrivers
    self.isAsynchronous = isAsynchronous
    self.absence = absence
  }
}
