extension DaemonSnapshot {
  private typealias Labels = OpenMetricsWriter.Labels

  /// The snapshot as OpenMetrics text.
  public func openMetrics() -> String {
    var writer = OpenMetricsWriter()
    writer.family("vhost_crypto", .info, help: "The daemon.")
    writer.sample("vhost_crypto_info", Labels(["version": version]), 1)
    writer.family(
      "vhost_crypto_uptime_seconds", .gauge, unit: "seconds", help: "Time since the start.")
    writer.sample("vhost_crypto_uptime_seconds", uptimeSeconds)
    writer.family("vhost_crypto_engine", .info, help: "The engines and their libraries.")
    for engine in engines {
      writer.sample(
        "vhost_crypto_engine_info", Labels(["engine": engine.name, "version": engine.version]), 1)
    }
    writer.family("vhost_crypto_build", .info, help: "How the daemon was built.")
    writer.sample(
      "vhost_crypto_build_info",
      Labels(["architecture": build.architecture, "configuration": build.configuration]), 1)
    writeProcess(&writer)
    writeDevices(&writer)
    writeQueues(&writer)
    writeAlgorithms(&writer)
    writer.end()
    return writer.text
  }

  /// Under the names that Prometheus's client libraries use.
  private func writeProcess(_ writer: inout OpenMetricsWriter) {
    writer.family(
      "process_cpu_seconds", .counter, unit: "seconds", help: "Processor time of all threads.")
    writer.sample("process_cpu_seconds_total", process.cpuSeconds)
    writer.family(
      "process_start_time_seconds", .gauge, unit: "seconds", help: "When it started, since 1970.")
    writer.sample("process_start_time_seconds", process.startSeconds)
    writer.family(
      "process_resident_memory_bytes", .gauge, unit: "bytes", help: "Memory in use.")
    writer.sample("process_resident_memory_bytes", process.residentBytes)
    writer.family("process_open_fds", .gauge, help: "Open file descriptors.")
    writer.sample("process_open_fds", process.openFiles)
    writer.family("process_max_fds", .gauge, help: "File descriptors that may be open.")
    writer.sample("process_max_fds", process.maximumFiles)
    writer.family("process_threads", .gauge, help: "Threads.")
    writer.sample("process_threads", process.threads)
  }

  private func writeDevices(_ writer: inout OpenMetricsWriter) {
    let devices = devices.map { (labels: Labels(["device": $0.name]), device: $0) }
    func gauge(
      _ name: String, help: String, _ value: (DeviceSnapshot) -> some CustomStringConvertible
    ) {
      writer.family(name, .gauge, help: help)
      for (labels, device) in devices { writer.sample(name, labels, value(device)) }
    }
    gauge("vhost_crypto_device_connected", help: "Whether a front-end is connected.") {
      $0.connected ? 1 : 0
    }
    gauge(
      "vhost_crypto_control_queue_faulty",
      help: "Whether the control queue has stopped because the guest corrupted its ring."
    ) { $0.controlFault == nil ? 0 : 1 }
    let limits: [(String, String, (DeviceLimits) -> UInt64)] = [
      ("operations_per_second", "Operations a second; 0 is unlimited.", { $0.operationsPerSecond }),
      ("bytes_per_second", "Bytes a second; 0 is unlimited.", { $0.bytesPerSecond }),
      ("sessions", "Sessions that may exist.", { $0.sessions }),
      ("request_bytes", "The most payload of one request.", { $0.requestBytes }),
      ("cipher_key_bytes", "The longest key of a cipher.", { $0.cipherKeyBytes }),
      ("auth_key_bytes", "The longest key of a MAC.", { $0.authKeyBytes }),
    ]
    for (name, help, value) in limits {
      gauge("vhost_crypto_limit_\(name)", help: help) { value($0.limits) }
    }
    gauge("vhost_crypto_sessions_open", help: "Sessions that exist.") { $0.sessions.open }
    let counters: [(String, String, (SessionStatistics) -> UInt64)] = [
      ("created", "Sessions created.", { $0.created }),
      ("destroyed", "Sessions destroyed.", { $0.destroyed }),
      ("refused", "Session creations that were refused.", { $0.refused }),
    ]
    for (name, help, value) in counters {
      let name = "vhost_crypto_sessions_\(name)"
      writer.family(name, .counter, help: help)
      for (labels, device) in devices {
        writer.sample(name + "_total", labels, value(device.sessions))
      }
    }
  }

  // MARK: - Queues

  private func writeQueues(_ writer: inout OpenMetricsWriter) {
    let queues = devices.flatMap { device in
      device.queues.map {
        (labels: Labels(["device": device.name, "queue": $0.index.description]), queue: $0)
      }
    }
    let gauges: [(String, String, (QueueStatistics) -> UInt64)] = [
      ("running", "Whether a worker serves the queue.", { $0.running ? 1 : 0 }),
      (
        "faulty", "Whether the queue has stopped because the guest corrupted its ring.",
        { $0.fault == nil ? 0 : 1 }
      ),
      ("in_flight", "Requests taken and not answered yet.", { $0.inFlight }),
      (
        "in_flight_max", "The most requests that were taken and not answered, since the start.",
        { $0.inFlightMaximum }
      ),
    ]
    for (name, help, value) in gauges {
      let name = "vhost_crypto_queue_\(name)"
      writer.family(name, .gauge, help: help)
      for (labels, queue) in queues { writer.sample(name, labels, value(queue)) }
    }
    func counter(
      _ name: String, unit: String? = nil, help: String,
      _ value: (QueueStatistics) -> some CustomStringConvertible
    ) {
      let name = "vhost_crypto_queue_\(name)"
      let total = name + "_total"
      writer.family(name, .counter, unit: unit, help: help)
      for (labels, queue) in queues { writer.sample(total, labels, value(queue)) }
    }
    let counters: [(String, String, (QueueStatistics) -> UInt64)] = [
      ("requests", "Requests answered.", { $0.requests }),
      ("starts", "Times that a worker was started for the queue.", { $0.starts }),
      ("kicks", "Wake-ups by the guest.", { $0.kicks }),
      ("calls_sent", "Interrupts sent to the guest.", { $0.callsSent }),
      ("calls_suppressed", "Completions that needed no interrupt.", { $0.callsSuppressed }),
      ("spins", "Times that the worker began to poll.", { $0.spins }),
      ("sleeps", "Times that the worker went to sleep.", { $0.sleeps }),
      (
        "throttled_waits", "Times that requests had to wait for the device's limits.",
        { $0.throttledWaits }
      ),
      ("bounced", "Requests copied, as their memory was in pieces.", { $0.bounced }),
      ("helped", "Operations that helper threads did.", { $0.helped }),
      (
        "requests_without_status", "Requests without room for a status.",
        { $0.requestsWithoutStatus }
      ),
      (
        "requests_refused", "Requests refused before an algorithm was known.",
        { $0.requestsRefused }
      ),
      ("malformed_rings", "Ring faults that stopped the queue.", { $0.malformedRings }),
    ]
    for (name, help, value) in counters {
      counter(name, help: help, value)
    }
    counter("bytes", unit: "bytes", help: "Source bytes.") { $0.bytes }
    counter(
      "throttled_seconds", unit: "seconds",
      help: "Time that requests waited for the device's limits."
    ) { $0.throttledSeconds }
    writer.family(
      "vhost_crypto_queue_cpu_seconds", .counter, unit: "seconds",
      help: "Processor time of the queue's workers and of their helpers.")
    for (labels, queue) in queues {
      for (thread, seconds) in [("worker", queue.cpuSeconds), ("helper", queue.helperCPUSeconds)] {
        writer.sample(
          "vhost_crypto_queue_cpu_seconds_total", labels.adding("thread", thread), seconds)
      }
    }
    writer.family(
      "vhost_crypto_queue_errors", .counter,
      help: "Requests of known algorithms that were answered with an error.")
    for (labels, queue) in queues {
      for (status, count) in queue.statuses.sorted(by: { $0.key < $1.key }) {
        writer.sample("vhost_crypto_queue_errors_total", labels.adding("status", status), count)
      }
    }
    writer.family("vhost_crypto_queue_batch_size", .histogram, help: "Requests taken at a time.")
    for (labels, queue) in queues { writeBatchSizes(queue, labels, &writer) }
  }

  private func writeBatchSizes(
    _ queue: QueueStatistics, _ labels: Labels, _ writer: inout OpenMetricsWriter
  ) {
    let buckets = [1, 2, 4, 8, 16, 32].map { bound in
      (
        bound: Double(bound),
        count: queue.batchSizes.reduce(UInt64(0)) { $1.key <= bound ? $0 &+ $1.value : $0 }
      )
    }
    writer.histogram(
      "vhost_crypto_queue_batch_size", labels, buckets: buckets,
      count: queue.batchSizes.values.reduce(0, &+),
      sum: queue.batchSizes.reduce(0) { $0 + Double($1.key) * Double($1.value) })
  }

  // MARK: - Algorithms

  private func writeAlgorithms(_ writer: inout OpenMetricsWriter) {
    let rows = devices.flatMap { device in
      device.algorithms.map {
        (
          labels: Labels([
            "device": device.name, "service": $0.service, "algorithm": $0.algorithm,
            "operation": $0.operation, "engine": $0.engine,
          ]), statistics: $0
        )
      }
    }
    writer.family("vhost_crypto_requests", .counter, help: "Requests by algorithm and status.")
    for (labels, statistics) in rows {
      let statuses =
        [("OK", statistics.requests &- statistics.errors)]
        + statistics.statuses.sorted { $0.key < $1.key }
      for (status, count) in statuses {
        writer.sample("vhost_crypto_requests_total", labels.adding("status", status), count)
      }
    }
    writer.family(
      "vhost_crypto_bytes", .counter, unit: "bytes", help: "Source bytes by algorithm.")
    for (labels, statistics) in rows {
      writer.sample("vhost_crypto_bytes_total", labels, statistics.bytes)
    }
    writer.family(
      "vhost_crypto_request_duration_seconds", .histogram, unit: "seconds",
      help: "Time from seeing a request in the ring to completing it.")
    for (labels, statistics) in rows {
      let latency = statistics.latencyNanoseconds
      writer.histogram(
        "vhost_crypto_request_duration_seconds", labels,
        buckets: latency.atMost.lazy.map {
          (bound: Double($0.nanoseconds) / 1e9, count: $0.count)
        },
        count: latency.count, sum: latency.total / 1e9)
    }
  }
}
