#!/bin/bash
# What being watched costs (`make bench-scrape`): throughput while nobody reads /metrics, and while somebody reads it ten
# times a second, in turn.
#
# The worker has CPU 0 to itself. Everything else is on the last CPU: the front-end, the daemon's other threads, which
# write the metrics out, and the reader, one process at nice 5 (at 19 a front-end that polls starves it) that makes a new connection for each reading, as
# Prometheus may. A pair is a measurement without and one with the reader, their order changing from pair to pair. Prints
# the median and the quartiles of the pairs' ratios: of the throughput, and of the requests that the worker did in a
# second of its own processor time, in which the other CPU's business does not show.
#
# usage: scrape-cost.sh [PAIRS [SECONDS [OPERATION [SIZE [DEPTH [MODE]]]]]]   DEPTH, MODE: as `vhost-crypto bench` has them
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${VHOST_CRYPTO_BIN:-$here/../../.build/release}
pairs=${1:-16} seconds=${2:-1} operation=${3:-aes-128-cbc-encrypt} size=${4:-1024} depth=${5:-64} mode=${6:-poll}
last_cpu=$(($(nproc) - 1))
if [[ $last_cpu -lt 1 ]]; then
  echo "scrape-cost: two CPUs are needed, this machine has one" >&2
  exit 69
fi
work=$(mktemp -d)
daemon='' reader=''
stop() {
  [[ -z $reader ]] || kill "$reader" 2>/dev/null || true
  [[ -z $daemon ]] || kill "$daemon" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

cat >"$work/daemon.yaml" <<YAML
version: 1
workers: { cpus: [0] }
YAML
taskset -c "$last_cpu" "$bin/vhost-user-crypto" --config="$work/daemon.yaml" --socket-path="$work/device.sock" \
  --stats-socket="$work/stats.sock" --calibration-cache="$work/speeds" 2>"$work/daemon.log" &
daemon=$!
for _ in {1..300}; do [[ -S $work/device.sock && -S $work/stats.sock ]] && break; sleep 0.1; done

# Reads /metrics ten times a second until it is ended, and counts its readings in a file.
read_metrics() {
  exec taskset -c "$last_cpu" nice -n 5 python3 - "$work/stats.sock" "$work/readings" <<'PYTHON'
import socket, sys, time
start = time.monotonic()
count = 0
while True:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while part := connection.recv(1 << 18):
        answer += part
    connection.close()
    if not answer.endswith(b"# EOF\n"):
        sys.exit("no metrics: " + repr(answer[:200]))
    count += 1
    with open(sys.argv[2], "w") as file:
        file.write(f"{count} {len(answer)}\n")
    time.sleep(max(0.0, start + count * 0.1 - time.monotonic()))
PYTHON
}

# Processor seconds and requests of the worker so far.
worker() {
  curl -fsS --unix-socket "$work/stats.sock" http://localhost/stats |
    jq -r '.devices[0].queues[0] | "\(.cpuSeconds) \(.requests)"'
}

# measure WATCHED: requests per second, and per second of the worker's processor time.
measure() {
  local before after rate
  if [[ $1 == 1 ]]; then
    rm -f "$work/readings"
    read_metrics &
    reader=$!
    for _ in {1..100}; do [[ -s $work/readings ]] && break; sleep 0.05; done
  fi
  before=$(worker)
  rate=$("$bin/vhost-crypto" bench --socket-path "$work/device.sock" --op "$operation" --size "$size" --depth "$depth" --mode "$mode" \
    --seconds "$seconds" --cpu "$last_cpu" --json |
    jq 'if .verified == .compared then .requestsPerSecond else error("wrong results") end')
  after=$(worker)
  if [[ $1 == 1 ]]; then
    kill "$reader"
    wait "$reader" 2>/dev/null || true
    reader=''
    # What was not read was not measured.
    awk -v least="$seconds" '{ if ($1 < least * 8) exit 1 }' "$work/readings" ||
      { echo "scrape-cost: only $(cat "$work/readings") readings in $seconds s" >&2; exit 70; }
  fi
  echo "$rate $(awk -v before="$before" -v after="$after" \
    'BEGIN { split(before, b, " "); split(after, a, " "); print (a[2] - b[2]) / (a[1] - b[1]) }')"
}

measure 0 >/dev/null
for ((pair = 0; pair < pairs; pair++)); do
  if ((pair % 2)); then
    watched=$(measure 1)
    alone=$(measure 0)
  else
    alone=$(measure 0)
    watched=$(measure 1)
  fi
  echo "$alone $watched"
done >"$work/pairs"

echo "$operation of $size bytes, $depth in flight, front-end: $mode, $pairs pairs of $seconds s; a reading has $(cut -d' ' -f2 "$work/readings") bytes"
awk '
  function sort(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j-1]; j--) { t = list[j]; list[j] = list[j-1]; list[j-1] = t }
  }
  # The value below which a share of the list is, between neighbours where there is none.
  function quantile(list, n, q,   place, low) {
    place = 1 + (n - 1) * q; low = int(place)
    return low >= n ? list[n] : list[low] + (place - low) * (list[low+1] - list[low])
  }
  function show(name, list, n) {
    sort(list, n)
    printf "%-44s %.4f  (quartiles %.4f to %.4f)\n", name, quantile(list, n, 0.5), quantile(list, n, 0.25), quantile(list, n, 0.75)
  }
  { a[NR] = $1; c[NR] = $2; r[NR] = $3 / $1; w[NR] = $4 / $2 }
  END {
    sort(a, NR); sort(c, NR)
    printf "%-44s %.0f\n", "requests per second, nobody reading", quantile(a, NR, 0.5)
    printf "%-44s %.0f\n", "requests per worker second, nobody reading", quantile(c, NR, 0.5)
    show("throughput, read ten times a second / not", r, NR)
    show("per worker second, the same", w, NR)
  }' "$work/pairs"
