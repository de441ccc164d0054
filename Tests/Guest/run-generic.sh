#!/bin/bash
# Shows the daemon behind a front-end that leaves everything to it (`make test-generic`): QEMU's
# generic vhost-user device has no idea of cryptography, so config space and control queue are the
# daemon's, and RSA is served. The guest is the one of run.sh, with its stock driver, which is
# taken off the device and bound again before the traffic. The last line is PASS or FAIL, and the
# exit status goes with it; where QEMU cannot be fetched, a line says NOT RUN, and the exit status
# is 75.
#
# The guest takes packed rings, as this QEMU offers it what the daemon offers, whatever its own
# packed=on says. --rings split has the daemon not offer them.
#
# usage: run-generic.sh [--rings packed|split] [options of boot-guest.sh]
# environment: as for run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
assets=${ASSETS:-$here/../../.build/guest}
# What the daemon offers without a capability file; a generic device has to have them all.
queues=4

export RINGS=packed
if [[ ${1:-} == --rings ]]; then
  RINGS=${2:?packed or split}
  shift 2
fi
if [[ $RINGS == split ]]; then export DAEMON_ARGS="${DAEMON_ARGS:-} --no-packed-rings"; fi

status=0
"$here/generic-qemu.sh" "$assets/generic-qemu" || status=$?
if [[ $status == 75 ]]; then
  echo "run-generic: NOT RUN: QEMU with generic vhost-user devices cannot be fetched"
fi
[[ $status == 0 ]] || exit "$status"

export QEMU=$assets/generic-qemu/qemu-system-x86_64
"$here/run.sh" --rsa --front-end generic --queues "$queues" --option rebind=3 "$@"
