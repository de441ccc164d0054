// Of the tests: makes a journal as descriptor 100, stops, and then makes and ends sessions in it. Whoever traces it can
// look at the journal between any two instructions.

import CryptoDevice
import CryptoTypes
import Glibc
import LinuxSystem
import VirtioSpec

func key(_ number: UInt8, _ byteCount: Int) -> [UInt8] {
  (0..<byteCount).map { $0 % 16 == 0 ? 0xC5 : 0xA0 | number }
}

@main
struct JournalWriter {
  static func main() throws {
    let journal = try SessionJournal(name: "journal", slotCount: 4)
    guard dup2(journal.descriptor, 100) == 100 else { exit(1) }
    let table = SessionTable(capacity: 3, workerCount: 1, spareCount: 1, journal: journal)
    func create(_ number: UInt8, _ byteCount: Int) -> UInt64 {
      var request = SessionRequest(service: .mac)
      request.hash = UInt32(number)
      return key(number, byteCount).withUnsafeBytes { bytes in
        let result = table.create(
          SessionParameters(), request: request,
          cipherKey: UnsafeRawBufferPointer(start: nil, count: 0), authKey: bytes,
          check: { _ in .ok })
        guard case .success(let identifier) = result else { exit(2) }
        return identifier
      }
    }
    // Once beforehand, so that what happens only once does not happen under the eyes of the tracer.
    guard table.destroy(create(9, 16), of: .all) else { exit(3) }
    kill(getpid(), SIGSTOP)
    let first = create(1, 16)
    let second = create(2, 48)
    guard table.destroy(first, of: .all) else { exit(4) }
    let third = create(3, 400)
    guard table.destroy(third, of: .all), table.destroy(second, of: .all) else { exit(5) }
    _exit(0)
  }
}
