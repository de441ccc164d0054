#!/bin/bash
# A real guest on our daemon and one on QEMU's own back-end, `cryptodev-backend-builtin`
# (`make bench-guest`): AES-128-CBC through AF_ALG in the guest, requests one at a time and 32 at
# once. Prints ratios of throughput, latency and host processor time, each with its quartiles, and how
# many kicks and calls a request took.
#
# usage: run-guest.sh   (after `make build guest`)
# environment:
#   ROUNDS, MILLISECONDS    how often everything is measured, and how long each time (5, 500)
#   SIZES, JOBS             what is measured (1024,4096,16384,65536; 1,32)
#   QUEUES                  data queues of our daemon (1); QEMU's own back-end has one
#   CONFIG                  capability file of our daemon (its defaults, but QUEUES data queues)
#   QEMU_CPUS               processors that both QEMUs may use, as taskset has them (all)
#   ADD=1                   results are added to those that are there, for rounds at another time
#   DISTANCE_CPUS           two processors whose distance is watched (the first two of this process)
#   BUILD, OUT              our programs (.build/release); where results go (.build/benchmarks)
#   ACCEL, QEMU, ASSETS     as in boot-guest.sh
#
# Both guests run all the time and measure in turn, ours, builtin, builtin, ours, while the other one
# waits and uses no processor; ratios are of two neighbours. Those do not count between which the
# distance of the host's processors changed, and those of different distances are not put together.
# The guests compare each process's first and last result with their kernel's software. Under
# emulation (ACCEL=tcg) the guest's own processor takes most of the time, which makes the ratios
# smaller than they are under KVM.
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
MILLISECONDS=${MILLISECONDS:-500}
SIZES=${SIZES:-1024,4096,16384,65536}
JOBS=${JOBS:-1,32}
QUEUES=${QUEUES:-1}
daemon_pid='' boot_pids=()

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
[[ $MILLISECONDS =~ ^[1-9][0-9]*$ ]] || fail "MILLISECONDS=$MILLISECONDS is no number"
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
  local pid
  for pid in "${boot_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${boot_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  stop_daemon
  rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mapfile -t allowed < <(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status \
  | tr ',' '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
DISTANCE_CPUS=${DISTANCE_CPUS:-${allowed[0]},${allowed[1]:-}}
[[ $DISTANCE_CPUS =~ ^[0-9]+,[0-9]+$ ]] || fail "two processors are needed"

export DISTANCE_CPUS BUILD FOLDER=$dir

# boot SIDE OPTIONS...: starts a guest that measures when it is its turn.
boot() {
  local side=$1
  shift
  mkfifo "$dir/turn.$side"
  SIDE=$side ${QEMU_CPUS:+taskset -c "$QEMU_CPUS"} "$here/../Guest/boot-guest.sh" "$@" --mode bench --hook "$here/guest-mark.sh" \
    --option "sizes=$SIZES" --option "jobs=$JOBS" --option "milliseconds=$MILLISECONDS" \
    --option "rounds=$ROUNDS" --timeout 3600 --log "$dir/guest.$side.log" \
    ${ASSETS:+--assets "$ASSETS"} >/dev/null 2>"$dir/boot.$side.log" &
  boot_pids+=($!)
}

results=$OUT/guest.jsonl first=0
if [[ -n ${ADD:-} && -s $results ]]; then
  first=$(jq -s 'map(.round) | max + 1' "$results")
else
  : >"$results"
fi
echo "bench-guest: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1)," \
  "$("${QEMU:-qemu-system-x86_64}" --version | head -1), ${ACCEL:-tcg}," \
  "load $(cut -d' ' -f1-3 /proc/loadavg)"

echo "version: 1
device: { queues: $QUEUES }" >"$dir/ours.yaml"
stats=$dir/stats.sock
"$BUILD/vhost-user-crypto" --socket-path="$dir/crypto.sock" --stats-socket="$stats" \
  --config="${CONFIG:-$dir/ours.yaml}" >"$dir/daemon.log" 2>&1 &
daemon_pid=$!
for _ in {1..100}; do [[ -S $dir/crypto.sock ]] && break || sleep 0.1; done
echo 0 >"$dir/count"
: >"$dir/distance"
DAEMON_PID=$daemon_pid STATS=$stats boot ours --socket "$dir/crypto.sock" --queues "$QUEUES"
DAEMON_PID='' STATS='' boot builtin --backend builtin --socket none
# Kept open here: who passes the turn on never waits for who takes it.
exec {ours_turn}<>"$dir/turn.ours" {builtin_turn}<>"$dir/turn.builtin"
echo >&"$ours_turn"
while ((${#boot_pids[@]} > 0)); do
  status=0
  wait -n -p ended "${boot_pids[@]}" || status=$?
  ((status == 0)) || {
    tail -n 20 "$dir"/guest.*.log "$dir"/boot.*.log "$dir/daemon.log" >&2
    fail "a guest failed (status $status)"
  }
  # shellcheck disable=SC2154 # set by wait
  for index in "${!boot_pids[@]}"; do
    [[ ${boot_pids[index]} != "$ended" ]] || unset "boot_pids[index]"
  done
done
stop_daemon

# A line for each measurement, which has two marks. Between them each process sends one request more
# than it counts.
for side in ours builtin; do
  sed -n 's/^guest: bench //p' "$dir/guest.$side.log" | tr -d '\r' | jq -cR '
    [splits(" ") | split("=") | {key: .[0], value: (.[1] | tonumber? // .)}] | from_entries
    ' >"$dir/lines.$side"
  jq -cn --slurpfile lines "$dir/lines.$side" --slurpfile marks "$dir/marks.$side" \
    --arg side "$side" --argjson first "$first" --argjson rounds "$ROUNDS" '
    ($lines | length) as $all
    | if $all == 0 or ($marks | length) != $all * 2 then error("a mark is missing") else . end
    | range($all) as $i | $lines[$i] as $line | $marks[2 * $i] as $from | $marks[2 * $i + 1] as $to
    | ($line.requests + $line.jobs) as $count
    | def grown(f): ($to.queues | map(f) | add) - ($from.queues | map(f) | add);
      {side: $side, round: ($first + ($i * $rounds / $all | floor)), lines: [$from.line, $to.line]}
      + $line + {
        "host-us": (($to.qemu + $to.daemon - $from.qemu - $from.daemon) / 1000 / $count),
        "daemon-us": (($to.daemon - $from.daemon) / 1000 / $count)}
      + if ($from.queues | length) == 0 then {}
        elif grown(.requests) != $count then error("the daemon counted other than \($count) requests")
        else {kicks: (grown(.kicks) / $count), calls: (grown(.callsSent) / $count),
          sleeps: (grown(.sleeps) / $count), "by-queue": [range($to.queues | length) as $q
            | $to.queues[$q].requests - $from.queues[$q].requests]} end
    ' >>"$results" || fail "what was measured in the guest on $side makes no sense"
done

jq -rs '
  def quantile(f): sort | (f * (length - 1)) as $at | ($at | floor) as $low
    | .[$low] + (.[[$low + 1, length - 1] | min] - .[$low]) * ($at - $low);
  def short: if . >= 100 then round else . * 1000 | round | . / 1000 end | tostring;
  def spread: "\(quantile(0.5) | short) (\(quantile(0.25) | short)-\(quantile(0.75) | short))";
  def lines: map(.lines[]);
  def regime: lines | add / length;
  # A round of one operation and size, if its two neighbours were measured at one distance.
  def good: length == 2 and (lines | all(. != null) and max <= min * 1.5);
  (["op", "size", "in-flight", "line-ns", "rounds", "ours/s", "builtin/s", "ratio(q1-q3)",
      "ours-p50-us", "builtin-p50-us", "p50-ratio(q1-q3)", "ours-host-us", "builtin-host-us",
      "host-ratio(q1-q3)", "kicks", "calls"]),
    (group_by([.op, .size, .jobs])[]
      | reduce (group_by(.round) | map(select(good)) | sort_by(regime))[] as $pair ([];
          if length > 0 and ($pair | regime) <= (.[-1][0] | regime) * 1.5
          then .[-1] += [$pair] else . + [[$pair]] end)
      | .[] | . as $rounds
      | ($rounds | map(map({key: .side, value: .}) | from_entries)) as $pairs
      | $rounds[0][0] as $one
      | [$one.op, $one.size, $one.jobs, ($rounds | map(regime) | quantile(0.5) | round),
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
jq -rs 'group_by([.op, .size, .jobs, .round])
  | map(map(.lines[]) | all(. != null) and max <= min * 1.5) | map(select(not)) as $bad
  | "bench-guest: \($bad | length) of \(length) pairs do not count: the distance of the processors changed in them"
  ' "$results"
echo "bench-guest: all samples are in $results"
