#!/bin/bash
# A real guest on our daemon and on QEMU's own back-end, `cryptodev-backend-builtin`, in turn
# (`make bench-guest`): AES-128-CBC through AF_ALG in the guest, requests one at a time and 32 at
# once. Prints ratios of throughput, latency and host processor time, each with its quartiles, and how
# many kicks and calls a request took.
#
# usage: run-guest.sh   (after `make build guest`)
# environment:
#   ROUNDS, SECONDS_EACH    boots of each back-end that are to count (up to three times as many are
#                           tried), and the seconds of a measurement (5, 1)
#   SIZES, JOBS             what is measured (1024,4096,16384,65536; 1,32)
#   QUEUES                  data queues of our daemon (1); QEMU's own back-end has one
#   CONFIG                  capability file of our daemon (its defaults, but one data queue)
#   ADD=1                   results are added to those that are there, for rounds at another time
#   DISTANCE_CPUS           two processors whose distance is watched (the first two of this process)
#   BUILD, OUT              our programs (.build/release); where results go (.build/benchmarks)
#   ACCEL, QEMU, ASSETS     as in boot-guest.sh
#
# Every boot is a sample: rounds of two, whose order changes with each, and ratios are of the two
# boots of a round. A round does not count when the distance of the host's processors changed in it,
# and rounds of different distances are not put together. The guest compares each process's first and
# last result with its kernel's software. Under emulation (ACCEL=tcg) the guest's own processor takes
# most of the time, which makes the ratios smaller than they are under KVM.
#
# "32 at once" are 32 processes in the guest, of which the stock driver gives the device one request
# at a time: it keeps the others in a queue of its own. What that saves is the guest's time between
# two requests.
#
# Host processor time is what QEMU's and the daemon's threads have run during a measurement, over its
# requests; kicks and calls are the daemon's counters.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$(realpath -m "${BUILD:-$here/../../.build/release}")
OUT=$(realpath -m "${OUT:-$here/../../.build/benchmarks}")
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-1}
SIZES=${SIZES:-1024,4096,16384,65536}
JOBS=${JOBS:-1,32}
QUEUES=${QUEUES:-1}
daemon_pid='' boot_pid=''

fail() {
  echo "bench-guest: $*" >&2
  exit 1
}

for tool in "${QEMU:-qemu-system-x86_64}:qemu-system-x86" jq:jq column:bsdextrautils; do
  command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done
for program in vhost-crypto vhost-user-crypto; do
  [[ -x $BUILD/$program ]] || fail "$BUILD/$program is missing: make build"
done
[[ $ROUNDS =~ ^[1-9][0-9]*$ ]] || fail "ROUNDS=$ROUNDS is no number"
[[ $QUEUES =~ ^[1-9][0-9]?$ ]] || fail "QUEUES=$QUEUES is no number of queues"
[[ -z ${CONFIG:-} || -r $CONFIG ]] || fail "CONFIG=$CONFIG cannot be read"
mkdir -p "$OUT"

dir=$(mktemp -d)
stop_daemon() {
  if [[ -n $daemon_pid ]]; then
    kill -TERM "$daemon_pid" 2>/dev/null || true
    wait "$daemon_pid" 2>/dev/null || true
    daemon_pid=''
  fi
}
clean_up() {
  # boot-guest.sh ends its QEMU itself when it is asked to end.
  if [[ -n $boot_pid ]]; then
    kill -TERM "$boot_pid" 2>/dev/null || true
    wait "$boot_pid" 2>/dev/null || true
  fi
  stop_daemon
  rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mapfile -t allowed < <(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status \
  | tr ',' '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
DISTANCE_CPUS=${DISTANCE_CPUS:-${allowed[0]},${allowed[1]:-}}
[[ $DISTANCE_CPUS =~ ^[0-9]+,[0-9]+$ ]] || fail "two processors are needed"

# Nanoseconds that a cache line takes from one processor to the other, null when they are too busy.
# `bench` measures that around its samples; what those are does not matter here.
distance() {
  "$BUILD/vhost-crypto" bench --daemon "$BUILD/vhost-user-crypto" --raw --raw-engine openssl \
    --json --no-verify --size 64 --samples 1 --seconds 0.01 \
    --cpu "${DISTANCE_CPUS%,*}" --backend-cpu "${DISTANCE_CPUS#*,}" 2>/dev/null \
    | jq -s '[.[] | select(.type == "sample") | .lineNanosecondsBefore, .lineNanosecondsAfter
        | numbers] | sort | .[length / 2 | floor]' || true
}

# boot SIDE: one boot, whose measurements go to the results.
boot() {
  local side=$1 status=0 options=(--backend builtin --socket none --queues 1) stats=''
  : >"$dir/marks.jsonl"
  if [[ $side == ours ]]; then
    rm -f "$dir/crypto.sock"
    stats=$dir/stats.sock
    "$BUILD/vhost-user-crypto" --socket-path="$dir/crypto.sock" --stats-socket="$stats" \
      --config="${CONFIG:-$dir/ours.yaml}" >"$dir/daemon.log" 2>&1 &
    daemon_pid=$!
    for _ in {1..100}; do [[ -S $dir/crypto.sock ]] && break || sleep 0.1; done
    options=(--socket "$dir/crypto.sock" --queues "$QUEUES")
  fi
  MARKS=$dir/marks.jsonl DAEMON_PID=$daemon_pid STATS=$stats TOOL=$BUILD/vhost-crypto \
    "$here/../Guest/boot-guest.sh" "${options[@]}" --mode bench \
    --hook "$here/guest-mark.sh" --option "sizes=$SIZES" --option "jobs=$JOBS" \
    --option "seconds=$SECONDS_EACH" --timeout 900 --log "$dir/guest.log" \
    ${ASSETS:+--assets "$ASSETS"} >/dev/null 2>"$dir/boot.log" &
  boot_pid=$!
  wait "$boot_pid" || status=$?
  boot_pid=''
  stop_daemon
  if ((status != 0)); then
    tail -n 20 "$dir/guest.log" "$dir/boot.log" >&2
    fail "the guest on $side failed (status $status)"
  fi
  sed -n 's/^guest: bench //p' "$dir/guest.log" | tr -d '\r' \
    | jq -cR --arg side "$side" --argjson round "$round" '
      [splits(" ") | split("=") | {key: .[0], value: (.[1] | tonumber? // .)}] | from_entries
      | {side: $side, round: $round} + .' >"$dir/lines.jsonl"
  # Every measurement has two marks. Between them each process sends one request more than it counts.
  jq -cn --slurpfile lines "$dir/lines.jsonl" --slurpfile marks "$dir/marks.jsonl" '
    if ($marks | length) != ($lines | length) * 2 then error("a mark is missing") else . end
    | range($lines | length) as $i | $lines[$i] as $line
    | $marks[2 * $i] as $from | $marks[2 * $i + 1] as $to
    | ($line.requests + $line.jobs) as $count
    | def grown(f): ($to.queues | map(f) | add) - ($from.queues | map(f) | add);
      $line + {
        "host-us": (($to.qemu + $to.daemon - $from.qemu - $from.daemon) / 1000 / $count),
        "daemon-us": (($to.daemon - $from.daemon) / 1000 / $count)}
      + if ($from.queues | length) == 0 then {}
        elif grown(.requests) != $count then error("the daemon counted other than \($count) requests")
        else {kicks: (grown(.kicks) / $count), calls: (grown(.callsSent) / $count),
          sleeps: (grown(.sleeps) / $count), "by-queue": [range($to.queues | length) as $q
            | $to.queues[$q].requests - $from.queues[$q].requests]} end
    ' >>"$dir/round.jsonl" || fail "what was measured in the guest on $side makes no sense"
}

results=$OUT/guest.jsonl first=0
if [[ -n ${ADD:-} && -s $results ]]; then
  first=$(jq -s 'map(.round) | max + 1' "$results")
else
  : >"$results"
fi
echo "version: 1
device: { queues: $QUEUES }" >"$dir/ours.yaml"
echo "bench-guest: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1)," \
  "$("${QEMU:-qemu-system-x86_64}" --version | head -1), ${ACCEL:-tcg}," \
  "load $(cut -d' ' -f1-3 /proc/loadavg)"
steady=0
for ((round = first; steady < ROUNDS && round < first + 3 * ROUNDS; round++)); do
  order=(ours builtin)
  ((round % 2 == 0)) || order=(builtin ours)
  : >"$dir/round.jsonl"
  seen=("$(distance)")
  for side in "${order[@]}"; do
    boot "$side"
    seen+=("$(distance)")
  done
  # Empty where measuring it failed: such a round counts for nothing.
  lines=$(printf '%s\n' "${seen[@]}" | jq -cR 'tonumber? // null' | jq -cs .)
  counts=$(jq -n --argjson lines "$lines" '$lines | all(. != null) and max <= min * 1.5')
  jq -c --argjson lines "$lines" --argjson counts "$counts" '. + {lines: $lines, counts: $counts}' \
    "$dir/round.jsonl" >>"$results"
  if [[ $counts == true ]]; then steady=$((steady + 1)) verdict=''; else verdict=', does not count'; fi
  echo "bench-guest: round $((round + 1)), distance of the processors: $lines ns$verdict"
done

jq -rs '
  def quantile(f): sort | (f * (length - 1)) as $at | ($at | floor) as $low
    | .[$low] + (.[[$low + 1, length - 1] | min] - .[$low]) * ($at - $low);
  def short: if . >= 100 then round else . * 1000 | round | . / 1000 end | tostring;
  def spread: "\(quantile(0.5) | short) (\(quantile(0.25) | short)-\(quantile(0.75) | short))";
  def regime: .lines | add / length;
  map(select(.counts)) as $good
  | (["op", "size", "in-flight", "line-ns", "rounds", "ours/s", "builtin/s", "ratio(q1-q3)",
      "ours-p50-us", "builtin-p50-us", "p50-ratio(q1-q3)", "ours-host-us", "builtin-host-us",
      "host-ratio(q1-q3)", "kicks", "calls"]),
    ($good | group_by([.op, .size, .jobs])[]
      | reduce (group_by(.round) | sort_by(.[0] | regime))[] as $pair ([];
          if length > 0 and ($pair[0] | regime) <= (.[-1][0][0] | regime) * 1.5
          then .[-1] += [$pair] else . + [[$pair]] end)
      | .[] | . as $rounds
      | ($rounds | map(map({key: .side, value: .}) | from_entries)) as $pairs
      | $rounds[0][0] as $one
      | [$one.op, $one.size, $one.jobs, ($rounds | map(.[0] | regime) | quantile(0.5) | round),
         ($rounds | length),
         ($pairs | map(.ours."per-second") | quantile(0.5) | round),
         ($pairs | map(.builtin."per-second") | quantile(0.5) | round),
         ($pairs | map(.ours."per-second" / .builtin."per-second") | spread),
         ($pairs | map(.ours."p50-us") | quantile(0.5) | short),
         ($pairs | map(.builtin."p50-us") | quantile(0.5) | short),
         ($pairs | map(.ours."p50-us" / .builtin."p50-us") | spread),
         ($pairs | map(.ours."host-us") | quantile(0.5) | short),
         ($pairs | map(.builtin."host-us") | quantile(0.5) | short),
         ($pairs | map(.ours."host-us" / .builtin."host-us") | spread),
         ($pairs | map(.ours.kicks) | quantile(0.5) | short),
         ($pairs | map(.ours.calls) | quantile(0.5) | short)])
  | map(tostring | gsub(" "; "")) | join(" ")' "$results" | column -t
echo "bench-guest: $((round - first - steady)) of $((round - first)) rounds do not count: the distance of the processors" \
  "changed in them"
echo "bench-guest: all samples are in $results"
((steady > 0)) || exit 75
