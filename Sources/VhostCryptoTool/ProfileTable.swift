import Foundation
import StatsEndpoint

/// Lays a profile out for people: a line for each stage, with a bar.
enum ProfileTable {
  /// Characters of a bar that stands for all of the time.
  private static let barLength = 40

  static func render(_ profile: ProfileSnapshot) -> String {
    let span = String(format: "%.1f s", profile.seconds)
    guard !profile.workers.isEmpty else { return "no worker ran all of the \(span)\n" }
    return profile.workers.map { worker in
      "device \(worker.device), queue \(worker.queue), \(span)\n"
        + TextTable.render(
          ["stage", "share", "time", ""],
          worker.stages.map { stage in
            [
              stage.engine.map { "\(stage.stage.rawValue) \($0)" } ?? stage.stage.rawValue,
              String(format: "%.1f%%", stage.share * 100), TopText.nanoseconds(stage.nanoseconds),
              bar(stage.share),
            ]
          }, words: ["stage", ""], indent: "  ")
    }.joined(separator: "\n")
  }

  /// In eighths of a character.
  private static func bar(_ share: Double) -> String {
    let eighths = Int((min(max(share, 0), 1) * Double(barLength * 8)).rounded())
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
  }
}
