import CryptoTypes
import VhostUserFrontend
import VirtioSpec

// One thing that is wrong with a request, and the status that the specification has for it.
extension Request {
  private mutating func refuse(_ status: VirtioCryptoStatus, _ what: String) {
    expectation = Expectation(status)
    self.what = what
  }

  /// Makes the same request anew with another operation.
  private mutating func rebuild(_ operation: OperationSpec, _ format: RequestFormat) {
    data = CryptoRequestBuilder.data(operation, format: format)
  }

  /// A field of the request that does not fit the others.
  mutating func spoil(
    _ operation: inout OperationSpec, _ session: Session, _ others: [UInt64],
    _ format: RequestFormat, _ random: inout SeededRandom
  ) {
    switch random.upTo(5) {
    case 0 where operation.sessionID != nil:
      let wrong: [UInt64] = [
        0, .max, session.identifier ^ 1 << 33, session.identifier ^ 1 << 20, random.next(),
      ]
      let identifier = others.isEmpty || random.oneIn(3) ? random.pick(wrong) : random.pick(others)
      data.fixed.set64(identifier, at: 8)
      self.identifier = nil
      refuse(.invsess, "session \(identifier), which is none")
    case 1:
      let opcode: UInt32 = random.pick([0x002, 0x101, 0x201, 0x302, 0x404, 0x500, 0xFFFF_FFFF])
      data.fixed.set32(opcode, at: 0)
      refuse(.notsupp, "opcode \(opcode)")
    case 2 where session.spec.direction != nil:
      data.fixed.set32(data.fixed.get32(at: 0) ^ 1, at: 0)
      refuse(.err, "the other direction")
    case 3:
      operation.resultByteCount = nil
      spoilLengths(&operation, session, format, &random)
    case 4:
      // Claims more than there may be. The word with the source's length is where the specification has it.
      guard let offset = Self.sourceLengthOffset(session, isStateless: operation.sessionID == nil)
      else { return }
      let claim: UInt32 = random.pick([0x1_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFF0])
      data.fixed.set32(claim, at: offset)
      refuse(.err, "a source of \(claim) bytes")
    default: cutReadable(&random)
    }
  }

  private static func sourceLengthOffset(_ session: Session, isStateless: Bool) -> Int? {
    switch (session.kind, isStateless) {
    case (.cipher, false): 24 + 4
    case (.cipher, true): 24 + 16
    case (.hash, false), (.mac, false): 24
    case (.hash, true): 24 + 4
    case (.mac, true): 24 + 8
    case (.aead, false): 24 + 8
    case (.aead, true): 24 + 24
    case (.chain, false): 24 + 4
    case (.chain, true): 24 + 36
    case (.akcipher, _): nil
    }
  }

  private mutating func spoilLengths(
    _ operation: inout OperationSpec, _ session: Session, _ format: RequestFormat,
    _ random: inout SeededRandom
  ) {
    let isStateless = operation.sessionID == nil
    switch session.kind {
    case .cipher(let cipher):
      switch random.upTo(2) {
      case 0:
        operation.iv = random.bytes(
          cipher.iv == 0 ? 8 : random.pick([0, cipher.iv - 1, cipher.iv + 1]))
        refuse(.err, "an IV of \(operation.iv.count) bytes")
      case 1:
        operation.destinationByteCount = operation.source.count + random.pick([1, 16])
        refuse(.err, "a destination that is longer than the source")
      default:
        guard cipher.block > 1 || cipher.least > 0 else { return }
        operation.source = random.bytes(cipher.least > 0 ? cipher.least - 1 : cipher.block + 1)
        refuse(.err, "a source of \(operation.source.count) bytes")
      }
    case .hash(let hash):
      // Without a session the length is judged with the algorithm's.
      let most = isStateless ? hash.result : session.spec.resultByteCount
      operation.resultByteCount = random.pick([0, most + 1])
      refuse(.err, "a result of \(operation.wireResultByteCount) bytes")
    case .mac(let mac):
      let most = isStateless ? mac.result : session.spec.resultByteCount
      if mac.iv > 0, random.oneIn(2) {
        operation.source = random.bytes(mac.iv - 1)
        refuse(.err, "a source shorter than the IV")
      } else {
        operation.resultByteCount = random.pick([0, most + 1])
        refuse(.err, "a result of \(operation.wireResultByteCount) bytes")
      }
    case .aead(let aead):
      switch random.upTo(2) {
      case 0:
        operation.iv = random.bytes(random.pick((0...18).filter { !aead.ivs.contains($0) }))
        refuse(.err, "an IV of \(operation.iv.count) bytes")
      case 1:
        guard !isStateless else { return }
        let tag = session.spec.resultByteCount
        operation.destinationByteCount = operation.wireDestinationByteCount + 20
        operation.resultByteCount = random.pick([tag - 1, tag + 1, 0])
        refuse(.err, "a tag of \(operation.wireResultByteCount) bytes instead of \(tag)")
      default:
        operation.destinationByteCount = nil
        let needed = operation.wireDestinationByteCount
        guard needed > 0 else { return }
        operation.destinationByteCount = needed - 1
        refuse(.err, "a destination of \(needed - 1) bytes")
      }
    case .chain(let cipher, _):
      let count = operation.source.count
      var ranges = operation.ranges ?? ChainRanges(cipher: 0..<count, hash: 0..<count)
      switch random.upTo(4) {
      case 0: operation.destinationByteCount = count + 16
      case 1: ranges.cipherByteCount = count - ranges.cipherOffset + max(cipher.block, 1)
      case 2: ranges.hashOffset = count + 1
      case 3: ranges.hashByteCount = 0xFFFF_FFFF
      default:
        operation.resultByteCount = random.pick([0, session.spec.resultByteCount + 1])
        if isStateless, operation.resultByteCount != 0 { operation.resultByteCount = 0 }
      }
      operation.ranges = ranges
      refuse(.err, "a chain's ranges or lengths")
    case .akcipher: return
    }
    rebuild(operation, format)
  }

  /// The readable part ends early.
  private mutating func cutReadable(_ random: inout SeededRandom) {
    if let last = data.fields.indices.last {
      data.fields[last].bytes.removeLast(1 + random.upTo(data.fields[last].bytes.count - 1))
      if data.fields[last].bytes.isEmpty { data.fields.removeLast() }
      refuse(.err, "a readable part that ends early")
    } else {
      data.fixed = WireBytes(Array(data.fixed.bytes.prefix(random.upTo(23))))
      refuse(.err, "a header of \(data.fixed.count) bytes")
    }
  }

  /// A writable part that has no room.
  mutating func spoilShape(_ random: inout SeededRandom) {
    let writable = data.destinationByteCount + data.resultByteCount
    let needed = expectation.output.count + expectation.result.count
    guard expectation.statuses == [.ok] else { return }
    if writable == 0 {
      plan.status = .missing
      expectation.hasNoStatus = true
      what = "nothing writable"
    } else if random.oneIn(2) {
      // The status would lie in the result's last byte.
      guard needed == writable else { return }
      plan.status = .missing
      refuse(.err, "no byte for the status")
    } else {
      guard needed == writable, data.destinationByteCount > 0 else { return }
      data.destinationByteCount -= 1
      refuse(.err, "a writable part that is short of a byte")
    }
    plan.isIndirect = random.oneIn(2)
    hasOwnPlan = true
  }
}
