import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend

/// The source tree that these tests are from.
private let sourceTree = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// A shell command of the source tree, which must succeed; its output.
private func shell(
  _ script: String, environment: [String: String] = [:], milliseconds: Int = 120_000
) throws -> String {
  let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  let result = try FinishedProgram.run(
    path: "/bin/bash", ["-ec", "cd \(sourceTree)\n\(script)"], environment: variables,
    milliseconds: milliseconds)
  guard result.status == .status(0) else {
    throw TestSupportError("\(script): \(result.status) \(result.output)\(result.errorOutput)")
  }
  return result.output
}

extension TheDaemon {
  @Suite("What is installed")
  struct PackagingTests {
    private let directory: TemporaryDirectory
    private var root: String { directory.file("root") }

    init() throws { directory = try TemporaryDirectory() }

    @discardableResult
    private func script(_ command: String, prefix: String = "/usr", root: String) throws -> String {
      try shell(
        "config/install.sh \(command)",
        environment: ["DESTDIR": root, "PREFIX": prefix, "BUILD": DaemonProcess.buildDirectory])
    }

    /// Regular files below a directory, with the leading slash and their modes.
    private func tree(_ path: String) throws -> [String: Int] {
      var result: [String: Int] = [:]
      for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
        guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
        result["/" + name] = (attributes[.posixPermissions] as? Int) ?? -1
      }
      return result
    }

    private func text(_ path: String) throws -> String {
      try String(contentsOfFile: root + path, encoding: .utf8)
    }

    // MARK: make install

    @Test func everythingGetsToItsPlaceAndGoesAgain() throws {
      try script("install", root: root)
      let listed = try script("list", root: "").split(separator: "\n").map { line in
        line.split(separator: " ").map(String.init)
      }
      #expect(listed.count > 25)
      #expect(
        try tree(root)
          == Dictionary(uniqueKeysWithValues: listed.map { ($0[1], Int($0[0], radix: 8) ?? 0) }))
      for path in [
        "/usr/bin/vhost-user-crypto", "/usr/bin/vhost-crypto",
        "/usr/share/man/man1/vhost-user-crypto.1", "/usr/share/man/man5/vhost-user-crypto.yaml.5",
        "/usr/lib/systemd/system/vhost-user-crypto@.socket",
        "/usr/share/qemu/vhost-user/50-vhost-user-crypto.json",
        "/usr/share/bash-completion/completions/vhost-crypto",
        "/usr/share/zsh/vendor-completions/_vhost-user-crypto",
        "/usr/share/fish/vendor_completions.d/vhost-crypto.fish",
        "/etc/vhost-user-crypto/vhost-user-crypto.yaml",
      ] { #expect(listed.contains { $0[1] == path }, "\(path)") }
      for name in ["vhost-user-crypto", "vhost-crypto"] {
        #expect(try shell("\(root)/usr/bin/\(name) --version").contains("0."))
      }
      // What an operator wrote is not touched.
      let own = root + "/etc/vhost-user-crypto/vm.yaml"
      try "version: 1 # ours\n".write(toFile: own, atomically: true, encoding: .utf8)
      try script("install", root: root)
      #expect(try String(contentsOfFile: own, encoding: .utf8) == "version: 1 # ours\n")
      #expect(try script("uninstall", root: root).contains("vm.yaml was changed and stays"))
      #expect(try Array(tree(root).keys) == ["/etc/vhost-user-crypto/vm.yaml"])
    }

    @Test func installedCapabilityFilesAreGood() throws {
      try script("install", root: root)
      for name in ["etc/vhost-user-crypto/vhost-user-crypto", "etc/vhost-user-crypto/vm"] {
        let result = try FinishedProgram.run(
          "vhost-user-crypto", ["--config=\(root)/\(name).yaml", "--check-config"])
        #expect(result.status == .status(0), "\(result.errorOutput)")
      }
    }

    @Test func withoutProgramsThereIsOneLine() throws {
      let result = try FinishedProgram.run(
        path: "/bin/bash", [sourceTree + "/config/install.sh", "install"],
        environment: ["BUILD": "/nonexistent", "DESTDIR": root, "PATH": "/usr/bin:/bin"],
        milliseconds: 5000)
      result.expectComplaint(66, "make static", from: "install.sh: ")
    }

    // MARK: Manual pages and completions

    /// The options that `--help` shows, of a program and its subcommands.
    private func options(_ program: String) throws -> Set<String> {
      let path = try DaemonProcess.executable(program)
      let help = try shell("\(path) --help")
      let subcommands = help.split(separator: "SUBCOMMANDS:").dropFirst().first?
        .split(separator: "\n").compactMap { line in
          line.firstMatch(of: #/^  ([a-z-]+) /#).map { String($0.1) }
        }
      let pages = try [help] + (subcommands ?? []).map { try shell("\(path) \($0) --help") }
      let found = pages.flatMap { page in
        // Groups of options have headings of their own.
        page.split(separator: "OPTIONS:").dropFirst().joined().split(separator: "\n")
          .filter { $0.hasPrefix("  -") }
          .flatMap { $0.matches(of: /--([a-z][a-z-]*)(?=[ \/,]|$)/).map { String($0.1) } }
      }
      return Set(found)
    }

    @Test(arguments: ["vhost-user-crypto", "vhost-crypto"])
    func theManualHasEveryOptionAndNoOther(program: String) throws {
      try script("install", root: root)
      let page = try text("/usr/share/man/man1/\(program).1").replacing("\\-", with: "-")
      let items = page.split(separator: "\n").filter { $0.hasPrefix(".It Fl ") }
      let documented = Set(
        items.flatMap { $0.matches(of: /Fl -([a-z-]+)/).map { String($0.1) } })
      let wanted = try options(program)
      #expect(wanted.count > 10)
      #expect(documented == wanted)
    }

    @Test func manualPagesAreClean() throws {
      try script("install", root: root)
      for page in [
        "man1/vhost-user-crypto.1", "man1/vhost-crypto.1", "man5/vhost-user-crypto.yaml.5",
      ] {
        let path = root + "/usr/share/man/" + page
        // The style messages left are about pages of other packages, which need not be installed.
        let output = try shell(
          "mandoc -Tlint \(path) | grep -v 'referenced manual not found' || true")
        #expect(output == "", "\(page)")
        let shown = try shell("mandoc -Tutf8 \(path)")
        #expect(shown.contains("DESCRIPTION") || shown.contains("D\u{8}D"))
      }
    }

    @Test func completionsKnowTheOptions() throws {
      try script("install", root: root)
      for program in ["vhost-user-crypto", "vhost-crypto"] {
        let bash = "/usr/share/bash-completion/completions/\(program)"
        _ = try shell("bash -n \(root)\(bash)")
        let files = [
          bash, "/usr/share/zsh/vendor-completions/_\(program)",
          "/usr/share/fish/vendor_completions.d/\(program).fish",
        ]
        for path in files {
          let script = try text(path)
          for option in try options(program) where option != "help" && option != "version" {
            #expect(
              script.contains("--\(option)") || script.contains("-l '\(option)'")
                || script.contains("-l \(option)"), "\(option) in \(path)")
          }
        }
      }
      // What bash makes of a beginning.
      let path = root + "/usr/share/bash-completion/completions/vhost-user-crypto"
      let script = """
        export PATH=\(DaemonProcess.buildDirectory):$PATH
        source \(path)
        complete_words() {
          COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
          COMPREPLY=()
          _vhost-user-crypto "$1" "${@: -1}" "${@: -2:1}" || true
          echo "${COMPREPLY[@]}"
        }
        complete_words vhost-user-crypto --so
        complete_words vhost-user-crypto --log-format jo
        """
      #expect(try shell(script) == "--socket-path --socket-group --socket-mode\njournal\n")
    }

    // MARK: Discovery

    @Test func managementSoftwareFindsTheBackend() throws {
      try script("install", root: root)
      let path = "/usr/share/qemu/vhost-user/50-vhost-user-crypto.json"
      let object = try JSONSerialization.jsonObject(with: Data(text(path).utf8))
      let fields = try #require(object as? [String: String])
      #expect(Set(fields.keys) == ["description", "type", "binary"])
      let binary = try #require(fields["binary"])
      #expect(binary == "/usr/bin/vhost-user-crypto")
      let capabilities = try JSONSerialization.jsonObject(
        with: Data(shell("\(root)\(binary) --print-capabilities").utf8))
      #expect((capabilities as? [String: String])?["type"] == fields["type"])
    }

    // MARK: Units

    private static let services = ["vhost-user-crypto.service", "vhost-user-crypto@.service"]
    private static let sockets = [
      "vhost-user-crypto.socket", "vhost-user-crypto@.socket", "vhost-user-crypto-stats.socket",
      "vhost-user-crypto-stats@.socket",
    ]

    @Test func unitsAreWhatSystemdTakes() throws {
      // Installed where the units say: systemd looks whether the program is there.
      try script("install", prefix: root + "/usr", root: "")
      let units = root + "/usr/lib/systemd/system"
      for unit in Self.services + Self.sockets {
        #expect(!(try text("/usr/lib/systemd/system/\(unit)").contains("@BINDIR@")))
      }
      let instances = (Self.services + Self.sockets).map {
        "\(units)/\($0.replacing("@.", with: "@vm1."))"
      }
      // An instance is its template by another name.
      for (unit, instance) in zip(Self.services + Self.sockets, instances) where unit.contains("@")
      {
        try FileManager.default.copyItem(atPath: "\(units)/\(unit)", toPath: instance)
      }
      let output = try shell(
        "systemd-analyze verify --man=no \(instances.joined(separator: " ")) 2>&1 | grep -F '\(root)' || true",
        environment: ["SYSTEMD_UNIT_PATH": "\(units):"])
      #expect(output == "")
    }

    /// A typing mistake in a unit is found: the check above can fail.
    @Test func aWrongUnitIsNotTaken() throws {
      try script("install", prefix: root + "/usr", root: "")
      let unit = root + "/usr/lib/systemd/system/vhost-user-crypto.service"
      let broken = try String(contentsOfFile: unit, encoding: .utf8)
        .replacing("ProtectSystem=strict", with: "ProtectSystem=strickt")
      try broken.write(toFile: unit, atomically: true, encoding: .utf8)
      let output = try shell(
        "systemd-analyze verify --man=no \(unit) 2>&1 | grep -F '\(root)' || true")
      #expect(output.contains("strickt"), "\(output)")
    }

    @Test(arguments: services)
    func servicesHaveFewRights(unit: String) throws {
      try script("install", root: root)
      let path = root + "/usr/lib/systemd/system/" + unit.replacing("@.", with: "@vm1.")
      if unit.contains("@") {
        try FileManager.default.copyItem(
          atPath: root + "/usr/lib/systemd/system/" + unit, toPath: path)
      }
      let output = try shell(
        "systemd-analyze security --no-pager --offline=true --threshold=10 \(path) 2>&1")
      let score = output.firstMatch(of: #/exposure level for .*: ([0-9.]+) /#).flatMap {
        Double(String($0.1))
      }
      #expect(try #require(score, "\(output)") <= 1.0)
    }

    // MARK: Dashboard

    @Test func theDashboardShowsWhatThereIs() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      try client.expectService()
      let metrics = String(
        decoding: try HTTPExchange.get("/metrics", socketPath: daemon.statsPath), as: UTF8.self)
      let samples = Set(
        metrics.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap { line in
          line.firstMatch(of: /^[a-z0-9_]+/).map { String($0.0) }
        })
      let file = sourceTree + "/config/grafana/vhost-user-crypto.json"
      let data = try Data(contentsOf: URL(fileURLWithPath: file))
      let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
      let panels = try #require(object?["panels"] as? [[String: Any]])
      let expressions = panels.flatMap { panel in
        (panel["targets"] as? [[String: Any]] ?? []).compactMap { $0["expr"] as? String }
      }
      #expect(expressions.count > 25)
      let all = String(decoding: data, as: UTF8.self)
      let named = Set(all.matches(of: /(vhost_crypto|process)_[a-z0-9_]+/).map { String($0.0) })
      #expect(named.subtracting(samples) == [])
      // And everything that is counted is shown.
      let shown = named.map { $0.replacing(/_(bucket|sum|count)$/, with: "") }
      let unshown = samples.filter { sample in
        !shown.contains(sample.replacing(/_(bucket|sum|count)$/, with: ""))
      }
      #expect(unshown == [])
    }

    // MARK: make deb

    private static let staticBuild = sourceTree + "/.build/static/release"

    @Test func thePackageRunsWhereThereIsNoSwift() throws {
      try #require(
        FileManager.default.isExecutableFile(atPath: Self.staticBuild + "/vhost-crypto"),
        "run make static first")
      let path = try shell(
        "config/debian/build-deb.sh \(directory.path)", environment: ["BUILD": Self.staticBuild],
        milliseconds: 300_000)
      let package = path.trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(try shell("lintian --allow-root --fail-on error,warning \(package) 2>&1") == "")
      let needs = try shell("dpkg-deb -f \(package) Depends")
      for library in ["libc6 (>=", "libssl3 (>=", "liburing2 (>="] {
        #expect(needs.contains(library), "\(needs)")
      }
      _ = try shell("dpkg-deb -x \(package) \(root)")
      #expect(
        try shell("dpkg-deb -c \(package) | awk '{print $2}' | sort -u") == "root/root\n")
      let conffiles = try shell("dpkg-deb --info \(package) conffiles")
      #expect(conffiles.split(separator: "\n").count == 2, "\(conffiles)")
      for program in ["vhost-user-crypto", "vhost-crypto"] {
        let libraries = try shell("ldd \(root)/usr/bin/\(program)")
        #expect(!libraries.contains("swift") && !libraries.contains("Foundation"), "\(libraries)")
        #expect(!libraries.contains("not found"), "\(libraries)")
      }
      // It serves a guest, from where it was unpacked, as systemd would start it.
      let transcript = try shell("Tests/Service/run.sh \(package)")
      for words in [
        "somebody connects; the service starts",
        "READY=1 STATUS=Serving 1 device, ", "Serving 1 device, 1 front-end connected",
        "STOPPING=1 STATUS=Stopping",
        "ended with status 0; its sockets are still there: True",
        "<6>listening at the service manager's socket device=vm1",
      ] { #expect(transcript.contains(words), "\(transcript)") }
      let verified = transcript.matches(of: /([1-9][0-9]*)\/([1-9][0-9]*)\n/)
      #expect(verified.count == 2 && verified.allSatisfy { $0.1 == $0.2 }, "\(transcript)")
    }
  }
}
