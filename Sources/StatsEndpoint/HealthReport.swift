/// Whether the daemon does its work: `GET /healthz`, 200 or 503.
///
///   {"reasons":["device vm1, queue 0: stopped, the guest corrupted its ring: …"],"status":"failing"}
///
/// Healthy is: every device's control side answers, and no queue that a front-end has started stands still.
public struct HealthReport: Codable, Equatable, Sendable {
  public enum Status: String, Codable, Sendable { case ok, failing }

  public var status: Status
  /// What is wrong, one sentence each.
  public var reasons: [String]

  init(_ snapshot: DaemonSnapshot, silentDevices: [String]) {
    reasons = silentDevices.map { "device \($0): its control thread does not answer" }
    for device in snapshot.devices {
      if let fault = device.controlFault {
        reasons.append(
          "device \(device.name), control queue: stopped, the guest corrupted its ring: \(fault)")
      }
      for queue in device.queues {
        guard let fault = queue.fault else { continue }
        reasons.append(
          "device \(device.name), queue \(queue.index): stopped, the guest corrupted its ring: \(fault)"
        )
      }
    }
    status = reasons.isEmpty ? .ok : .failing
  }
}
