import Foundation

/// The files that the package brings, and small ones with everything that a key can have.
enum CapabilityFileSeeds {
  static var all: [[UInt8]] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "config")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    let files = names.filter { $0.hasSuffix(".yaml") }.sorted().compactMap { name in
      (try? Data(contentsOf: folder.appending(path: name))).map { withoutComments([UInt8]($0)) }
    }
    return files + (texts + mistakes).map { Array($0.utf8) } + [Array("a\nb".utf8) + [0xFF]]
  }

  /// Comments are most of the files, and nothing to a parser.
  private static func withoutComments(_ bytes: [UInt8]) -> [UInt8] {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    let kept = lines.map { line in line.split(separator: " #", maxSplits: 1).first ?? line }
      .filter { !$0.hasPrefix("#") && !$0.allSatisfy(\.isWhitespace) }
    return Array((kept.joined(separator: "\n") + "\n").utf8)
  }

  /// One mistake each, of those that take several words.
  private static let mistakes =
    [
      "cipher: off", "cipher: { aes-cbc: {} }",
      "cipher: { aes-cbc: { engine: [openssl, openssl] } }",
      "cipher: { aes-cbc: { engine: [] } }", "cipher: { aes-cbc: { engine: [openssl, kernel] } }",
      "cipher: { aes-cbc: { engine: [{ openssl: { max-size: 100 } }] } }",
      "cipher: { aes-cbc: { engine: [{ kernel: { max-size: 9 } }, { openssl: { min-size: 20 } }] } }",
      "cipher: { aes-cbc: { engine: [{ kernel: {}, openssl: {} }] } }",
      "cipher: { aes-cbc: { engine: ipsec-mb } }", "cipher: { aes-cbc: { engine: opensl } }",
      "cipher: { aes-cbc: { engine: [{ openssl: { driver: x } }] } }",
      "cipher: { default: { engine: [{ kernel: { driver: x } }] } }",
      "cipher: { aes-cbc: { engine: [{ kernel: { driver: 'a b' } }] } }",
      "cipher: { aes-cbc: { engine: [{ openssl: { min-size: 9, max-size: 8 } }] } }",
      "akcipher: { rsa: { engine: kernel } }",
    ].map { "version: 1\nalgorithms: { \($0) }\n" }
    + [
      "device: { stateless: [hash, hash] }", "device: { stateless: [hashes] }",
      "devices: [{ name: a, socket: /a }, { name: a, socket: /b }]",
      "devices: [{ name: a, socket: /a }, { name: b, socket: /a }]", "devices: [{ name: a }]",
      "stats: { socket: /a }\ncontrol: { socket: /a }",
      "engines: { openssl: { providers: [default, default] } }",
      "engines: { openssl: { providers: [] } }", "workers: { cpus: [3-1] }",
      "workers: { cpus: [1, 1] }", "workers: { cpus: [] }",
    ].map { "version: 1\n\($0)\n" }

  private static let texts = [
    "version: 1\n", "version: 2\n", "", "[1, 2", "version: 1\nversion: 1\n", "- a\n", "null\n",
    "version: 1\ndevice: { queues: 0 }\n", "version: 1\ndevice: { queus: 1 }\n",
    """
    version: 1
    device:
      dialect: rfc-asym-v3
      queues: 2
      queue-size: 64
      max-request: 64KiB
      max-sessions: 10
      stateless: [cipher, hash]
      max-operation-ms: 5
      max-cipher-key: 32
      max-auth-key: 64
      limits: { operations-per-second: 10, bytes-per-second: 1MiB, burst-ms: 5 }
    workers: { cpus: [0, 2-4], poll: { mode: always, spin-us: 1 }, helpers: 1, helper-cpus: [1], helper-min-size: off }
    engines:
      openssl: { providers: [default, legacy], property-query: "?provider=x" }
      kernel: { in-flight: 7 }
      ipsec-mb: {}
    stats: { socket: /a }
    control: { socket: "/b c" }
    log: { level: debug, format: json }

    """,
    """
    version: 1
    devices:
      - { name: a, socket: /a, device: { queues: 1 } }
      - { name: "b\\n", socket: '/b' }

    """,
    """
    version: 1
    algorithms:
      cipher:
        default: { engine: [openssl, kernel] }
        aes-cbc: { engine: [ { kernel: { driver: cbc-aes-qat, min-size: 4096 } }, { openssl: { max-size: 4095 } } ] }
        arc4: off
      hash: { default: auto, sha1: on }
      mac: { default: off }
      aead: { aes-gcm: { engine: auto } }
      akcipher: { rsa: { engine: ipsec-mb } }

    """,
    "version: 1\nalgorithms: { cipher: { sha1: off } }\n",
    "version: &a 1\ndevice: *a\n", "version: !!str 1\n", "version: 1\nstats: { socket: ~ }\n",
  ]
}
