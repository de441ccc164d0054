import Foundation
import LinuxSystem
import Synchronization
import VhostUserFrontend
import VhostUserProtocol

/// The log of dirty pages of a measurement, whose bits are taken again and again as while a guest is migrated.
final class BenchDirtyLog: Sendable {
  /// How long pages gather.
  private static let roundMicroseconds: UInt32 = 100_000

  private let bitmap: DirtyBitmap
  private let isOver = Atomic(false)
  private let pageCount = Atomic(0)
  private let thread = Mutex<PinnedThread?>(nil)

  /// Has the back-end log from now on.
  init(_ client: CryptoClient) throws {
    guard client.frontend.protocolFeatures & ProtocolFeature.logSharedMemory != 0 else {
      throw BenchFailure(
        message: "--dirty-log: the device does not offer LOG_SHMFD",
        status: BenchFailure.unavailable)
    }
    bitmap = try DirtyBitmap(covering: client.memory)
    try client.startLogging(bitmap)
    let collector = try PinnedThread(name: "bench-log", cpu: nil) { [self] in collect() }
    thread.withLock { $0 = collector }
  }

  private func collect() {
    while !isOver.load(ordering: .acquiring) {
      usleep(Self.roundMicroseconds)
      pageCount.wrappingAdd(bitmap.clear(), ordering: .relaxed)
    }
  }

  func stop() {
    isOver.store(true, ordering: .releasing)
    thread.withLock { $0.take()?.join() }
  }

  /// Complains where requests were answered and nothing was logged.
  func check() throws {
    stop()
    guard pageCount.load(ordering: .relaxed) + bitmap.clear() > 0 else {
      throw BenchFailure(
        message: "--dirty-log: the device logged no page", status: BenchFailure.wrong)
    }
  }
}
