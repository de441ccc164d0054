import IOUring
import Testing

@Suite struct UserDataTests {
  @Test(arguments: [0, 1, 127, 128, 255] as [UInt8], [0, 1, 0x8000_0000, .max] as [UInt32])
  func kindAndIndexComeBack(kind: UInt8, index: UInt32) {
    let userData = UserData(kind: kind, index: index)
    #expect(userData.kind == kind)
    #expect(userData.index == index)
    #expect(UserData(rawValue: userData.rawValue) == userData)
  }

  @Test func differentPairsDiffer() {
    let all = [0, 1, 255].flatMap { kind in
      [0, 1, UInt32.max].map { UserData(kind: UInt8(kind), index: $0) }
    }
    #expect(Set(all).count == 9)
  }
}
