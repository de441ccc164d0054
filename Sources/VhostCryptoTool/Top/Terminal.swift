import Glibc
import Synchronization

/// The terminal, taken over for a while: keys come at once, and the screen is another one than the shell's.
final class Terminal: Sendable {
  private let saved: Mutex<termios?> = Mutex(nil)

  /// Whether both sides are a terminal that understands what we write.
  static var isUsable: Bool {
    // SAFETY: the text lives in the environment and is looked at at once.
    let name = unsafe getenv("TERM").map { unsafe String(cString: $0) } ?? ""
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && !["", "dumb"].contains(name)
  }

  /// Columns and rows.
  static var size: (width: Int, height: Int) {
    var size = winsize()
    // SAFETY: the kernel writes one `winsize`.
    guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0,
      size.ws_row > 0
    else { return (80, 24) }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  func enter() {
    saved.withLock { saved in
      guard saved == nil else { return }
      var settings = termios()
      // SAFETY: one `termios` is written, and then read.
      guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
      saved = settings
      // Signals from the keyboard stay.
      settings.c_lflag &= ~tcflag_t(ECHO | ICANON)
      unsafe _ = tcsetattr(STDIN_FILENO, TCSANOW, &settings)
      // The alternate screen, without a cursor.
      Self.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J")
    }
  }

  /// Gives it back as it was.
  func leave() {
    saved.withLock { saved in
      guard var settings = saved else { return }
      saved = nil
      Self.write("\u{1b}[?25h\u{1b}[?1049l")
      unsafe _ = tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }
  }

  /// Replaces the screen's contents in one write, so that it does not flicker.
  func draw(_ lines: [TopLine]) {
    var text = "\u{1b}[H"
    for (index, line) in lines.enumerated() {
      if index > 0 { text += "\r\n" }
      switch line.style {
      case .plain: text += line.text
      case .title: text += "\u{1b}[7m\(line.text)\u{1b}[0m"
      case .head: text += "\u{1b}[1m\(line.text)\u{1b}[0m"
      case .alarm: text += "\u{1b}[1;31m\(line.text)\u{1b}[0m"
      }
      text += "\u{1b}[K"
    }
    Self.write(text + "\u{1b}[J")
  }

  private static func write(_ text: String) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      // SAFETY: the buffer is lent for the call, and `sent` is below its count.
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(
          STDOUT_FILENO, buffer.baseAddress?.advanced(by: sent), bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      sent += count
    }
  }
}
