#!/bin/bash
# Kills the daemon under load so many times, over every kind of ring and both ways to connect, and says what came of it.
#
#   kill-test.sh FOLDER-OF-PROGRAMS KILLS
set -euo pipefail
bin=$1
kills=$2
share=$(((kills + 7) / 8))
status=0
left=$kills
for ring in split packed split-in-order packed-in-order; do
  for way in "" --client; do
    count=$((left < share ? left : share))
    left=$((left - count))
    ((count > 0)) || continue
    # shellcheck disable=SC2086
    "$bin/restart-driver" --daemon="$bin/vhost-user-crypto" --kills="$count" --ring="$ring" $way | sed "s/^/${way:---server} /" || status=1
  done
done
exit $status
