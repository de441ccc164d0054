import Foundation

/// The parser of Prometheus's own Python client, from PyPI, in an environment of its own beside the build.
///
/// A test that cannot have it fails: another opinion on the text is the point.
public enum PrometheusParser {
  public struct Sample: Decodable, Sendable {
    public var name: String
    public var labels: [String: String]
    public var value: Double
  }

  private static let version = "0.23.1"

  private static let program = """
    import json, sys
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    samples = []
    for family in text_string_to_metric_families(sys.stdin.read()):
        for sample in family.samples:
            samples.append({"name": sample.name, "labels": sample.labels, "value": sample.value})
    json.dump(samples, sys.stdout)
    """

  /// Everything that it finds; an error where it finds the text invalid.
  public static func samples(of text: String) throws -> [Sample] {
    let output = try run(try environment.get() + "/bin/python", ["-c", program], input: text)
    return try JSONDecoder().decode([Sample].self, from: output)
  }

  private static let environment = Result { () throws -> String in
    let path = DaemonProcess.buildDirectory + "/prometheus-client-\(version)"
    if FileManager.default.fileExists(atPath: path + "/complete") { return path }
    try? FileManager.default.removeItem(atPath: path)
    _ = try run("/usr/bin/env", ["python3", "-m", "venv", path])
    _ = try run(
      path + "/bin/python",
      [
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "prometheus-client==\(version)",
      ])
    try Data().write(to: URL(fileURLWithPath: path + "/complete"))
    return path
  }

  private static func run(_ path: String, _ arguments: [String], input: String = "") throws -> Data
  {
    let directory = try TemporaryDirectory()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let inputPath = try directory.write(input, to: "input")
    let errorPath = try directory.write("", to: "errors")
    let outputPath = try directory.write("", to: "output")
    process.standardInput = FileHandle(forReadingAtPath: inputPath)
    process.standardError = FileHandle(forWritingAtPath: errorPath)
    process.standardOutput = FileHandle(forWritingAtPath: outputPath)
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw TestSupportError(
        "\(path) \(arguments.joined(separator: " ").prefix(80)): \(DaemonProcess.text(errorPath))")
    }
    return Data(DaemonProcess.text(outputPath).utf8)
  }
}
