#!/bin/bash
# What records of requests in flight, and the log of written pages, cost (`make bench-recording`): the same daemon with and
# without, in turn. First as a guest has it, from the front-end's side; then of the worker alone, with its requests in its
# own cache and nobody at the other end, where it weighs most.
#
# Front-end and worker have a CPU each. A ratio is the requests per second with to those without (the time without to the
# time with). From the front-end's side, memory lies elsewhere in each daemon, which moves a ratio by per cents: so each
# daemon's median counts once, and median and quartiles are of the daemons. Rounds in which the CPUs' distance changed do
# not count.
#
# usage: recording-cost.sh [DAEMONS [SAMPLES [SECONDS]]]   samples of each daemon and comparison, and how long each takes
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${VHOST_CRYPTO_BIN:-$here/../../.build/release}
daemons=${1:-8} samples=${2:-11} seconds=${3:-0.1}
if [[ $(nproc) -lt 2 ]]; then
  echo "recording-cost: two CPUs are needed, this machine has one" >&2
  exit 69
fi
work=$(mktemp -d)
daemon=''
stop() {
  [[ -z $daemon ]] || kill "$daemon" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

# Label, tab and median of what most of the rounds were like.
compare() {
  local label=$1
  shift
  "$bin/vhost-crypto" bench --socket-path "$work/device.sock" --op aes-128-cbc-encrypt --size 64,1024 \
    --samples "$samples" --seconds "$seconds" --cpu 0 --backend-cpu 1 "$@" >"$work/table"
  awk -v label="$label" '
    $1 == "aes-128-cbc-encrypt" { split($4, rounds, "/"); if (rounds[1] * 2 >= rounds[2]) print label ", " $2 " bytes\t" $7 }
  ' "$work/table"
}
for ((turn = 0; turn < daemons; turn++)); do
  "$bin/vhost-user-crypto" --socket-path="$work/device.sock" --calibration-cache="$work/speeds" 2>"$work/daemon.log" &
  daemon=$!
  for _ in {1..300}; do [[ -S $work/device.sock ]] && break; sleep 0.1; done
  [[ -S $work/device.sock ]] || { cat "$work/daemon.log" >&2; exit 69; }
  for ring in split packed; do
    compare "$ring ring: requests in flight recorded" --ring "$ring" --against "$work/device.sock" --inflight
    compare "$ring ring: written pages logged" --ring "$ring" --dirty-log
    compare "$ring ring: both" --ring "$ring" --against "$work/device.sock" --inflight --dirty-log
  done
  kill "$daemon"
  wait "$daemon" || true
  daemon=''
done >"$work/medians"
echo "== from the front-end's side"
awk -f "$here/quartiles.awk" "$work/medians"

echo "== the worker alone"
scenarios=()
for ring in split packed; do
  for size in 64 1024 16384; do scenarios+=("aes-128-cbc-encrypt:$ring:$size"); done
done
for ring in packed:direct split-in-order packed-in-order; do scenarios+=("aes-128-cbc-encrypt:$ring:64"); done
# Their sources are saved.
for size in 64 4096 16384; do scenarios+=("aes-128-cbc-encrypt:split:$size:in-place"); done
scenarios+=(aes-128-cbc-decrypt:split:4096:in-place aes-128-cbc-encrypt:openssl:split:4096:in-place)
"$bin/data-path-driver" compare "${scenarios[@]}"
