import EngineOpenSSL
import EngineTestSupport

/// This engine finishes everything at once.
final class OpenSSLHarness: LaneHarness<OpenSSLLane> {
  override var isSynchronous: Bool { true }
}
