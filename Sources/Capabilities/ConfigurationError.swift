/// A place in the capability file, counted from 1; columns count Unicode scalars.
public struct SourcePosition: Equatable, Sendable {
  public var fileName: String
  /// nil: the file as a whole.
  public var line: Int?
  public var column: Int?

  public init(fileName: String, line: Int? = nil, column: Int? = nil) {
    self.fileName = fileName
    self.line = line
    self.column = column
  }
}

extension SourcePosition: CustomStringConvertible {
  /// `file:line:column`, or as much of it as is known.
  public var description: String {
    ([fileName] + [line, column].compactMap { $0 }.map(String.init)).joined(separator: ":")
  }
}

/// The first mistake of a capability file.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  public var position: SourcePosition
  /// What is wrong.
  public var what: String
  /// What would be right.
  public var remedy: String

  public init(position: SourcePosition, what: String, remedy: String) {
    self.position = position
    self.what = what
    self.remedy = remedy
  }

  /// One line: `file:line:column: what; what would be right`.
  public var description: String { "\(position): \(what); \(remedy)" }
}

/// Something that a capability file asks for and does not get.
public struct ConfigurationWarning: Equatable, Sendable, CustomStringConvertible {
  public var position: SourcePosition
  public var text: String

  public init(position: SourcePosition, text: String) {
    self.position = position
    self.text = text
  }

  /// One line: `file:line:column: warning: text`.
  public var description: String { "\(position): warning: \(text)" }
}
