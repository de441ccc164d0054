import COpenSSL

/// Checksums of what the daemon itself writes and reads; no engine's, and nothing to do with guests' requests.
public enum HostDigest {
  /// The SHA-256 of bytes; nil where libcrypto has none.
  ///
  /// To be asked once before the filter of system calls is there: libcrypto then loads what its configuration names.
  public static func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
    var result = [UInt8](repeating: 0, count: 32)
    // SAFETY: the bytes are the caller's for the call; the array has the 32 bytes that are written.
    guard unsafe copenssl_sha256(bytes.baseAddress, bytes.count, &result) else { return nil }
    return result
  }
}
