import Counters
import Foundation
import StatsEndpoint
import TestSupport
import Testing

@Suite struct SnapshotTests {
  @Test func queuesAreMergedByAlgorithmAndEngine() throws {
    let device = try sampleDevice()
    let rows = device.algorithms.map {
      "\($0.algorithm) \($0.operation) \($0.engine) \($0.service)"
    }
    #expect(
      rows == [
        "aes-cbc encrypt openssl cipher", "aes-cbc decrypt engine1 cipher",
        "aes-gcm decrypt openssl aead", "aes-cbc+hmac-sha1 decrypt openssl chain",
        "rsa sign openssl akcipher", "ecdsa verify openssl akcipher",
      ])
    let encryption = device.algorithms[0]
    #expect(encryption.requests == 20)
    #expect(encryption.bytes == 2000)
    #expect(encryption.errors == 0)
    #expect(encryption.statuses.isEmpty)
    #expect(device.algorithms[1].statuses == ["ERR": 1])
    #expect(device.algorithms[2].statuses == ["BADMSG": 1])
    #expect(device.sessions.open == 2)
  }

  @Test func queuesKeepTheirNumbers() throws {
    let queues = try sampleDevice().queues
    #expect(queues.map(\.index) == [0, 1])
    #expect(queues.map(\.running) == [true, false])
    #expect(queues.map(\.cpu) == [2, nil])
    #expect(queues.map(\.requests) == [13, 13])
    #expect(queues.map(\.kicks) == [2, 2])
    #expect(queues.map(\.inFlightMaximum) == [7, 0])
    #expect(queues.map(\.inFlight) == [0, 0])
    #expect(queues.map(\.starts) == [0, 3])
    #expect(queues.map(\.cpuSeconds) == [0, 1.5])
    #expect(queues.map(\.helperCPUSeconds) == [0, 0.25])
    #expect(queues.map(\.statuses) == [["ERR": 1, "BADMSG": 1], [:]])
    #expect(queues[0].batches == 2)
    #expect(queues[0].batchSizes == [3: 1, 10: 1])
  }

  @Test func qemuNamesCoverCiphersChainsAndPublicKeys() throws {
    let qemu = try sampleDevice().qemu
    #expect(qemu.symEncryptOps == 20)
    #expect(qemu.symEncryptBytes == 2000)
    #expect(qemu.symDecryptOps == 2)
    #expect(qemu.symDecryptBytes == 16)
    #expect(qemu.asymSignOps == 1 && qemu.asymSignBytes == 32)
    #expect(qemu.asymVerifyOps == 1 && qemu.asymVerifyBytes == 104)
    #expect(qemu.asymEncryptOps == 0 && qemu.asymDecryptBytes == 0)
    // The names are QEMU's.
    let names = try #require(
      try JSONSerialization.jsonObject(with: JSONEncoder().encode(qemu)) as? [String: Any]
    ).keys.sorted()
    #expect(
      names == [
        "asym-decrypt-bytes", "asym-decrypt-ops", "asym-encrypt-bytes", "asym-encrypt-ops",
        "asym-sign-bytes", "asym-sign-ops", "asym-verify-bytes", "asym-verify-ops",
        "sym-decrypt-bytes", "sym-decrypt-ops", "sym-encrypt-bytes", "sym-encrypt-ops",
      ])
  }

  @Test("Percentiles are within 6.25 % of the exact ones", arguments: [0.33, 0.5, 1, 3.7])
  func percentilesAreClose(factor: Double) throws {
    let counters = try QueueCounters(rowCount: 1)
    var generator = SplitMix(state: 20260)
    var ticks: [UInt64] = []
    for _ in 0..<20_000 {
      // Latencies over six powers of ten, most of them short.
      ticks.append(UInt64(pow(10, 2 + 6 * pow(generator.nextUnit(), 3))))
    }
    for tick in ticks {
      counters.block.record(row: 0, engine: 0, byteCount: 0, statusCode: 0, ticks: tick)
    }
    let queue = MeasuredQueue(
      index: 0, isRunning: true, cpu: nil, counters: counters.snapshot(nanosecondsPerTick: factor))
    func measured(percentiles: Bool) throws -> LatencyStatistics {
      try #require(
        DeviceSnapshot(
          name: "d", socket: "/d", connected: false, features: 0,
          sessions: SessionCounters().snapshot(), queues: [queue], engineNames: [],
          percentiles: percentiles
        ).algorithms.first
      ).latencyNanoseconds
    }
    let latency = try measured(percentiles: true)
    let sorted = ticks.sorted().map { Double($0) * factor }
    for (share, measured) in [
      (0.5, latency.p50), (0.9, latency.p90), (0.99, latency.p99), (0.999, latency.p999),
    ] {
      let exact = sorted[Int((share * Double(sorted.count)).rounded(.up)) - 1]
      #expect(
        abs(Double(measured) - exact) <= exact * 0.0625 + 1, "p\(share): \(measured), not \(exact)")
    }
    #expect(abs(Double(latency.max) - sorted[sorted.count - 1]) <= 0.5)
    let mean = sorted.reduce(0, +) / Double(sorted.count)
    #expect(abs(latency.mean - mean) < mean * 1e-9)
    #expect(latency.atMost.last?.count == UInt64(ticks.count))
    for bound in latency.atMost {
      let exact = sorted.count { $0 <= Double(bound.nanoseconds) }
      let sure = sorted.count { $0 * 1.0625 <= Double(bound.nanoseconds) }
      #expect((sure...exact).contains(Int(bound.count)))
    }
    // What is left out for /metrics, and nothing else.
    var rest = latency
    rest.p50 = 0
    rest.p90 = 0
    rest.p99 = 0
    rest.p999 = 0
    rest.buckets = nil
    #expect(try measured(percentiles: false) == rest)
  }

  @Test("A strange clock does not trap", arguments: [0, -1, .infinity, .nan, 1e300])
  func strangeFactorsAreHarmless(factor: Double) throws {
    let device = try sampleDevice(factor: factor)
    #expect(device.algorithms[0].requests == 20)
    #expect(throws: Never.self) { try JSONEncoder().encode(device) }
  }

  @Test func jsonReadsBackTheSame() throws {
    let snapshot = SampleSource(deviceCount: 2).snapshot(percentiles: true)
    let data = try JSONEncoder().encode(snapshot)
    #expect(try JSONDecoder().decode(DaemonSnapshot.self, from: data) == snapshot)
  }

  @Test func openMetricsIsValid() throws {
    let text = try OpenMetricsText(
      SampleSource(deviceCount: 2).snapshot(percentiles: true).openMetrics())
    #expect(
      text.value("vhost_crypto_info", ["version": "1.0 \"odd\"\nname\\"]) == 1)
    #expect(text.value("vhost_crypto_uptime_seconds", [:]) == 12.5)
    #expect(
      text.value("vhost_crypto_queue_requests_total", ["device": "vm1", "queue": "0"]) == 13)
    #expect(
      text.value("vhost_crypto_queue_in_flight_max", ["device": "vm2", "queue": "0"]) == 7)
    #expect(
      text.value(
        "vhost_crypto_queue_cpu_seconds_total",
        ["device": "vm1", "queue": "1", "thread": "helper"]) == 0.25)
    #expect(
      text.value(
        "vhost_crypto_queue_errors_total", ["device": "vm1", "queue": "0", "status": "BADMSG"])
        == 1)
    #expect(try #require(text.value("process_resident_memory_bytes", [:])) > 1e6)
    #expect(try #require(text.value("process_open_fds", [:])) >= 3)
    #expect(try #require(text.value("process_cpu_seconds_total", [:])) > 0)
    let labels = [
      "device": "vm2", "service": "cipher", "algorithm": "aes-cbc", "operation": "encrypt",
      "engine": "openssl",
    ]
    #expect(text.value("vhost_crypto_bytes_total", labels) == 2000)
    #expect(
      text.value(
        "vhost_crypto_requests_total", labels.merging(["status": "OK"]) { $1 }) == 20)
    #expect(text.value("vhost_crypto_request_duration_seconds_count", labels) == 20)
    let sum = try #require(text.value("vhost_crypto_request_duration_seconds_sum", labels))
    #expect(abs(sum - 55e-6) < 1e-12)
    // 10 ms of ticks at 0.5 ns: 500 … 5000 ns, twice each; 1024 ns admits 500 and 1000.
    #expect(
      text.value(
        "vhost_crypto_request_duration_seconds_bucket",
        labels.merging(["le": "1.024e-06"]) { $1 }) == 4)
    #expect(
      text.value(
        "vhost_crypto_queue_batch_size_bucket", ["device": "vm1", "queue": "1", "le": "4.0"]) == 1)
  }

  @Test("prometheus_client's parser takes it, and reads the same numbers")
  func prometheusReadsIt() throws {
    for count in [0, 2] {
      let text = SampleSource(deviceCount: count).snapshot(percentiles: true).openMetrics()
      let result = try PrometheusParser.samples(of: text)
      let own = try OpenMetricsText(text)
      #expect(result.count == own.samples.count)
      for sample in result {
        #expect(own.value(sample.name, sample.labels) == sample.value, "\(sample)")
      }
    }
    #expect(throws: TestSupportError.self) {
      try PrometheusParser.samples(of: "# TYPE a counter\na 1\n# EOF\n")
    }
  }

  @Test func daemonWithoutDevicesIsValidToo() throws {
    let text = try OpenMetricsText(
      SampleSource(deviceCount: 0).snapshot(percentiles: true).openMetrics())
    #expect(text.families.count > 20)
  }

  @Test(
    "The reader of these tests can say no",
    arguments: [
      "a 1\n# EOF\n", "# TYPE a gauge\na 1\n", "# TYPE a counter\na 1\n# EOF\n",
      "# TYPE a counter\na_total -1\n# EOF\n", "# TYPE a gauge\na 1\na 2\n# EOF\n",
      "# TYPE a gauge\na{b=\"x} 1\n# EOF\n", "# TYPE a gauge\na{b=\"\\x\"} 1\n# EOF\n",
      "# TYPE a gauge\n# UNIT a bytes\n# EOF\n",
      "# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_count 3\na_sum 1\n# EOF\n",
      "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n# EOF\n",
    ])
  func invalidTextIsRefused(text: String) {
    #expect(throws: OpenMetricsText.Problem.self) { try OpenMetricsText(text) }
  }
}

/// A seeded generator, so that a failure can be repeated.
private struct SplitMix {
  var state: UInt64

  mutating func nextUnit() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return Double((value ^ (value >> 31)) >> 11) / 0x1p53
  }
}
