#!/bin/bash
# What run-guest.sh has boot-guest.sh call before and after each measurement in a guest: lets the two
# guests measure in turn, and notes what the host has spent until now as a line of JSON.
#
# usage: guest-mark.sh begin|end
# environment: SIDE (ours or builtin), FOLDER (see below), QEMU_PID (from boot-guest.sh), DAEMON_PID
# and STATS (process and statistics socket of the daemon, empty where there is none), BUILD (programs)
# and DISTANCE_CPUS (as in run-guest.sh)
#
# In FOLDER: turn.SIDE, a pipe that has a line when it is this side's turn; count, how many
# measurements there were; distance, that of the processors when the last one ended; marks.SIDE, what
# is written here.
set -euo pipefail

# Nanoseconds that the threads of a process have run; 0 for no process.
processor_time() {
  [[ -n $1 ]] || { echo 0; return; }
  cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# Nanoseconds that a cache line takes from one processor to the other, null when they are too busy.
# `bench` measures that around its samples; what those are does not matter here.
distance() {
  local found
  found=$("$BUILD/vhost-crypto" bench --daemon "$BUILD/vhost-user-crypto" --raw --raw-engine openssl \
    --json --no-verify --size 64 --samples 1 --seconds 0.01 \
    --cpu "${DISTANCE_CPUS%,*}" --backend-cpu "${DISTANCE_CPUS#*,}" 2>/dev/null \
    | jq -s '[.[] | select(.type == "sample") | .lineNanosecondsBefore, .lineNanosecondsAfter
        | numbers] | sort | .[length / 2 | floor]') || true
  echo "${found:-null}"
}

mark() {
  local qemu daemon queues='[]'
  qemu=$(processor_time "$QEMU_PID")
  daemon=$(processor_time "$DAEMON_PID")
  if [[ -n $STATS ]]; then
    queues=$("$BUILD/vhost-crypto" stats --stats-socket "$STATS" --json | jq -c '
      [.devices[0].queues[] | {requests, kicks, callsSent, sleeps}]')
  fi
  printf '{"place":"%s","line":%s,"qemu":%s,"daemon":%s,"queues":%s}\n' \
    "$1" "$2" "$qemu" "$daemon" "$queues" >>"$FOLDER/marks.$SIDE"
}

case $1 in
  begin)
    # The other side takes some seconds at most; where it has failed, nobody waits for ever.
    read -r -t 120 <>"$FOLDER/turn.$SIDE"
    [[ -s $FOLDER/distance ]] || distance >"$FOLDER/distance"
    mark begin "$(<"$FOLDER/distance")"
    ;;
  end)
    # What it has cost first: measuring the distance takes a while.
    mark end null
    distance >"$FOLDER/distance"
    sed -i "\$s/\"line\":null/\"line\":$(<"$FOLDER/distance")/" "$FOLDER/marks.$SIDE"
    count=$(($(<"$FOLDER/count") + 1))
    echo "$count" >"$FOLDER/count"
    # Ours, builtin, builtin, ours, and so on.
    case $((count % 4)) in
      0 | 3) echo >"$FOLDER/turn.ours" ;;
      *) echo >"$FOLDER/turn.builtin" ;;
    esac
    ;;
esac
