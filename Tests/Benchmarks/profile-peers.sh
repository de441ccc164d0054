#!/bin/bash
# Where the time of a request goes, in our daemon and in DPDK's back-end: each alone under the same load, `perf` looking at
# its processor 2000 times a second. Prints nanoseconds per request for each library, and for our own functions.
#
# usage: profile-peers.sh [OPERATION [SIZE [ENGINE [WAY [DEPTH [SECONDS]]]]]]   (after `make bench-peers`, which builds the peer)
#   ENGINE is ipsec-mb or openssl, WAY zero-copy or copy (DPDK's): aes-128-cbc-decrypt 1024 ipsec-mb zero-copy 64 5
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$here/../../.build/release}
OUT=$(realpath -m "${OUT:-$here/../../.build/benchmarks}")
FRONT_CPU=${FRONT_CPU:-0} BACKEND_CPU=${BACKEND_CPU:-1}
operation=${1:-aes-128-cbc-decrypt} size=${2:-1024} engine=${3:-ipsec-mb} way=${4:-zero-copy} depth=${5:-64} seconds=${6:-5}
driver=$engine
[[ $engine == openssl ]] || driver=aesni-mb
for tool in perf jq; do
  command -v "$tool" >/dev/null || { echo "profile-peers: $tool is missing: apt-get install linux-perf jq" >&2; exit 69; }
done
make --silent -C "$here/dpdk-backend" OUT="$OUT"

dir=$(mktemp -d) backend=''
stop() {
  [[ -z $backend ]] || { kill "$backend" 2>/dev/null; wait "$backend" 2>/dev/null; } || true
  backend=''
}
trap 'stop; rm -rf "$dir"' EXIT

cat >"$dir/ours.yaml" <<YAML
version: 1
device: { queues: 1 }
workers: { cpus: [$BACKEND_CPU] }
algorithms:
  cipher: { aes-cbc: { engine: [$engine] } }
  mac: { hmac-sha1: { engine: [$engine] } }
YAML

# profile NAME COMMAND...
profile() {
  local name=$1 tries=100 rate
  shift
  "$@" --socket-path="$dir/$name.sock" >"$dir/$name.log" 2>&1 &
  backend=$!
  until [[ -S $dir/$name.sock ]]; do
    ((tries-- > 0)) || { cat "$dir/$name.log" >&2; exit 1; }
    sleep 0.1
  done
  # From its second second on, for less than it works.
  (sleep 1; exec perf record -q -e cpu-clock -F 2000 -C "$BACKEND_CPU" -o "$dir/$name.perf" sleep "$((seconds - 2))") 2>/dev/null &
  rate=$("$BUILD/vhost-crypto" bench --json --socket-path="$dir/$name.sock" --sessions=message --message-layout=opcode-first \
    --fixed-entries --depth="$depth" --cpu="$FRONT_CPU" --op="$operation" --size="$size" --seconds="$seconds" |
    jq 'if .verified == .compared then .requestsPerSecond else error("wrong results") end')
  wait %%
  echo
  echo "$name: $operation, $size bytes, $depth in flight: $(awk -v r="$rate" 'BEGIN { printf "%.0f requests per second, %.0f ns each", r, 1e9 / r }')"
  for column in dso symbol; do
    perf report -i "$dir/$name.perf" --stdio --sort "$column" --percent-limit 2 2>/dev/null |
      awk -v r="$rate" '/^ *[0-9.]+%/ { share = $1; sub(/%/, "", share); $1 = ""; sub(/^ +/, ""); sub(/^\[[.k]\] /, "")
        printf "  %6.1f ns  %5.1f %%  %s\n", 1e7 / r * share, share, substr($0, 1, 100) }'
    echo
  done
  stop
}

profile ours "$BUILD/vhost-user-crypto" --config="$dir/ours.yaml" --calibration-cache="$dir/speeds"
zero_copy=()
[[ $way == copy ]] || zero_copy=(--zero-copy)
profile dpdk "$OUT/dpdk-backend" --driver="$driver" --core="$BACKEND_CPU" "${zero_copy[@]}"
