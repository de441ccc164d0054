#!/bin/bash
# What run-guest.sh has boot-guest.sh call around each measurement in the guest: one line of JSON
# with what the host has spent until now.
#
# usage: guest-mark.sh PLACE
# environment: MARKS (file to add to), QEMU_PID (from boot-guest.sh), DAEMON_PID and STATS (process
# and statistics socket of the daemon, empty where there is none), TOOL (vhost-crypto)
set -euo pipefail

# Nanoseconds that the threads of a process have run; 0 for no process.
processor_time() {
  [[ -n $1 ]] || { echo 0; return; }
  cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

qemu=$(processor_time "$QEMU_PID")
daemon=$(processor_time "$DAEMON_PID")
queues='[]'
if [[ -n $STATS ]]; then
  queues=$("$TOOL" stats --stats-socket "$STATS" --json | jq -c '[.devices[0].queues[]
    | {requests, kicks, callsSent, spins, sleeps}]')
fi
printf '{"place":"%s","qemu":%s,"daemon":%s,"queues":%s}\n' "$1" "$qemu" "$daemon" "$queues" >>"$MARKS"
