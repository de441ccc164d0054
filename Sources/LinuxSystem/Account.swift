import Glibc

/// Users and groups of this host, as its name service knows them; for one thread at a time.
public enum Accounts {
  /// A user, and the groups that a login would give it.
  public struct User: Equatable, Sendable {
    public var name: String
    public var identifier: UInt32
    public var group: UInt32
    /// With `group` among them.
    public var groups: [UInt32]
  }

  /// A user by name, or else by number; nil where there is none.
  public static func user(_ word: String) -> User? {
    // SAFETY: the entry is static memory that the next look-up overwrites; everything is copied before.
    var entry = unsafe getpwnam(word)
    if unsafe entry == nil, let number = number(word) { unsafe entry = getpwuid(number) }
    guard let entry = unsafe entry, let name = unsafe entry.pointee.pw_name else { return nil }
    let copy = unsafe String(cString: name)
    let (user, group) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
    return User(name: copy, identifier: user, group: group, groups: groups(of: copy, with: group))
  }

  /// A group's number by name, or else the number itself if there is such a group; nil where there is none.
  public static func group(_ word: String) -> UInt32? {
    // SAFETY: as above.
    var entry = unsafe getgrnam(word)
    if unsafe entry == nil, let number = number(word) { unsafe entry = getgrgid(number) }
    return unsafe entry?.pointee.gr_gid
  }

  /// A user's or group's number; the highest means nobody to the kernel.
  public static func number(_ word: String) -> UInt32? {
    guard let number = UInt32(word), number != .max, word.first?.isNumber == true else {
      return nil
    }
    return number
  }

  private static func groups(of name: String, with group: UInt32) -> [UInt32] {
    var count: Int32 = 64
    while true {
      var list = [gid_t](repeating: 0, count: Int(count))
      // SAFETY: the list has as many elements as the count says, which comes back as how many there are.
      let result = unsafe getgrouplist(name, group, &list, &count)
      if result >= 0 { return Array(list.prefix(Int(count))) }
      if Int(count) <= list.count { return [group] }
    }
  }
}
