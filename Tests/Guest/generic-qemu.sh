#!/bin/bash
# Fetches a QEMU with generic vhost-user devices (vhost-user-test-device-pci), which Debian 12's
# own QEMU 7.2 has not, from Debian 13's backports, and unpacks it with all of its libraries into
# a folder (default: .build/guest/generic-qemu). Prints how to start it: FOLDER/qemu-system-x86_64.
# Nothing is installed: apt works with lists and a state of its own, and checks Debian's
# signatures against the keyring of this machine. A QEMU that is there is kept.
#
# usage: generic-qemu.sh [FOLDER]
# environment: DEBIAN_MIRROR (default: the one that this machine's apt uses)
#
# The exit status is 75 (EX_TEMPFAIL) where the package cannot be fetched, because the mirror
# cannot be reached or does not have it, and 1 for any other failure.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:-$here/../../.build/guest/generic-qemu}
suite=trixie
package=qemu-system-x86
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
device=vhost-user-test-device-pci

fail() {
  echo "generic-qemu: $*" >&2
  exit 1
}

unfetchable() {
  echo "generic-qemu: cannot be fetched: $*" >&2
  exit 75
}

# not_fetched WHAT: ends after apt failed. Only a mirror that is away or does not have it excuses.
not_fetched() {
  local reason
  reason="$1: $(grep -m 1 '^E:' apt/log || tail -n 1 apt/log)"
  if ! grep -qiE 'GPG error|NO_PUBKEY|BADSIG|EXPKEYSIG' apt/log \
    && grep -qE 'Failed to fetch|Unable to fetch|is expired|unmet dependencies' apt/log; then
    unfetchable "$reason"
  fi
  fail "$reason"
}

[[ $(uname -m) == x86_64 ]] || unfetchable "the package is for x86-64 machines"
for tool in apt-get:apt dpkg-deb:dpkg; do
  command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done
[[ -s $keyring ]] || fail "$keyring is missing: apt-get install debian-archive-keyring"

mkdir -p "$target"
target=$(realpath "$target")
cd "$target"
# Two callers at once would unpack into the same folder.
exec 9>lock
flock -w 600 9 || fail "another generic-qemu.sh holds $target/lock"

if [[ -x qemu-system-x86_64 ]]; then
  echo "generic-qemu: up to date: $(<version)"
  exit 0
fi

mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
  'Origin: Debian' 'Label: Debian' | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}

rm -rf apt root
trap 'rm -rf apt root.new qemu-system-x86_64.new' EXIT
mkdir -p apt/lists/partial apt/cache/archives/partial
for name in "$suite" "$suite-backports"; do
  echo "deb [arch=amd64 signed-by=$keyring] $mirror $name main"
done >apt/sources.list
# An empty list of installed packages makes apt fetch all that QEMU needs, the C library included.
: >apt/status
cat >apt/apt.conf <<END
Dir::State "$target/apt";
Dir::State::status "$target/apt/status";
Dir::Cache "$target/apt/cache";
Dir::Etc::SourceList "$target/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
END
export APT_CONFIG=$target/apt/apt.conf

echo "generic-qemu: fetching $package of $suite-backports from $mirror"
apt-get -q update >apt/log 2>&1 || not_fetched "apt-get update"
version=$(apt-cache madison "$package" | awk -F' *[|] *' -v suite="$suite-backports" '
  index($3, suite "/") { print $2; exit }')
[[ -n $version ]] || unfetchable "$mirror has no $package in $suite-backports"
apt-get -q --download-only -t "$suite-backports" install "$package=$version" >apt/log 2>&1 \
  || not_fetched "$package $version"

mkdir root.new
for deb in apt/cache/archives/*.deb; do
  dpkg-deb --extract "$deb" root.new || fail "$deb does not unpack"
done

# The libraries and modules have to be those of the folder: they fit each other, not this machine.
cat >qemu-system-x86_64.new <<'END'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
libraries=$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$libraries/qemu"
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" \
  "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
END
chmod 755 qemu-system-x86_64.new
mv root.new root
./qemu-system-x86_64.new -device "$device,help" >apt/log 2>&1 \
  || fail "QEMU $version does not start or has no $device: $(tail -n 1 apt/log)"
echo "$version" >version
mv qemu-system-x86_64.new qemu-system-x86_64
echo "generic-qemu: unpacked $package $version in $target"
