import Capabilities
import CryptoTypes
import Foundation
import Testing
import VirtioSpec

@Suite struct ConfigurationTests {
  private func parse(_ text: String) throws -> Configuration {
    try Configuration.parse(text: text, fileName: "f.yaml", engines: KnownEngines.all)
  }

  @Test func versionAloneGivesTheDefaults() throws {
    let configuration = try parse("version: 1\n")
    #expect(configuration == Configuration())
    #expect(configuration.device.dialect == .virtio13)
    #expect(configuration.device.queueCount == 4)
    #expect(configuration.device.queueSize == 1024)
    #expect(configuration.device.maximumRequestByteCount == 1 << 20)
    #expect(configuration.device.maximumSessionCount == 65536)
    #expect(configuration.device.statelessServices == Set(StatelessService.allCases))
    #expect(configuration.workers.pollMode == .adaptive)
    #expect(configuration.workers.spinMicroseconds == 50)
    #expect(configuration.workers.helperCount == 2)
    #expect(configuration.workers.helperCPUs == nil)
    #expect(configuration.workers.helperMinimumByteCount == 256 << 10)
    #expect(configuration.engines.opensslProviders == nil)
    #expect(configuration.algorithms.policy(for: .cipher(.aesCBC)) == .auto)
    #expect(configuration.warnings.isEmpty)
  }

  @Test func everySectionIsRead() throws {
    let configuration = try parse(fullFile)
    #expect(configuration.device.dialect == .draftV15)
    #expect(configuration.device.queueCount == 8)
    #expect(configuration.device.queueSize == 256)
    #expect(configuration.device.maximumRequestByteCount == 65536)
    #expect(configuration.device.maximumSessionCount == 10)
    #expect(configuration.device.statelessServices == [.mac, .akcipher])
    #expect(configuration.device.limits.operationsPerSecond == 1000)
    #expect(configuration.device.limits.bytesPerSecond == UInt64.max)
    #expect(configuration.device.limits.burstMilliseconds == 5)
    #expect(configuration.workers.cpus == [2, 4, 5, 6])
    #expect(configuration.workers.pollMode == .always)
    #expect(configuration.workers.spinMicroseconds == 0)
    #expect(configuration.workers.helperCount == 64)
    #expect(configuration.workers.helperCPUs == [7, 8])
    #expect(configuration.workers.helperMinimumByteCount == nil)
    #expect(configuration.engines.opensslProviders == ["fips", "default"])
    #expect(configuration.engines.opensslPropertyQuery == "?provider=qatprovider")
    #expect(configuration.engines.kernelInFlightCount == 4096)
    #expect(configuration.stats.socketPath == "/run/s.sock")
    #expect(configuration.log.level == .debug)
    #expect(configuration.log.format == .json)
    #expect(configuration.devices.map(\.name) == ["vm1", "vm2"])
    #expect(configuration.devices.map(\.settings.queueCount) == [8, 2])
    #expect(configuration.devices.map(\.settings.dialect) == [.draftV15, .rfcAsymV3])
    #expect(configuration.devices[1].settings.queueSize == 256)
    #expect(configuration.devices[1].settings.limits.burstMilliseconds == 7)
    #expect(configuration.devices[1].settings.limits.operationsPerSecond == 1000)
  }

  @Test func helpersRunWhereTheWorkersDoUnlessTheyHaveTheirOwn() throws {
    func cpus(_ workers: String) throws -> [Int?] {
      let workers = try parse("version: 1\nworkers: { helpers: 2, \(workers) }\n").workers
      return (0..<3).flatMap { worker in
        (0..<2).map { workers.cpu(ofHelper: $0, worker: worker) }
      }
    }
    #expect(try cpus("cpus: []") == [nil, nil, nil, nil, nil, nil])
    // Other workers' first, which a guest with one queue leaves idle.
    #expect(try cpus("cpus: [2, 3, 4]") == [3, 4, 4, 2, 2, 3])
    #expect(try cpus("cpus: [2, 3], helper-cpus: [8-10]") == [8, 9, 10, 8, 9, 10])
    #expect(try cpus("cpus: [2, 3], helper-cpus: []") == [nil, nil, nil, nil, nil, nil])
    #expect(try cpus("helper-cpus: 5") == [5, 5, 5, 5, 5, 5])
  }

  @Test func providersAreAutoOrNamed() throws {
    func providers(_ value: String) throws -> [String]? {
      try parse("version: 1\nengines: { openssl: { providers: \(value) } }\n").engines
        .opensslProviders
    }
    #expect(try providers("auto") == nil)
    #expect(try providers("[default, legacy]") == ["default", "legacy"])
    #expect(throws: ConfigurationError.self) { try providers("[]") }
    #expect(throws: ConfigurationError.self) { try providers("default") }
  }

  @Test func policiesFollowNameThenDefaultThenAuto() throws {
    let policies = try parse(fullFile).algorithms
    #expect(policies.policy(for: .cipher(.arc4)) == .off)
    #expect(policies.policy(for: .cipher(.aesCBC)) == .auto)
    #expect(
      policies.policy(for: .cipher(.aesXTS))
        == .engines([
          EngineChoice(
            engine: "kernel", driver: "xts-aes-qat", minimumByteCount: 4096,
            maximumByteCount: 1 << 20), EngineChoice(engine: "openssl"),
        ]))
    #expect(policies.policy(for: .hash(.sha1)) == .off)
    #expect(policies.policy(for: .hash(.sha256)) == .auto)
    #expect(policies.policy(for: .mac(.hmacMD5)) == .engines([EngineChoice(engine: "openssl")]))
    #expect(policies.policy(for: .aead(.gcm)) == .auto)
    #expect(policies.policy(for: .akcipher(.rsa)) == .off)
    #expect(policies.policy(for: .akcipher(.ecdsa)) == .auto)
  }

  @Test func whatThisBuildLacksIsAWarningWithItsPlace() throws {
    let warnings = try Configuration.parse(
      text: fullFile, fileName: "f.yaml", engines: KnownEngines.withoutKernel
    ).warnings.map(\.description)
    #expect(
      warnings == [
        "f.yaml:10:11: warning: limits are not enforced yet",
        "f.yaml:19:26: warning: the engine kernel is not in this build",
        "f.yaml:31:92: warning: limits are not enforced yet",
        "f.yaml:11:10: warning: 10 data queues share 4 CPUs; name one CPU per queue",
      ])
  }

  @Test(
    "off and on mean what people mean, whatever YAML makes of them",
    arguments: ["off", "\"off\"", "false", "no"])
  func wordsForOff(word: String) throws {
    let policies = try parse("version: 1\nalgorithms: { cipher: { arc4: \(word) } }\n").algorithms
    #expect(policies.policy(for: .cipher(.arc4)) == .off)
  }

  @Test func emptySectionsAreDefaults() throws {
    let text = "version: 1\ndevice:\nworkers:\nengines:\nalgorithms:\nstats:\nlog:\n"
    #expect(try parse(text) == Configuration())
  }

  @Test("Printing and reading again changes nothing", arguments: [0, 1, 2, 3])
  func renderedFileReadsBackTheSame(index: Int) throws {
    var odd = Configuration()
    odd.device.statelessServices = []
    odd.engines.opensslPropertyQuery = "a \"quoted\" \\ \t value: #x"
    odd.engines.opensslProviders = ["null", "-x", "ä"]
    odd.stats.socketPath = "/run/a b\u{7}.sock"
    let original = [
      Configuration(), try parse(fullFile), odd, try parse("version: 1\n"),
    ][index]
    let again = try parse(original.renderYAML())
    #expect(again == original)
    #expect(again.renderYAML() == original.renderYAML())
  }

  @Test("The example files are right", arguments: exampleNames)
  func exampleFileIsRead(name: String) throws {
    let configuration = try Configuration.load(
      path: examples.appending(path: name).path, engines: KnownEngines.all)
    #expect(configuration.warnings.isEmpty)
    let again = try parse(configuration.renderYAML())
    #expect(again == configuration)
    if name == "default.yaml" { #expect(configuration == Configuration()) }
  }

  @Test func defaultExampleShowsEveryKey() throws {
    let text = try String(contentsOf: examples.appending(path: "default.yaml"), encoding: .utf8)
    for line in Configuration().renderYAML().split(separator: "\n") {
      let key = line.split(separator: ":")[0].trimmingCharacters(in: .whitespaces)
      #expect(text.contains(key), "default.yaml does not show \(key)")
    }
  }
}

private let examples = URL(filePath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().appending(path: "config")

private let exampleNames = ["default.yaml", "minimal.yaml", "hardened.yaml", "two-devices.yaml"]

private let fullFile = """
  version: 1
  device:
    dialect: draft-v15
    queues: 8
    queue-size: 256
    stateless: [mac, akcipher]
    max-operation-ms: 500
    max-request: 64KiB
    max-sessions: 10
    limits: { operations-per-second: 1000, bytes-per-second: 1000000000000000, burst-ms: 5 }
  workers: { cpus: [2, 4-6], poll: { mode: always, spin-us: 0 }, helpers: 64, helper-cpus: [7-8], helper-min-size: off }
  engines:
    openssl: { providers: [fips, default], property-query: "?provider=qatprovider" }
    kernel: { in-flight: 4096 }
    ipsec-mb: {}
  algorithms:
    cipher:
      arc4: off
      aes-xts: { engine: [ { kernel: { driver: xts-aes-qat, min-size: 4096, max-size: 1MiB } }, openssl ] }
    hash:
      sha256: { engine: auto }
      default: off
    mac: { hmac-md5: { engine: openssl } }
    akcipher:
      rsa: off
      ecdsa: auto
  stats: { socket: /run/s.sock }
  log: { level: debug, format: json }
  devices:
    - { name: vm1, socket: /run/vm1.sock }
    - { name: vm2, socket: /run/vm2.sock, device: { dialect: rfc-asym-v3, queues: 2, limits: { burst-ms: 7 } } }

  """
