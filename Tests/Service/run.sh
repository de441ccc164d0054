#!/usr/bin/env bash
# The package, unpacked and run as a service manager runs it; a front-end plays the guest. Needs make deb.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=${1:-$(ls "$here"/../../.build/deb/*.deb)}
root=$(mktemp -d /tmp/vcrypto-XXXXXX)
trap 'rm -rf "$root"' EXIT
step() { printf '\n$ %s\n' "$*"; }

step dpkg-deb -x "${package##*/}" ROOT
dpkg-deb -x "$package" "$root"
ls "$root"/usr/bin "$root"/lib/systemd/system

step service-manager.py ROOT vm1
mkfifo "$root/stop"
"$here/service-manager.py" "$root" vm1 <"$root/stop" >"$root/manager.log" 2>&1 &
manager=$!
exec 9>"$root/stop"
for _ in $(seq 100); do [ -S "$root/run/vhost-user-crypto/vm1-stats.sock" ] && break; sleep 0.1; done
tool=$root/usr/bin/vhost-crypto
"$tool" bench --socket-path "$root/run/vhost-user-crypto/vm1.sock" --op aes-128-cbc-encrypt --size 1024,16KiB \
  --seconds 1 >"$root/bench.log"
"$tool" stats --stats-socket "$root/run/vhost-user-crypto/vm1-stats.sock" >"$root/stats.log"
curl -s --unix-socket "$root/run/vhost-user-crypto/vm1-stats.sock" http://localhost/metrics >"$root/metrics.log"
exec 9>&-
wait "$manager" && status=0 || status=$?
cat "$root/manager.log"
step vhost-crypto bench --socket-path /run/vhost-user-crypto/vm1.sock --op aes-128-cbc-encrypt --size 1024,16KiB --seconds 1
cat "$root/bench.log"
step vhost-crypto stats --stats-socket /run/vhost-user-crypto/vm1-stats.sock
cat "$root/stats.log"
step "curl --unix-socket /run/vhost-user-crypto/vm1-stats.sock http://localhost/metrics | grep requests_total"
grep '^vhost_crypto_requests_total' "$root/metrics.log"
step journal
cat "$root/journal"
exit "$status"
