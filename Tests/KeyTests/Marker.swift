// KeyTests: where keys are in the daemon's process, for how long, and where they never show. The
// real daemon, its memory read from outside.

import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend

/// Everything in this target runs one after the other: each test looks at a daemon of its own.
@Suite("Keys in the daemon", .serialized)
struct KeyTests {
  static let engines = (try? EngineUnderTest.all()) ?? []

  @Test func thereAreEnginesToTest() throws {
    #expect(try !EngineUnderTest.all().isEmpty)
  }
}

/// Keys that can be told from everything else in memory: every 16 bytes begin with the same eight random ones.
struct Marker {
  let magic: [UInt8]

  init() {
    var random = SeededRandom(seed: .random(in: 0...UInt64.max))
    // No zeros, which short buffers are full of, and no two alike.
    var magic: [UInt8] = []
    while magic.count < 8 {
      let byte = random.bytes(1)[0]
      if byte != 0 && !magic.contains(byte) { magic.append(byte) }
    }
    self.magic = magic
  }

  /// A key of the numbered session; its halves differ, as XTS wants it, and so do its thirds.
  func key(_ number: Int, _ byteCount: Int) -> [UInt8] {
    let blocks = (0..<(byteCount + 15) / 16).flatMap { block -> [UInt8] in
      let own = [
        UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8), UInt8(block),
      ]
      return magic + own + [0x5E, 0xC2, 0xE7, 0x01, 0x80 | UInt8(block)]
    }
    return Array(blocks.prefix(byteCount))
  }

  /// In which forms engines hold a key's words, and what HMAC, KASUMI and SNOW 3G make of them.
  var forms: [(name: String, bytes: [UInt8])] {
    func swapped(_ width: Int) -> [UInt8] {
      stride(from: 0, to: 8, by: width).flatMap { magic[$0..<$0 + width].reversed() }
    }
    return [("as it is", magic), ("16-bit words swapped", swapped(2))]
      + [("32-bit words swapped", swapped(4)), ("64-bit words swapped", swapped(8))]
      + [0x36, 0x5C, 0xFF, 0x55, 0xAA].map { mask in
        ("mixed with 0x\(String(mask, radix: 16))", magic.map { $0 ^ mask })
      }
  }

  /// Every place in a process that holds a part of a key in one of the forms, or of one session's expanded keys.
  func hits(in daemon: DaemonProcess, _ session: MarkedSession? = nil) throws -> [KeyHit] {
    let forms = forms + (session.map { ExpandedKeys.forms($0.spec) } ?? [])
    return try ProcessMemory(pid: daemon.pid).search(forms.map(\.bytes)).map { hit in
      let isNumbered = hit.needle == 0 && hit.bytes.count > 11 && hit.bytes[11] == 0x5E
      return KeyHit(
        form: forms[hit.needle].name,
        number: isNumbered ? Int(hit.bytes[8]) | Int(hit.bytes[9]) << 8 : session?.number,
        block: isNumbered ? Int(hit.bytes[10]) : 0, place: hit)
    }
  }
}

/// A part of a key that was found.
struct KeyHit: CustomStringConvertible {
  var form: String
  /// The session's, where the bytes behind say it.
  var number: Int?
  /// Which 16 bytes of the key, where the number is known.
  var block: Int
  var place: ProcessMemory.Hit
  var description: String {
    let name = number.map { "key \($0), block \(block)," } ?? "a key"
    return "\(name) \(form) at \(place)"
  }
}

/// A session with marked keys.
struct MarkedSession {
  var number: Int
  var spec: SessionSpec
  /// Keys as short as DES's hold nothing but the magic.
  var isNumbered: Bool { max(spec.cipherKey.count, spec.authKey.count) >= 16 }
}

extension Marker {
  /// A session of every algorithm, key size and direction that the engine claims, and chains of them.
  func sessions(_ engine: EngineUnderTest) -> [MarkedSession] {
    var result: [MarkedSession] = []
    func add(_ make: (Int) -> SessionSpec) {
      result.append(MarkedSession(number: result.count, spec: make(result.count)))
    }
    func lengths(_ all: [Int], _ accepts: (Int) -> Bool) -> [Int] { all.filter(accepts) }
    let sizes = [8, 16, 24, 32, 48, 64]
    for cipher in CipherAlgorithm.allCases where engine.claims.contains(.cipher(cipher)) {
      for byteCount in lengths(sizes, cipher.accepts(keyByteCount:)) {
        for direction in [CryptoDirection.encrypt, .decrypt] {
          add { .cipher(cipher, direction, key: key($0, byteCount)) }
        }
      }
    }
    for mac in MACAlgorithm.allCases where engine.claims.contains(.mac(mac)) {
      for byteCount in lengths([16, 24, 32, 64, 200], mac.accepts(keyByteCount:)) {
        add {
          .mac(mac, key: key($0, byteCount), resultByteCount: mac.maximumResultByteCount)
        }
      }
    }
    for aead in AEADAlgorithm.allCases where engine.claims.contains(.aead(aead)) {
      for byteCount in lengths(sizes, aead.accepts(keyByteCount:)) {
        for direction in [CryptoDirection.encrypt, .decrypt] {
          add { .aead(aead, direction, key: key($0, byteCount), tagByteCount: 16) }
        }
      }
    }
    guard engine.claims.contains(.cipher(.aesCTR)) else { return result }
    func chain(_ number: Int, _ second: ChainSecond) -> SessionSpec {
      .chain(
        .init(.aesCTR, .encrypt, key: key(number, 32), order: .cipherThenHash, second: second))
    }
    for mac in MACAlgorithm.allCases where engine.claims.contains(.mac(mac)) {
      let byteCount = mac.accepts(keyByteCount: 16) ? 16 : 24
      add { chain($0, .authenticated(mac, key: key($0, byteCount))) }
    }
    if engine.claims.contains(.hash(.sha256)) {
      add { chain($0, .nested(.sha256, key: key($0, 128))) }
    }
    return result
  }
}
