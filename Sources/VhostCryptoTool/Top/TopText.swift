import Foundation

/// Numbers as `top` and `stats` write them: short, with a unit.
enum TopText {
  /// `950`, `12.3k`, `4.79M`.
  static func count(_ value: Double) -> String {
    guard value >= 0.05 else { return "0" }
    guard value >= 9.95 else { return String(format: "%.1f", value) }
    return scaled(value, step: 1000, limit: 9999.5, ["", "k", "M", "G", "T"], separator: "")
  }

  static func megabytes(_ bytesPerSecond: Double) -> String {
    String(format: bytesPerSecond >= 1e9 ? "%.0f" : "%.1f", bytesPerSecond / 1e6)
  }

  static func percent(_ share: Double) -> String { String(format: "%.0f%%", share * 100) }

  static func ratio(_ value: Double) -> String { String(format: "%.1f", value) }

  /// `850 ns`, `12.3 us`, `1.2 ms`.
  static func nanoseconds(_ value: UInt64) -> String {
    scaled(Double(value), step: 1000, limit: 999.5, ["ns", "us", "ms", "s"], separator: " ")
  }

  /// `512 B`, `44.1 MiB`.
  static func bytes(_ count: UInt64) -> String {
    scaled(
      Double(count), step: 1024, limit: 1023.5, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
      separator: " ")
  }

  static func seconds(_ value: Double) -> String { String(format: "%g s", value) }

  static func duration(_ seconds: Double) -> String {
    let whole = seconds > 0 ? Int(min(seconds, 1e12)) : 0
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    if whole < 86400 { return "\(whole / 3600) h \(whole / 60 % 60) min" }
    return "\(whole / 86400) d \(whole / 3600 % 24) h"
  }

  /// `limit`: from where on the first unit gives way to the next.
  private static func scaled(
    _ value: Double, step: Double, limit: Double, _ units: [String], separator: String
  ) -> String {
    var value = value
    var unit = 0
    while value >= (unit == 0 ? limit : step - 0.5), unit + 1 < units.count {
      value /= step
      unit += 1
    }
    let digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
    return String(format: "%.\(digits)f", value) + separator + units[unit]
  }
}
