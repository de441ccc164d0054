#!/usr/bin/env bash
# Makes a Debian package of what was built: config/debian/build-deb.sh DIRECTORY; prints its path.
#
# The programs bring Swift's libraries with them (make static), so that the package runs where there is no Swift; what
# else they need, dpkg-shlibdeps finds out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
output=$(mkdir -p "$1" && cd "$1" && pwd)
BUILD=${BUILD:-$here/../../.build/static/release}
export BUILD SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}
version=$("$BUILD/vhost-user-crypto" --version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/root
mkdir -p "$root/DEBIAN" "$work/debian"

DESTDIR=$root PREFIX=/usr UNITDIR=/lib/systemd/system "$here/../install.sh" install
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root"/usr/bin/*
find "$root/usr/share/man" -type f -exec gzip -9n {} +
doc=$root/usr/share/doc/vhost-user-crypto
install -D -m 644 "$here/copyright" "$doc/copyright"
sed "s/@VERSION@/$version-1/; s/@DATE@/$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")/" "$here/changelog" |
  gzip -9n >"$doc/changelog.Debian.gz"
install -D -m 644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/vhost-user-crypto"

# dpkg-shlibdeps wants a source package's control file beside it.
sed "s/@ARCHITECTURE@/$architecture/" "$here/control" >"$work/debian/control"
needs=$(cd "$work" && dpkg-shlibdeps -O "$root"/usr/bin/* 2>"$work/notes" | sed -n 's/^shlibs:Depends=//p') ||
  { cat "$work/notes" >&2; exit 70; }
{
  sed -n '/^Package:/,$p' "$here/control" |
    sed "s/@ARCHITECTURE@/$architecture/; s/@DEPENDS@/$needs/; /^Architecture:/a Version: $version-1"
} >"$work/fields"
sed "/^Version:/a Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)" "$work/fields" >"$root/DEBIAN/control"
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$root/DEBIAN/$script"; done
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"

package=$output/vhost-user-crypto_$version-1_$architecture.deb
dpkg-deb --root-owner-group -Zxz -z2 --build "$root" "$package" >/dev/null
echo "$package"
