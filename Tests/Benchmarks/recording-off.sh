#!/bin/bash
# What it costs to be able to record requests in flight and to log written pages, where neither is asked for (`make
# bench-recording-off`): this build against one whose recorder, log and saved requests are always off, so that the compiler
# leaves all of it out (without-recording.patch). Of the worker alone, with nobody at the other end.
#
# A figure is the median of five in one process; the builds take turns, each process anew, since where code and memory lie
# moves a figure by a per cent. A ratio is the requests per second with to those without: median and quartiles of the turns.
#
# usage: recording-off.sh [TURNS [ROUNDS]]   ROUNDS: how often a ring of 64 requests is filled for one figure
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
turns=${1:-16} rounds=${2:-40000}
with=${VHOST_CRYPTO_BIN:-$root/.build/release}/data-path-driver
tree=$root/.build/without-recording
without=$tree/.build/release/data-path-driver

mkdir -p "$tree"
rm -rf "$tree"/{Package.swift,Sources,CModules,Tests}
(cd "$root" && git ls-files -z Package.swift Sources CModules Tests | tar --null -T - -c) | tar -x -C "$tree"
# Not as part of a repository, where paths outside of it are passed over in silence.
(cd "$tree" && GIT_DIR=/dev/null git apply "$here/without-recording.patch")
"${SWIFT:-swift}" build --package-path "$tree" -c release --product data-path-driver >"$tree/build.log" 2>&1 || {
  tail -n 40 "$tree/build.log" >&2
  exit 70
}

# Nanoseconds per request, the median of five.
time_once() {
  "$1" time --without-null --rounds "$rounds" "$2" "$2" "$2" "$2" "$2" |
    sed -E 's/.*"nanosecondsPerRequest":([0-9.]+).*/\1/' | sort -n | sed -n 3p
}

for scenario in aes-128-cbc-encrypt:{null,openssl}:{split,packed}:indirect:64 \
  aes-128-cbc-encrypt:openssl:{split,packed}:indirect:1024; do
  for ((turn = 0; turn < turns; turn++)); do
    if ((turn % 2)); then
      b=$(time_once "$without" "$scenario") a=$(time_once "$with" "$scenario")
    else
      a=$(time_once "$with" "$scenario") b=$(time_once "$without" "$scenario")
    fi
    printf '%s: with, ns\t%s\n%s: without, ns\t%s\n' "$scenario" "$a" "$scenario" "$b"
    printf '%s: ratio\t%s\n' "$scenario" "$(awk "BEGIN { print $b / $a }")"
  done | awk -f "$here/quartiles.awk"
done
