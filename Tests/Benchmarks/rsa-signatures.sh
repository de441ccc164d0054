#!/bin/bash
# RSA-2048 signatures through the device against `openssl speed` (`make bench-rsa`), with 1 and 2 helper threads.
#
# Rounds are interleaved, because the machine's speed changes from one minute to the next: each is openssl on one CPU and
# on two, then the device with one helper on that CPU and with two. The front-end and the worker sleep while helpers
# compute, so that two CPUs are enough. Prints each figure's median with its range, and the medians of the rounds' ratios.
#
# usage: rsa-signatures.sh [ROUNDS [SECONDS]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${VHOST_CRYPTO_BIN:-$here/../../.build/release}
rounds=${1:-7} seconds=${2:-3}
last_cpu=$(($(nproc) - 1))
if [[ $last_cpu -lt 1 ]]; then
  echo "rsa-signatures: two CPUs are needed, this machine has one" >&2
  exit 69
fi
work=$(mktemp -d)
daemons=()
stop() {
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT

# start COUNT CPUS: a daemon with so many helpers, on these CPUs.
start() {
  cat >"$work/$1.yaml" <<YAML
version: 1
workers: { cpus: [0], helpers: $1, helper-cpus: [$2], poll: { mode: event } }
YAML
  "$bin/vhost-user-crypto" --config="$work/$1.yaml" --socket-path="$work/$1.sock" \
    --calibration-cache="$work/speeds" 2>"$work/$1.log" &
  daemons+=($!)
}

# device COUNT: signatures per second.
device() {
  "$bin/vhost-crypto" bench --socket-path "$work/$1.sock" --op rsa-2048-sign --mode interrupt \
    --depth 32 --seconds "$seconds" --json | jq 'if .verified == .compared then .requestsPerSecond else error("wrong signatures") end'
}

# openssl's own loop: signatures per second of one CPU, or of two.
speed() {
  "$@" openssl speed -mr -elapsed -seconds "$seconds" rsa2048 2>/dev/null
}
one_cpu() { speed taskset -c "$last_cpu" | sed -nE 's/^\+F2:[0-9]+:2048:([0-9.e-]+):.*/\1/p'; }
two_cpus() {
  local sum=0 file
  for cpu in 0 "$last_cpu"; do
    speed taskset -c "$cpu" >"$work/speed.$cpu" &
    waiting+=($!)
  done
  wait "${waiting[@]}"
  for file in "$work"/speed.*; do
    sum=$(awk -v sum="$sum" -F: '/^\+F2:/ { print sum + ($4 < 1 ? 1 / $4 : $4) }' "$file")
  done
  echo "$sum"
}

start 1 "$last_cpu"
start 2 "0, $last_cpu"
for count in 1 2; do
  for _ in {1..100}; do [[ -S $work/$count.sock ]] && break; sleep 0.1; done
done
for ((round = 0; round < rounds; round++)); do
  waiting=()
  seconds_each=$(one_cpu)
  echo "$(awk -v t="$seconds_each" 'BEGIN { print t < 1 ? 1 / t : t }') $(device 1) $(two_cpus) $(device 2)"
done >"$work/rounds"

awk '
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j-1]; j--) { t = list[j]; list[j] = list[j-1]; list[j-1] = t }
    return n % 2 ? list[(n+1)/2] : (list[n/2] + list[n/2+1]) / 2
  }
  function show(name, list, n,   m) { m = median(list, n); printf "%-44s %8.0f/s  (%.0f to %.0f)\n", name, m, list[1], list[n] }
  { a[NR] = $1; b[NR] = $2; c[NR] = $3; d[NR] = $4; r[NR] = $2 / $1; s[NR] = $4 / $2; u[NR] = $4 / $3 }
  END {
    show("openssl speed, one CPU", a, NR)
    show("the device, one helper on that CPU", b, NR)
    show("openssl speed, two CPUs", c, NR)
    show("the device, two helpers", d, NR)
    printf "the device with one helper / openssl on one CPU: %.3f\n", median(r, NR)
    printf "two helpers / one helper: %.3f\n", median(s, NR)
    printf "the device with two helpers / openssl on two CPUs: %.3f\n", median(u, NR)
  }' "$work/rounds"
