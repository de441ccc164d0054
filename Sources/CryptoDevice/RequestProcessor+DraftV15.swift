import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// Data requests of draft v15, behind their header.
//
// One structure for both modes, in a union of one size for all services; the header's `flag` says which mode it is.
// Spec: docs/wire.md, "Draft v15".
extension RequestProcessor {
  @_noAllocation @_noLocks
  mutating func readDraftV15(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let isAllowed: Bool
    let isStateless = header.flag == VirtioCryptoWire.flagNoSessionMode
    switch header.opcode {
    case 0x000, 0x001: isAllowed = isStateless ? layout.cipherStateless : layout.cipherSessions
    case 0x100: isAllowed = isStateless ? layout.hashStateless : layout.hashSessions
    case 0x200: isAllowed = isStateless ? layout.macStateless : layout.macSessions
    case 0x300, 0x301: isAllowed = isStateless ? layout.aeadStateless : layout.aeadSessions
    // The opcodes that the asymmetric RFC adds (0x400…0x405) would be read here.
    default: return .notsupp
    }
    guard isStateless || header.flag == VirtioCryptoWire.flagSessionMode else { return .err }
    guard isAllowed else { return .notsupp }
    guard
      try readFixedPart(&chain, &memory, byteCount: VirtioCryptoWire.draftV15DataFixedByteCount)
    else { return .err }
    let direction: CryptoDirection = header.opcode & 1 == 0 ? .encrypt : .decrypt
    switch header.opcode {
    case 0x000, 0x001:
      return unsafe try readMixedSymmetric(
        isStateless: isStateless, aadFirst: false, direction, &chain, &memory, slot)
    case 0x100: return unsafe try readMixedHash(isStateless: isStateless, &chain, &memory, slot)
    case 0x200: return unsafe try readMixedMAC(isStateless: isStateless, &chain, &memory, slot)
    default:
      return unsafe try readMixedAEAD(
        isStateless: isStateless, direction, &chain, &memory, slot)
    }
  }
}
