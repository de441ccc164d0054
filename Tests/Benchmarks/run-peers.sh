#!/bin/bash
# Our daemon and DPDK's vhost-user crypto back-end, side by side (`make bench-peers`): the same core,
# in turn, with the same front-end on another core. Prints ratios of requests per second, ours to
# DPDK's, each with its quartiles.
#
# usage: run-peers.sh   (after `make build`, and with libdpdk-dev installed)
# environment:
#   FRONT_CPU, BACKEND_CPU  processors (the first two that this process may use)
#   SAMPLES, SECONDS_EACH   rounds per operation and size, and the length of a sample (15, 0.3)
#   SIZES, OPS, DEPTH       what is measured (64,256,1024,2048; see below; 64); with DEPTH=1 the p50 is
#                           the round trip's
#   PEERS                   which of ipsec-mb:copy ipsec-mb:zero-copy openssl:copy openssl:zero-copy (all)
#   RAW=1                   our engines without a device, too
#   BUILD, OUT              our programs (.build/release); where the back-end is built and results go
#                           (.build/benchmarks)
#
# The front-end polls, in-order and with indirect descriptors, and creates sessions by message, all
# of which DPDK needs or likes best. DPDK's back-end neither waits for kicks nor calls. Ours runs with
# one queue, pinned, in its default way of polling. Every result of a first pass is compared with an
# independent computation, and samples afterwards.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$here/../../.build/release}
OUT=$(realpath -m "${OUT:-$here/../../.build/benchmarks}")
OPS=${OPS:-aes-128-cbc-encrypt,aes-128-cbc-decrypt,aes-128-cbc-hmac-sha1-encrypt}
SIZES=${SIZES:-64,256,1024,2048}
SAMPLES=${SAMPLES:-15}
SECONDS_EACH=${SECONDS_EACH:-0.3}
DEPTH=${DEPTH:-64}
PEERS=${PEERS:-ipsec-mb:copy ipsec-mb:zero-copy openssl:copy openssl:zero-copy}
failures=0 children=()

fail() {
  echo "bench-peers: $*" >&2
  exit 1
}

for tool in jq:jq pkg-config:pkg-config make:make; do
  command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done
pkg-config --exists libdpdk || fail "DPDK is missing: apt-get install libdpdk-dev"
for program in vhost-crypto vhost-user-crypto; do
  [[ -x $BUILD/$program ]] || fail "$BUILD/$program is missing: make build"
done

# The processors that this process may use, one a line.
processors() {
  sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr ',' '\n' \
    | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done
}
mapfile -t allowed < <(processors)
FRONT_CPU=${FRONT_CPU:-${allowed[0]}}
BACKEND_CPU=${BACKEND_CPU:-${allowed[1]:-}}
[[ -n $BACKEND_CPU ]] || fail "two processors are needed, one for the front-end"

make --silent -C "$here/dpdk-backend" OUT="$OUT"

dir=$(mktemp -d)
stop_children() {
  local pid
  for pid in "${children[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${children[@]}"; do wait "$pid" 2>/dev/null || true; done
  children=()
}
trap 'stop_children; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND...: runs a back-end that listens on $dir/NAME.sock.
start() {
  local name=$1 tries=100
  shift
  rm -f "$dir/$name.sock"
  "$@" --socket-path="$dir/$name.sock" >"$dir/$name.log" 2>&1 &
  children+=($!)
  until [[ -S $dir/$name.sock ]]; do
    if ((tries-- == 0)) || ! kill -0 $! 2>/dev/null; then
      sed 's/^/  /' "$dir/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

configuration() { # configuration ENGINE: ours, with this engine alone
  cat <<END
version: 1
device: { queues: 1 }
workers: { cpus: [$BACKEND_CPU] }
algorithms:
  cipher: { aes-cbc: { engine: [$1] } }
  mac: { hmac-sha1: { engine: [$1] } }
END
}

results=$OUT/peers.jsonl
: >"$results"
echo "bench-peers: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1)," \
  "front-end on processor $FRONT_CPU, back-ends on $BACKEND_CPU, load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "bench-peers: DPDK $(pkg-config --modversion libdpdk)," \
  "libipsec-mb $(dpkg-query -W -f '${Version}' libipsec-mb1 2>/dev/null || echo '?')," \
  "$(openssl version 2>/dev/null || echo 'openssl ?')"
echo "bench-peers: not compared: what DPDK's back-end refuses (ciphers above 2176 bytes, direct" \
  "descriptors, other services); chains that decrypt (it verifies MACs, ours and the specification" \
  "return them)"

# compare ENGINE DRIVER WAY: ours with ENGINE against DPDK with DRIVER, WAY being copy or zero-copy.
compare() {
  local peer="dpdk $2 $3" way=() raw=() status=0
  [[ $3 == copy ]] || way=(--zero-copy)
  [[ -z ${RAW:-} ]] || raw=(--raw --raw-engine "$1")
  echo "bench-peers: ours with $1 against $peer"
  configuration "$1" >"$dir/ours.yaml"
  if start ours "$BUILD/vhost-user-crypto" --config="$dir/ours.yaml" \
    && start dpdk "$OUT/dpdk-backend" --driver="$2" --core="$BACKEND_CPU" "${way[@]}"; then
    "$BUILD/vhost-crypto" bench --json --socket-path="$dir/ours.sock" --against="$dir/dpdk.sock" \
      --sessions=message --message-layout=opcode-first --fixed-entries --depth="$DEPTH" \
      --cpu="$FRONT_CPU" --backend-cpu="$BACKEND_CPU" "${raw[@]}" \
      --op="$OPS" --size="$SIZES" --samples="$SAMPLES" --seconds="$SECONDS_EACH" \
      | jq -c --arg peer "$peer" '{peer: $peer} + .' >>"$results" || status=$?
  else
    status=1
  fi
  stop_children
  ((status == 0)) || {
    echo "bench-peers: FAILED against $peer (status $status): its rows are missing or incomplete" >&2
    failures=$((failures + 1))
  }
}

peer_count=0
for peer in $PEERS; do
  peer_count=$((peer_count + 1))
  case $peer in
    ipsec-mb:copy | ipsec-mb:zero-copy) compare ipsec-mb aesni-mb "${peer#*:}" ;;
    openssl:copy | openssl:zero-copy) compare openssl openssl "${peer#*:}" ;;
    *) fail "PEERS: $peer is none of ipsec-mb:copy, ipsec-mb:zero-copy, openssl:copy, openssl:zero-copy" ;;
  esac
done

# A row for each operation, size, peer and distance of the processors.
jq -rs '
  def number(digits): . * pow(10; digits) | round / pow(10; digits);
  def mega: . / 1e6 | number(3);
  (["op", "size", "peer", "line-ns", "rounds", "ours-M/s", "peer-M/s", "ratio", "q1", "q3", "ours-p50-us", "peer-p50-us", "dev/raw"]),
  (map(select(.type == "comparison")) | sort_by(.operation, .byteCount)[]
    | [.operation, .byteCount, (.peer | gsub(" "; "/")), (.lineNanoseconds // "-" | if type == "number" then round else . end),
       "\(.rounds)/\(.roundsInAll)"]
      + if .rounds == 0 then ["-", "-", "-", "-", "-", "-", "-", "-"] else
        [(.device.median | mega), (.against.median | mega), (.deviceToAgainst.median | number(3)),
         (.deviceToAgainst.lowerQuartile | number(3)), (.deviceToAgainst.upperQuartile | number(3)),
         (.deviceLatency.p50Microseconds | number(2)), (.againstLatency.p50Microseconds | number(2)),
         (.deviceToRaw.median // "-" | if type == "number" then number(3) else . end)] end)
  | map(tostring) | join(" ")' "$results" | column -t
jq -rs 'map(select(.type == "comparison")) |
  "bench-peers: \(map(.verified) | add // 0) of \(map(.compared) | add // 0) results compared are right,"
  + " \(map(.unsteadyRounds) | add // 0) rounds do not count: the distance of the processors changed in them"' "$results"
# A polling front-end has its processor all the time, unless others want it, who then want the
# back-ends' one as well.
jq -rs 'map(.processorShare | numbers) | map(select(. < 0.98)) as $short |
  if length > 0 and ($short | length) * 10 > length then
    "bench-peers: THE MACHINE IS BUSY: in \($short | length) of \(length) samples others took more than 2 %"
    + " of the front-end\u0027s processor. The numbers mean little."
  else empty end' "$results"
echo "bench-peers: all samples are in $results"
((failures == 0)) || fail "$failures of $peer_count comparisons failed"
