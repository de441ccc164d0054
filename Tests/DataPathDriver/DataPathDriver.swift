// data-path-driver: the data path alone, in one thread: guest memory, ring, sessions, engines and the worker's loop, without
// a socket, a front-end or another processor. What it measures is what a request costs a worker whose memory is in its own
// cache.
//
//   data-path-driver aes-128-cbc-encrypt:openssl:packed sha256:1024
//   data-path-driver compare aes-128-cbc-encrypt:split
//   data-path-driver instructions Tests/DataPathDriver/instructions.json

import ArgumentParser

@main
struct DataPathDriver: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data-path-driver",
    abstract: "Runs the data path in one process and one thread.",
    subcommands: [TimeCommand.self, CompareCommand.self, InstructionsCommand.self],
    defaultSubcommand: TimeCommand.self)
}

/// What went wrong, for the end of the program.
struct DriverError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
