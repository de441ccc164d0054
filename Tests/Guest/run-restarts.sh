#!/bin/bash
# Kills the daemon under a real Linux guest (`make kill-test-guest`): the guest encrypts and decrypts in nine processes,
# compares every answer and makes keys all the time, while the daemon gets SIGKILL after SIGKILL at random and is started
# again by a service manager that keeps its descriptors. Whatever the guest has asked for is to be answered, once and
# right, by sessions that it made before. The last line is PASS or FAIL, and the exit status goes with it; where QEMU
# cannot be fetched, a line says NOT RUN, and the exit status is 75.
#
# QEMU leaves everything to the daemon, as in run-generic.sh, but cannot come back to one that was restarted
# (docs/reliability.md#front-ends): steady_front_end.py, between the two, does that for it.
#
# usage: run-restarts.sh [--kills N] [--rings packed|split] [options of boot-guest.sh]
# environment: as for run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../.build
DAEMON=${DAEMON:-$build/release/vhost-user-crypto}
export TOOL=${TOOL:-$build/release/vhost-crypto}
assets=${ASSETS:-$build/guest}
# What the daemon offers without a capability file; a generic device has to have them all.
queues=4
kills=20 rings=packed
failures=0 killer=''

while [[ ${1:-} == --kills || ${1:-} == --rings ]]; do
  case $1 in
    --kills) kills=${2:?a number} ;;
    --rings) rings=${2:?packed or split} ;;
  esac
  shift 2
done
arguments=()
if [[ $rings == split ]]; then arguments+=(--no-packed-rings); fi

fail() {
  echo "run-restarts: $*" >&2
  exit 2
}

check() { # check "what is true if COMMAND succeeds" COMMAND...
  local what=$1
  shift
  if "$@"; then
    echo "  ok    $what"
  else
    echo "  FAIL  $what"
    failures=$((failures + 1))
  fi
}

for tool in python3 jq; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $tool"
done
for program in "$DAEMON" "$TOOL"; do
  [[ -x $program ]] || fail "$program is missing: make build"
done
status=0
"$here/generic-qemu.sh" "$assets/generic-qemu" || status=$?
if [[ $status == 75 ]]; then
  echo "run-restarts: NOT RUN: QEMU with generic vhost-user devices cannot be fetched"
fi
[[ $status == 0 ]] || exit "$status"
"$here/guest-assets.sh" "$assets"

dir=$(mktemp -d)
export dir
clean_up() {
  if [[ -n $killer ]]; then
    kill -TERM "$killer" 2>/dev/null || true
    wait "$killer" 2>/dev/null || true
  fi
  if [[ -n ${KEEP:-} ]]; then echo "run-restarts: logs are in $dir"; else rm -rf "$dir"; fi
}
trap clean_up EXIT

# Called by boot-guest.sh when the guest is at work: has the kills begin, and waits for the last one; and when it has
# given up all of its keys.
kill_daemon() {
  if [[ $1 == after ]]; then
    timeout 10 "$TOOL" stats --json --stats-socket="$dir/stats.sock" | jq '.devices[0].sessions.open' >"$dir/left"
    return
  fi
  : >"$dir/go"
  local tries=2400
  until [[ -e $dir/done ]]; do
    ((tries-- > 0)) || return 1
    sleep 0.1
  done
  # The last daemon has its share, too.
  sleep 0.5
}
export -f kill_daemon

"$here/kill-daemon.py" "$dir" "$kills" "$DAEMON" "${arguments[@]}" >"$dir/kills" 2>&1 &
killer=$!
for _ in {1..100}; do
  [[ -S $dir/crypto.sock ]] && break
  sleep 0.1
done

booted=0
QEMU=$assets/generic-qemu/qemu-system-x86_64 "$here/boot-guest.sh" --socket "$dir/crypto.sock" --assets "$assets" \
  --log "$dir/guest.log" --front-end generic --queues "$queues" --mode restarts --hook kill_daemon \
  --timeout $((120 + 3 * kills)) "$@" || booted=$?

# The line is written when the monitor has left.
for _ in {1..50}; do
  grep -q '^kills=' "$dir/kills" && break
  sleep 0.1
done
echo "run-restarts: results"
cat "$dir/kills"
counted() { grep -q "^guest: restarts operations=[1-9][0-9]* keys=[1-9][0-9]* $1" "$dir/guest.log"; }
# What the daemon says of itself in logs: every one but the first.
came_back() {
  local number
  for ((number = 2; number <= kills + 1; number++)); do
    grep -q 'the guest has its sessions again' "$dir/daemon-$number.log" || return 1
  done
}
check "the guest ended well" test "$booted" = 0
check "the daemon was killed $kills times" grep -q "^kills=$kills " "$dir/kills"
# Now and then a kill may come between requests.
mid_request() { (($(sed -n 's/.* with-requests-in-flight=\([0-9]*\) .*/\1/p' "$dir/kills") * 2 >= kills)); }
check "requests were in flight when it was, half of the times at least" mid_request
check "none wrong, failed or lost" counted "wrong=0 failed=0 lost=0 "
check "no session is left that the guest does not know of" test "$(<"$dir/left")" = 0
check "each of the $kills daemons after the first gave the guest its sessions back" came_back
kill -TERM "$killer"
status=0
wait "$killer" || status=$?
killer=''
check "the last daemon ended well when it was asked to (status $status)" test "$status" = 0

if [[ $failures != 0 ]]; then
  tail -n 5 "$dir"/daemon-*.log
  echo "run-restarts: FAIL, $failures check(s)"
  exit 1
fi
echo "run-restarts: PASS"
