#!/bin/bash
# What records of requests in flight, and the log of written pages, cost (`make bench-recording`): the same daemon with and
# without, in turn. First as a guest has it, from the front-end's side; then of the worker alone, with its requests in its
# own cache and nobody at the other end, where it weighs most.
#
# Front-end and worker have a CPU each. A ratio is the requests per second with to those without (the time without to the
# time with); median and quartiles are of the samples. Rounds in which the CPUs' distance changed do not count: the line
# with most of the rounds is the one to look at.
#
# usage: recording-cost.sh [SAMPLES [SECONDS]]   of each comparison, and of each sample
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${VHOST_CRYPTO_BIN:-$here/../../.build/release}
samples=${1:-61} seconds=${2:-0.2}
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

"$bin/vhost-user-crypto" --socket-path="$work/device.sock" --calibration-cache="$work/speeds" 2>"$work/daemon.log" &
daemon=$!
for _ in {1..300}; do [[ -S $work/device.sock ]] && break; sleep 0.1; done
[[ -S $work/device.sock ]] || { cat "$work/daemon.log" >&2; exit 69; }

compare() {
  "$bin/vhost-crypto" bench --socket-path "$work/device.sock" --op aes-128-cbc-encrypt --size 64,1024 \
    --samples "$samples" --seconds "$seconds" --cpu 0 --backend-cpu 1 "$@"
}
for ring in split packed; do
  echo "== $ring ring: requests in flight recorded, against not"
  compare --ring "$ring" --against "$work/device.sock" --inflight
  echo "== $ring ring: written pages logged, against not"
  compare --ring "$ring" --dirty-log
done

kill "$daemon"
wait "$daemon" || true
daemon=''
echo "== the worker alone"
scenarios=()
for ring in split packed; do
  for size in 64 1024 16384; do scenarios+=("aes-128-cbc-encrypt:$ring:$size"); done
done
"$bin/data-path-driver" compare "${scenarios[@]}"
