import CStepWatch
import CryptoTypes
import Foundation
import LinuxSystem
import TestSupport
import Testing
import VirtioSpec

@testable import CryptoDevice

/// Everything here runs one after the other: daemons are killed, and processes traced.
@Suite("Sessions that outlive the daemon", .serialized)
enum SessionStoreTests {}

extension SessionStoreTests {
  /// A process that may be killed between any two instructions.
  @Suite struct EveryInstruction {
    /// A session as it is found again.
    private struct Found: Hashable {
      var number: UInt32
      var keyByteCount: Int
    }

    /// A copy of the journal, as the next process would get it.
    private func adopt(_ bytes: [UInt8]) throws -> SessionJournal {
      let file = try MemoryFile.makeSealed(name: "copy", byteCount: bytes.count)
      try #require(pwrite(file.rawValue, bytes, bytes.count, 0) == bytes.count)
      return try SessionJournal(adopting: file)
    }

    private func key(_ number: UInt32, _ byteCount: Int) -> [UInt8] {
      (0..<byteCount).map { $0 % 16 == 0 ? 0xC5 : 0xA0 | UInt8(number) }
    }

    /// The sessions of a journal, each with the key that it was made with.
    private func sessions(_ journal: SessionJournal) throws -> Set<Found> {
      var found: Set<Found> = []
      for index in 0..<journal.usedSlotCount where journal.identifier(at: index) != 0 {
        let request = journal.request(at: index)
        let byteCount = Int(request.authKeyByteCount)
        let stored = Array(UnsafeBufferPointer(start: journal.keys(at: index), count: byteCount))
        #expect(stored == key(request.hash, byteCount))
        found.insert(Found(number: request.hash, keyByteCount: byteCount))
      }
      return found
    }

    @Test func theJournalSaysTrulyWhichSessionsThereAre() throws {
      let pid = step_start(try DaemonProcess.besideTests("journal-writer"))
      try #require(pid > 0, "errno \(-pid)")
      defer { step_kill(pid) }
      let layout = JournalLayout(slotCount: 4)
      let file = open("/proc/\(pid)/fd/100", O_RDWR)
      try #require(file >= 0)
      let memory = try MappedMemory(
        sharing: FileDescriptor(owning: file), offset: 0, byteCount: layout.byteCount)
      func look() -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: memory.base, count: layout.byteCount))
      }
      let (a, b, c) = (
        Found(number: 1, keyByteCount: 16), Found(number: 2, keyByteCount: 48),
        Found(number: 3, keyByteCount: 400)
      )
      let stages: [Set<Found>] = [[], [a], [a, b], [b], [b, c], [b], []]
      var stage = 0
      var last: [UInt8] = []
      var identifiers: [UInt32: UInt64] = [:]
      var (instructions, states) = (0, 0)
      while true {
        // Nothing is copied where nothing has changed.
        let isSame = last.withUnsafeBytes { bytes in
          bytes.count == layout.byteCount
            && bytes.baseAddress.map { memcmp(memory.base, $0, bytes.count) == 0 } ?? false
        }
        if !isSame {
          last = look()
          states += 1
          let journal = try adopt(last)
          let found = try sessions(journal)
          if found != stages[stage] {
            stage += 1
            try #require(stage < stages.count && found == stages[stage], "\(stage): \(found)")
          }
          for index in 0..<journal.usedSlotCount where journal.identifier(at: index) != 0 {
            let number = journal.request(at: index).hash
            let identifier = journal.identifier(at: index)
            #expect(identifiers[number] ?? identifier == identifier)
            identifiers[number] = identifier
          }
          // What had not begun, or had ended, has left no key to the next process.
          for slot in 0..<4 where journal.identifier(at: slot) == 0 {
            #expect(!holdsKey(journal, layout, slot), "slot \(slot) after \(instructions)")
          }
        }
        let result = step_once(pid)
        try #require(result >= 0, "errno \(-result) after \(instructions) instructions")
        if result == 1 { break }
        instructions += 1
      }
      print("\(instructions) instructions, \(states) states of the journal")
      #expect(stage == stages.count - 1)
      #expect(Set(identifiers.values).count == 3 && states > 50 && instructions > 1000)
    }

    /// Whether marked bytes are in a slot.
    private func holdsKey(_ journal: SessionJournal, _ layout: JournalLayout, _ slot: Int) -> Bool {
      var bytes = [UInt8](repeating: 0, count: JournalLayout.slotByteCount)
      pread(journal.descriptor, &bytes, bytes.count, off_t(layout.slotOffset(slot)))
      var long = [UInt8](repeating: 0, count: JournalLayout.longKeysByteCount)
      pread(journal.descriptor, &long, long.count, off_t(layout.longKeysOffset(slot)))
      return (bytes + long).contains { $0 == 0xC5 || (0xA1...0xA3).contains($0) }
    }
  }
}
