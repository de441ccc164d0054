import Capabilities
import Testing

/// A capability file with one mistake, and the line that the operator reads.
struct Mistake: Sendable, CustomTestStringConvertible {
  var text: String
  var message: String
  var testDescription: String { message }

  init(_ text: String, _ message: String) {
    self.text = text
    self.message = message
  }
}

@Suite struct MistakeTests {
  @Test("A mistake is one line with its place and what would be right", arguments: mistakes)
  func mistakeIsExplained(mistake: Mistake) {
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration.parse(text: mistake.text, fileName: "f.yaml", engines: KnownEngines.all)
    }
    #expect(error.map { "\($0)" } == "f.yaml:" + mistake.message)
  }

  @Test("Each mistake has an answer of its own, with its line and column")
  func answersAreDistinct() {
    let answers = mistakes.map(\.message)
    // Places apart: an empty file and one of comments are the same mistake.
    let texts = Set(answers.map { $0.drop { $0.isNumber || $0 == ":" } })
    #expect(texts.count >= 60)
    for answer in answers {
      let parts = answer.split(separator: ":", maxSplits: 2)
      #expect(parts.count == 3 && Int(parts[0]) != nil && Int(parts[1]) != nil, "\(answer)")
      #expect(answer.contains("; "), "what would be right: \(answer)")
    }
  }

  @Test("A word of any length or content stays on one short line")
  func hostileWordsAreClipped() throws {
    let word = "\"a\\nb" + String(repeating: "x", count: 5000) + "\""
    let error = try #require(throws: ConfigurationError.self) {
      try Configuration.parse(
        text: "version: 1\n\(word): 1\n", fileName: "f.yaml", engines: KnownEngines.all)
    }
    #expect(!"\(error)".contains("\n"))
    #expect("\(error)".count < 200)
  }

  @Test("Deep nesting is refused, not overrun")
  func deepNestingIsRefused() {
    let text = "version: 1\ndevice: " + String(repeating: "[", count: 500_000)
    #expect(throws: ConfigurationError.self) {
      try Configuration.parse(text: text, fileName: "f.yaml", engines: KnownEngines.all)
    }
  }
}

/// A file with one line under `algorithms.cipher`, which is its fourth.
private func inCipher(_ line: String) -> String {
  "version: 1\nalgorithms:\n  cipher:\n    \(line)\n"
}

private let mistakes: [Mistake] = [
  // The document.
  Mistake("", #"1:1: the file is empty; start with the line "version: 1""#),
  Mistake("# nothing\n", #"1:1: the file is empty; start with the line "version: 1""#),
  Mistake(
    "device:\n  queues: 4\n",
    #"1:1: there is no version; add the line "version: 1" at the beginning"#),
  Mistake("version: 2\nnew-key: 1\n", #"1:10: version is "2"; this program reads version 1"#),
  Mistake("- version: 1\n", #"1:1: the file is a list; start with the line "version: 1""#),
  Mistake(
    "version: 1\ndevise:\n  queues: 4\n",
    #"2:1: unknown key "devise"; did you mean "device"?"#),
  Mistake("version: 1\nqueues: 4\n", #"2:1: unknown key "queues"; it belongs in device"#),
  // YAML itself.
  Mistake(
    "version: 1\ndevice:\n\tqueues: 4\n",
    "3:1: this is not YAML: found character that cannot start any token while scanning for the "
      + "next token from line 3; indent with spaces, not with tabs"),
  Mistake(
    "version: 1\nworkers:\n  cpus: [2, 3\nstats: {}\n",
    "4:6: this is not YAML: did not find expected ',' or ']' while parsing a flow sequence from "
      + "line 3; close the list with ]"),
  Mistake(
    "version: 1\ndevice: queues: 4\n",
    "2:15: this is not YAML: mapping values are not allowed in this context; check the "
      + #"indentation, or quote a value that contains ": ""#),
  Mistake(
    "version: 1\ndevice:\n  queues: 4\n   queue-size: 64\n",
    "4:14: this is not YAML: mapping values are not allowed in this context; check the "
      + #"indentation, or quote a value that contains ": ""#),
  Mistake(
    "version: 1\nstats: { socket: \"/run/x }\n",
    "3:1: this is not YAML: found unexpected end of stream while scanning a quoted scalar from "
      + "line 2; close the quotation mark"),
  Mistake(
    "version: 1\n---\nversion: 1\n",
    "2:1: this is not YAML: but found another document expected a single document in the stream "
      + "from line 1; keep one document in the file"),
  Mistake(
    "version: 1\nstats: { socket: *path }\n",
    "2:18: this is not YAML: found undefined alias; define the anchor first, or quote a value "
      + "that begins with *"),
  Mistake(
    "version: 1\ndevice:\n  queues: 4\n  queue-size: 64\n  queues: 2\n",
    #"5:3: the key "queues" appears twice; keep one of them; the first is on line 3"#),
  // Devices.
  Mistake(
    "version: 1\ndevice:\n  num_queues: 4\n",
    #"3:3: unknown key "num_queues" in device; did you mean "queues"?"#),
  Mistake(
    "version: 1\ndevice:\n  queues: four\n",
    #"3:11: device.queues is "four"; write a whole number from 1 to 255"#),
  Mistake(
    "version: 1\ndevice:\n  dialect: draft15\n",
    #"3:12: device.dialect is "draft15"; did you mean "draft-v15"?"#),
  Mistake(
    "version: 1\ndevice:\n  dialect: 1.3\n",
    #"3:12: device.dialect is "1.3"; did you mean "virtio-1.3"?"#),
  Mistake(
    "version: 1\ndevice:\n  dialect: newest\n",
    #"3:12: device.dialect is "newest"; write virtio-1.3, draft-v15 or rfc-asym-v3"#),
  Mistake(
    "version: 1\ndevice:\n  queues: 256\n",
    #"3:11: device.queues is "256"; write a whole number from 1 to 255"#),
  Mistake(
    "version: 1\ndevice:\n  queues:\n  queue-size: 64\n",
    #"3:10: device.queues is empty; write a whole number from 1 to 255"#),
  Mistake(
    "version: 1\ndevice:\n  queue-size: 1000\n",
    #"3:15: device.queue-size is "1000"; write a power of two from 16 to 32768"#),
  Mistake(
    "version: 1\ndevice:\n  max-request: 1MB\n",
    #"3:16: device.max-request is "1MB"; write a size from 4KiB to 64MiB; for example 1MiB"#),
  Mistake(
    "version: 1\ndevice:\n  max-request: 1GiB\n",
    #"3:16: device.max-request is "1GiB"; write a size from 4KiB to 64MiB"#),
  Mistake(
    "version: 1\ndevice:\n  max-request: lots\n",
    #"3:16: device.max-request is "lots"; write a size from 4KiB to 64MiB, such as 64KiB or 1MiB"#),
  Mistake(
    "version: 1\ndevice:\n  max-sessions: -1\n",
    #"3:17: device.max-sessions is "-1"; write a whole number from 1 to 1048576"#),
  Mistake(
    "version: 1\ndevice:\n  stateless: cipher\n",
    #"3:14: device.stateless is "cipher"; write a list, such as [cipher, hash], or [] for none"#),
  Mistake(
    "version: 1\ndevice:\n  stateless: [cipher, hashes]\n",
    #"3:23: device.stateless[1] is "hashes"; did you mean "hash"?"#),
  Mistake(
    "version: 1\ndevice:\n  limits: { bytes-per-second: 10MB }\n",
    #"3:31: device.limits.bytes-per-second is "10MB"; "#
      + "write a size, such as 10MiB, or 0 for unlimited"),
  Mistake(
    "version: 1\ndevice:\n  limits: { bytes-per-second: fast }\n",
    #"3:31: device.limits.bytes-per-second is "fast"; "#
      + "write a size, such as 100MiB, or 0 for unlimited"),
  Mistake(
    "version: 1\ndevice:\n  limits: { operations-per-second: 10K }\n",
    #"3:36: device.limits.operations-per-second is "10K"; "#
      + "write a whole number, such as 10000 or 10k, or 0 for unlimited"),
  Mistake(
    "version: 1\ndevice:\n  limits: { operations: 10k }\n",
    #"3:13: unknown key "operations" in device.limits; did you mean "operations-per-second"?"#),
  Mistake(
    "version: 1\ndevice:\n  limits: { burst-ms: 0 }\n",
    #"3:23: device.limits.burst-ms is "0"; write a whole number from 1 to 60000"#),
  Mistake(
    "version: 1\ndevice:\n  limits: { max-sessions: 10 }\n",
    #"3:13: unknown key "max-sessions" in device.limits; it belongs in device"#),
  Mistake(
    "version: 1\ndevice:\n  max-cipher-key: 32B\n",
    #"3:19: device.max-cipher-key is "32B"; write a whole number from 1 to 256"#),
  Mistake(
    "version: 1\ndevice:\n  max-auth-key: 513\n",
    #"3:17: device.max-auth-key is "513"; write a whole number from 1 to 512"#),
  Mistake(
    "version: 1\nstats: { socket: /run/a }\ncontrol: { socket: /run/a }\n",
    #"3:20: "/run/a" is already in use in this file; "#
      + "give the control socket a path of its own: who may look need not be allowed to set"),
  Mistake(
    "version: 1\ncontrol: /run/a\n",
    #"2:10: control is "/run/a"; write a mapping of "key: value" lines"#),
  Mistake(
    "version: 1\ndevice: [4]\n",
    #"2:9: device is a list; write a mapping of "key: value" lines"#),
  Mistake(
    "version: 1\ndevices:\n  - name: vm1\n",
    "3:5: devices[0] has no socket; write a device as "
      + "{ name: vm1, socket: /run/vhost-user-crypto/vm1.sock }"),
  Mistake(
    "version: 1\ndevices:\n  - { name: a, socket: /run/a }\n  - { name: a, socket: /run/b }\n",
    #"4:13: two devices are named "a"; give each device a name of its own"#),
  Mistake(
    "version: 1\ndevices:\n  - { name: a, socket: /run/a }\n  - { name: b, socket: /run/a }\n",
    #"4:24: "/run/a" is already in use in this file; give each device a socket of its own"#),
  Mistake(
    "version: 1\ndevices:\n  - { name: \"a b\", socket: /run/a }\n",
    #"3:13: devices[0].name is "a b"; write 1 to 64 letters, digits, dots, dashes or underscores"#
  ),
  // Workers.
  Mistake(
    "version: 1\nworkers:\n  cpus: [2, 3, 2]\n",
    "3:16: workers.cpus names CPU 2 twice; name each CPU once"),
  Mistake(
    "version: 1\nworkers:\n  cpus: [5-2]\n",
    #"3:10: workers.cpus[0] is "5-2"; "#
      + "write CPU numbers from 0 to 1023 or ranges, such as [2, 3] or [2-5]"),
  Mistake(
    "version: 1\nworkers:\n  poll: { mode: adaptiv }\n",
    #"3:17: workers.poll.mode is "adaptiv"; did you mean "adaptive"?"#),
  Mistake(
    "version: 1\nworkers:\n  poll: event\n",
    #"3:9: workers.poll is "event"; write { mode: adaptive, spin-us: 50 }"#),
  Mistake(
    "version: 1\nworkers:\n  poll: { spin-us: 1.5 }\n",
    #"3:20: workers.poll.spin-us is "1.5"; write a whole number from 0 to 1000000"#),
  Mistake(
    "version: 1\nworkers:\n  helpers: 65\n",
    #"3:12: workers.helpers is "65"; write a whole number from 0 to 64"#),
  Mistake(
    "version: 1\nworkers:\n  helper-cpus: [x]\n",
    #"3:17: workers.helper-cpus[0] is "x"; "#
      + "write CPU numbers from 0 to 1023 or ranges, such as [2, 3] or [2-5]"),
  Mistake(
    "version: 1\nworkers:\n  helper-min-size: 512\n",
    #"3:20: workers.helper-min-size is "512"; write a size from 1KiB to 64MiB, or off"#),
  Mistake(
    "version: 1\nworkers:\n  helper-min-size: 1MB\n",
    #"3:20: workers.helper-min-size is "1MB"; write a size from 1KiB to 64MiB, or off; for example 1MiB"#
  ),
  Mistake(
    "version: 1\nworkers:\n  helper-cpu: 6\n",
    #"3:3: unknown key "helper-cpu" in workers; did you mean "helper-cpus"?"#),
  // Engines and algorithms.
  Mistake(
    "version: 1\nengines:\n  opensssl: {}\n",
    #"3:3: unknown key "opensssl" in engines; did you mean "openssl"?"#),
  Mistake(
    "version: 1\nengines:\n  kernel: { in-flight: 0 }\n",
    #"3:24: engines.kernel.in-flight is "0"; write a whole number from 1 to 4096"#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    AES_CBC: off\n",
    #"4:5: unknown cipher algorithm "AES_CBC"; did you mean "aes-cbc"?"#),
  Mistake(
    "version: 1\nalgorithms:\n  hash:\n    sha2-256: off\n",
    #"4:5: unknown hash algorithm "sha2-256"; did you mean "sha256"?"#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-gcm: off\n",
    "4:5: aes-gcm is no cipher algorithm; move it to algorithms.aead"),
  Mistake(
    "version: 1\nalgorithms:\n  aes-cbc: off\n",
    #"3:3: unknown key "aes-cbc" in algorithms; move it to algorithms.cipher"#),
  Mistake(
    "version: 1\nalgorithms:\n  hash: off\n",
    #"3:9: algorithms.hash is "off"; write "hash: { default: off }""#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-cbc: openssl\n",
    #"4:14: algorithms.cipher.aes-cbc is "openssl"; write off, auto or { engine: [openssl] }"#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-cbc: { engine: [opensll] }\n",
    #"4:25: algorithms.cipher.aes-cbc.engine[0] is "opensll"; did you mean "openssl"?"#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-cbc: { engines: [openssl] }\n",
    #"4:16: unknown key "engines" in algorithms.cipher.aes-cbc; did you mean "engine"?"#),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-cbc: { engine: [] }\n",
    "4:24: algorithms.cipher.aes-cbc.engine names no engine; name one, or write \"off\" for the "
      + "algorithm"),
  Mistake(
    "version: 1\nalgorithms:\n  cipher:\n    aes-cbc: { engine: [openssl, openssl] }\n",
    "4:34: algorithms.cipher.aes-cbc.engine names openssl twice; name each engine once"),
  Mistake(
    "version: 1\nalgorithms:\n  aead:\n    aes-gcm: { engine: [ { kernel: { min-size: 8KiB, "
      + "max-size: 4KiB } } ] }\n",
    "4:48: min-size 8KiB is above max-size 4KiB; write a min-size of at most max-size"),
  Mistake(
    "version: 1\nalgorithms:\n  aead:\n    aes-gcm: { engine: [ { openssl: { driver: x } } ] }\n",
    "4:47: openssl has no drivers; only kernel takes a driver"),
  // Engines and sizes.
  Mistake(
    inCipher("aes-cbc: { engine: [qat] }"),
    #"4:25: algorithms.cipher.aes-cbc.engine[0] is "qat"; write openssl, ipsec-mb or kernel"#),
  Mistake(
    inCipher("kasumi-f8: { engine: [ipsec-mb, openssl] }"),
    "4:37: openssl cannot do kasumi-f8; name ipsec-mb"),
  Mistake(
    inCipher("aes-xts: { engine: ipsec-mb }"),
    "4:24: ipsec-mb cannot do aes-xts; name openssl or kernel"),
  Mistake(
    inCipher("aes-ctr: { engine: [ { kernel: { min-size: 1KiB } }, openssl ] }"),
    "4:26: kernel cannot do aes-ctr; name openssl or ipsec-mb"),
  Mistake(
    inCipher("aes-cbc: { engine: [ { openssl: {}, kernel: {} } ] }"),
    "4:26: algorithms.cipher.aes-cbc.engine[0] names 2 engines; write one engine per list item"),
  Mistake(
    inCipher("aes-cbc: { engine: [openssl, { ipsec-mb: { max-size: 64 } }] }"),
    "4:34: ipsec-mb gets no request: the engines before it take every size that it is for; "
      + "put it first, or bound the others with max-size or min-size"),
  Mistake(
    inCipher(
      "aes-cbc: { engine: [ { openssl: { max-size: 4KiB } }, { kernel: { max-size: 64 } } ] }"),
    "4:59: kernel gets no request: the engines before it take every size that it is for; "
      + "put it first, or bound the others with max-size or min-size"),
  Mistake(
    inCipher("aes-cbc: { engine: [ { kernel: { min-size: 4KiB } } ] }"),
    "4:24: no engine of algorithms.cipher.aes-cbc.engine takes requests of 0 to 4095; "
      + "add an engine without min-size and max-size at the end"),
  Mistake(
    inCipher(
      "aes-cbc: { engine: [ { openssl: { max-size: 64 } }, { kernel: { min-size: 4KiB } } ] }"),
    "4:24: no engine of algorithms.cipher.aes-cbc.engine takes requests of 65 to 4095; "
      + "add an engine without min-size and max-size at the end"),
  Mistake(
    inCipher("default: { engine: [ { openssl: { max-size: 1MiB } } ] }"),
    "4:24: no engine of algorithms.cipher.default.engine takes requests of more than 1MiB; "
      + "add an engine without min-size and max-size at the end"),
  // Drivers.
  Mistake(
    inCipher("default: { engine: [ { kernel: { driver: cbc-aes-qat } } ] }"),
    "4:46: a driver is for one algorithm; name it at the algorithm instead of at default"),
  Mistake(
    inCipher("aes-cbc: { engine: [ { openssl: { driver: fast } } ] }"),
    "4:47: openssl has no drivers; only kernel takes a driver"),
  Mistake(
    inCipher("aes-cbc: { engine: [ { kernel: { driver: cbc aes } } ] }"),
    #"4:46: algorithms.cipher.aes-cbc.engine[0].kernel.driver is "cbc aes"; "#
      + "write a driver of /proc/crypto, such as cbc-aes-qat"),
  Mistake(
    inCipher("aes-cbc: { engine: [ { kernel: { driver: } } ] }"),
    "4:46: algorithms.cipher.aes-cbc.engine[0].kernel.driver is empty; "
      + "write a driver of /proc/crypto, such as cbc-aes-qat"),
  Mistake(
    inCipher(
      "aes-cbc: { engine: [ { kernel: { driver: \(String(repeating: "d", count: 64)) } } ] }"),
    "4:46: algorithms.cipher.aes-cbc.engine[0].kernel.driver is "
      + "\"\(String(repeating: "d", count: 57))...\"; "
      + "write a driver of /proc/crypto, such as cbc-aes-qat"),
  // Statistics and log.
  Mistake(
    "version: 1\nstats:\n  socket: stats.sock\n",
    #"3:11: stats.socket is "stats.sock"; "#
      + "write an absolute path, such as /run/vhost-user-crypto/vm1.sock"),
  Mistake(
    "version: 1\nstats:\n  socket: /\(String(repeating: "x", count: 110))\n",
    "3:11: stats.socket has 111 bytes; a Unix socket's path has at most 107"),
  Mistake(
    "version: 1\nlog: { level: warn }\n",
    #"2:15: log.level is "warn"; did you mean "warning"?"#),
]
