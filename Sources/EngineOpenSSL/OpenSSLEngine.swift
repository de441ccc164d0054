// EngineOpenSSL: the `openssl` engine, which runs crypto operations with libcrypto 3 through its EVP interface.
//
// It serves what the providers offer and what can be put together from that. It knows operations and sessions of
// CryptoTypes and has never heard of virtio, rings or guests: ranges and lengths were checked by the device, and are
// checked here again only as far as a wrong one would harm the process.
//
//   OpenSSLEngine            the library context, its providers, everything fetched; self-test
//   OpenSSLLane              one worker's keyed contexts; dispatch of operations
//   OpenSSLLane+Cipher …     one file per service

import COpenSSL
public import CryptoTypes
public import EngineContract

/// libcrypto with a library context of its own, in which the named providers are loaded and all algorithms are fetched.
@safe public final class OpenSSLEngine: CryptoEngine {
  public static let description = EngineDescription(
    name: "openssl",
    algorithms: Set(CryptoAlgorithm.allCases).subtracting([
      // libcrypto has neither the ciphers of mobile networks nor Twofish.
      .cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3), .mac(.kasumiF9),
      .mac(.cbcmacKasumiF9), .mac(.snow3gUIA2), .mac(.zucEIA3), .mac(.gmacTwofish),
    ]))

  /// What libcrypto calls itself, such as `OpenSSL 3.0.15 3 Sep 2024`.
  public let version: String

  /// Whether libcrypto takes its memory from per-thread lists, so that requests do not reach malloc.
  ///
  /// False only when something used libcrypto before the first engine was made.
  public let recyclesMemory: Bool

  /// The providers that are loaded.
  let providerNames: [String]

  // SAFETY: written in init only; the objects behind it are immutable once fetched and counted atomically by libcrypto.
  nonisolated(unsafe) let algorithms: FetchedAlgorithms
  private nonisolated(unsafe) let providers: [OpaquePointer]

  /// Loads providers and fetches algorithms.
  ///
  /// - Parameters:
  ///   - names: providers as libcrypto knows them, such as `default` or `legacy`, in a library context of its own; nil
  ///     for `default`, and `legacy` where this host has it.
  ///   - propertyQuery: which implementations to prefer or demand, such as `?provider=qatprovider`.
  /// - Throws: `EngineError` if a provider that is named cannot be loaded.
  convenience init(
    providers names: [String]? = nil, propertyQuery: String? = nil
  ) throws(EngineError) {
    try self.init(
      required: names ?? ["default"], optional: names == nil ? [Self.legacyProvider] : [],
      propertyQuery: propertyQuery)
  }

  /// Loads the providers that an operator wants, or the usual ones, and fetches algorithms.
  public convenience init(_ options: EngineOptions) throws(EngineError) {
    try self.init(providers: options.providers, propertyQuery: options.propertyQuery)
  }

  /// Where libcrypto keeps RC4 and DES; some hosts install it separately.
  static let legacyProvider = "legacy"

  init(
    required: [String], optional: [String], propertyQuery: String? = nil
  ) throws(EngineError) {
    // Before anything else asks libcrypto for memory.
    recyclesMemory = copenssl_install_recycler()
    version = unsafe String(cString: OpenSSL_version(OPENSSL_VERSION))
    // SAFETY: the context is ours alone; it is freed below or in deinit, after all that came out of it.
    guard let library = unsafe OSSL_LIB_CTX_new() else {
      throw EngineError("openssl: making a library context failed")
    }
    var loaded: [OpaquePointer] = unsafe []
    var names: [String] = []
    for name in required + optional {
      guard let provider = unsafe OSSL_PROVIDER_load(library, name) else {
        guard required.contains(name) else {
          copenssl_clear_errors()
          continue
        }
        for index in unsafe loaded.indices { unsafe _ = OSSL_PROVIDER_unload(loaded[index]) }
        unsafe OSSL_LIB_CTX_free(library)
        copenssl_clear_errors()
        throw EngineError("openssl: loading the provider '\(name)' failed", isMistake: true)
      }
      unsafe loaded.append(provider)
      names.append(name)
    }
    providerNames = names
    unsafe self.providers = loaded
    unsafe algorithms = FetchedAlgorithms(from: library, propertyQuery: propertyQuery)
  }

  deinit {
    // SAFETY: lanes retain the engine, so none is left.
    unsafe algorithms.release()
    for index in unsafe providers.indices { unsafe _ = OSSL_PROVIDER_unload(providers[index]) }
    unsafe copenssl_forget_given(algorithms.library)
    unsafe OSSL_LIB_CTX_free(algorithms.library)
  }

  /// Runs known answers of every algorithm through a lane: both directions, every key size.
  public func selfTest() -> [CryptoAlgorithm: SelfTestResult] { knownAnswerTest.run() }

  var knownAnswerTest: SelfTest<OpenSSLLane> {
    SelfTest(engine: self) { [providerNames] algorithm in
      let isMissing = !providerNames.contains(Self.legacyProvider)
      return algorithm.isLegacy && isMissing
        ? "needs the legacy provider" : "the loaded providers do not offer it"
    }
  }
}
