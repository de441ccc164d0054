#!/bin/bash
# Kills the daemon under load so many times, over every kind of ring, all ways to connect, and with and without sessions,
# and says what came of it; or tells it to end, as an upgrade does.
#
#   kill-test.sh kill|term KILLS RESTART-DRIVER DAEMON...
#
# Several daemons take turns.
set -euo pipefail
stop=$1
kills=$2
driver=$3
shift 3
ways=("" "--client" "--activated --sessions=mixed" "--client --sessions=kept")
[[ $stop == kill ]] || ways=("--activated --sessions=mixed" "--client --sessions=mixed")
share=$(((kills + 4 * ${#ways[@]} - 1) / (4 * ${#ways[@]})))
status=0
left=$kills
for ring in split packed split-in-order packed-in-order; do
  for way in "${ways[@]}"; do
    count=$((left < share ? left : share))
    left=$((left - count))
    ((count > 0)) || continue
    # shellcheck disable=SC2086 # a way is several words
    "$driver" "${@/#/--daemon=}" --kills="$count" --stop="$stop" --ring="$ring" $way \
      | sed "s/^/${way:---server} /" || status=1
  done
done
exit $status
