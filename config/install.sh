#!/usr/bin/env bash
# Puts everything in its place, or takes it away again:
#
#   config/install.sh install | uninstall | list
#
# DESTDIR  in front of every path; PREFIX (/usr/local), SYSCONFDIR (/etc), UNITDIR, and SYSUSERSDIR, TMPFILESDIR
# BUILD    where the programs are that were built
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR-}
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
BUILD=${BUILD:-$here/../.build/static/release}
BINDIR=$PREFIX/bin
LIBDIR=$PREFIX/lib
SHAREDIR=$PREFIX/share
UNITDIR=${UNITDIR:-$LIBDIR/systemd/system}
SYSUSERSDIR=${SYSUSERSDIR:-$LIBDIR/sysusers.d}
TMPFILESDIR=${TMPFILESDIR:-$LIBDIR/tmpfiles.d}
# Debian's zsh looks for packages' functions elsewhere.
if [ "$PREFIX" = /usr ]; then ZSHDIR=$SHAREDIR/zsh/vendor-completions; else ZSHDIR=$SHAREDIR/zsh/site-functions; fi
programs=(vhost-user-crypto vhost-crypto)
examples=(default hardened minimal two-devices)

# Each line: how it is made, its mode, where it goes.
files() {
  local program unit example
  for program in "${programs[@]}"; do
    echo "copy:$BUILD/$program 755 $BINDIR/$program"
    echo "completion:$program:bash 644 $SHAREDIR/bash-completion/completions/$program"
    echo "completion:$program:zsh 644 $ZSHDIR/_$program"
    echo "completion:$program:fish 644 $SHAREDIR/fish/vendor_completions.d/$program.fish"
    echo "manual:$program 644 $SHAREDIR/man/man1/$program.1"
  done
  echo "page:$here/../docs/man/vhost-user-crypto.yaml.5 644 $SHAREDIR/man/man5/vhost-user-crypto.yaml.5"
  for unit in "$here"/systemd/*.service "$here"/systemd/*.socket; do
    echo "filled:$unit 644 $UNITDIR/${unit##*/}"
  done
  echo "copy:$here/systemd/sysusers.conf 644 $SYSUSERSDIR/vhost-user-crypto.conf"
  echo "copy:$here/systemd/tmpfiles.conf 644 $TMPFILESDIR/vhost-user-crypto.conf"
  echo "filled:$here/qemu/50-vhost-user-crypto.json 644 $SHAREDIR/qemu/vhost-user/50-vhost-user-crypto.json"
  for example in "${examples[@]}"; do
    echo "copy:$here/$example.yaml 644 $SHAREDIR/doc/vhost-user-crypto/examples/$example.yaml"
  done
  echo "copy:$here/grafana/vhost-user-crypto.json 644 $SHAREDIR/doc/vhost-user-crypto/examples/grafana.json"
  echo "configuration:$here/service.yaml 644 $SYSCONFDIR/vhost-user-crypto/vhost-user-crypto.yaml"
  echo "configuration:$here/service-vm.yaml 644 $SYSCONFDIR/vhost-user-crypto/vm.yaml"
}

page_date() {
  local seconds=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}
  LC_ALL=C date -u -d "@$seconds" '+%B %-d, %Y'
}

# Units have their common part put in, and know where the daemon is.
fill() {
  sed -e "/^@HARDENING@\$/{r $here/systemd/hardening.conf" -e 'd;}' \
    -e "s|@BINDIR@|$BINDIR|g; s|@SYSCONFDIR@|$SYSCONFDIR|g" "$1"
}

# Writes what `how` makes.
make_file() {
  local how=$1 kind=${1%%:*} what=${1#*:}
  case $kind in
  copy | configuration) cat "$what" ;;
  filled) fill "$what" ;;
  page) sed "s/@DATE@/$(page_date)/" "$what" ;;
  # They are read, not run: a first line for the kernel is of no use.
  completion) "$BUILD/${what%:*}" --generate-completion-script "${what#*:}" | sed '1{/^#!/d;}' ;;
  manual)
    "$BUILD/$what" --experimental-dump-help |
      jq -r --arg date "$(page_date)" --rawfile more "$here/../docs/man/$what.1.in" -f "$here/../docs/man/mdoc.jq"
    ;;
  *) echo "install.sh: $how?" >&2 && return 1 ;;
  esac
}

install_all() {
  local how mode target new
  command -v jq >/dev/null || { echo "install.sh: jq is missing, which makes the manual pages; apt-get install jq" >&2; exit 69; }
  for program in "${programs[@]}"; do
    [ -x "$BUILD/$program" ] || { echo "install.sh: no $BUILD/$program; run make static, or set BUILD" >&2; exit 66; }
  done
  new=$(mktemp)
  # shellcheck disable=SC2064
  trap "rm -f '$new'" EXIT
  while read -r how mode target; do
    # What an operator has changed stays.
    if [ "${how%%:*}" = configuration ] && [ -e "$DESTDIR$target" ]; then continue; fi
    make_file "$how" >"$new"
    install -D -m "$mode" "$new" "$DESTDIR$target"
  done < <(files)
}

uninstall_all() {
  local how target
  while read -r how _ target; do
    if [ "${how%%:*}" = configuration ] && ! cmp -s "${how#*:}" "$DESTDIR$target"; then
      if [ -e "$DESTDIR$target" ]; then echo "install.sh: $DESTDIR$target was changed and stays"; fi
      continue
    fi
    rm -f "$DESTDIR$target"
  done < <(files)
  # Directories that are nobody else's.
  for target in "$SYSCONFDIR/vhost-user-crypto" "$SHAREDIR/doc/vhost-user-crypto/examples" \
    "$SHAREDIR/doc/vhost-user-crypto"; do
    rmdir "$DESTDIR$target" 2>/dev/null || true
  done
}

case ${1-} in
install) install_all ;;
uninstall) uninstall_all ;;
list) files | while read -r _ mode target; do echo "$mode $DESTDIR$target"; done ;;
*) echo "usage: install.sh install | uninstall | list" >&2 && exit 64 ;;
esac
