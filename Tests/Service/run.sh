#!/usr/bin/env bash
# The package, unpacked and run as a service manager runs it; a real guest encrypts, and `top` is watched in a terminal
# meanwhile. Needs make deb and make guest. The last line is PASS or FAIL, and the exit status goes with it.
#
# usage: run.sh [PACKAGE]
# environment: ACCEL=tcg|kvm, ASSETS (.build/guest)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=${1:-$(ls "$here"/../../.build/deb/*.deb)}
root=$(mktemp -d /tmp/vcrypto-XXXXXX)
manager='' guest=''
terminal() { tmux -S "$root/tmux" "$@"; }

clean_up() {
  terminal kill-server 2>/dev/null || true
  for pid in $guest $manager; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in $guest $manager; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$root"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

step() { printf '\n$ %s\n' "$*"; }
fail() { echo "run-service: $*"; tail -n 20 "$root"/*.log "$root/journal" 2>/dev/null; echo "run-service: FAIL"; exit 1; }
# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local tries=$(($1 * 5))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.2
  done
}

device=$root/run/vhost-user-crypto/vm1.sock
stats=$root/run/vhost-user-crypto/vm1-stats.sock
control=$root/run/vhost-user-crypto/vm1-control.sock
tool=$root/usr/bin/vhost-crypto

step dpkg-deb -x "${package##*/}" ROOT
dpkg-deb -x "$package" "$root"
(cd "$root" && ls usr/bin lib/systemd/system)

step service-manager.py ROOT vm1
mkfifo "$root/stop"
# Open on our side first, so that neither side waits for the other for ever.
exec 9<>"$root/stop"
"$here/service-manager.py" "$root" vm1 <"$root/stop" >"$root/manager.log" 2>&1 9>&- &
manager=$!
wait_for 20 test -S "$device" -a -S "$stats" || fail "no sockets"
cat "$root/manager.log"

step boot-guest.sh --socket /run/vhost-user-crypto/vm1.sock --mode bench --option sizes=4096,16384 --option jobs=8 --option milliseconds=10000
"$here/../Guest/boot-guest.sh" --socket "$device" ${ASSETS:+--assets "$ASSETS"} --mode bench \
  --option sizes=4096,16384 --option jobs=8 --option milliseconds=10000 >"$root/guest.log" 2>&1 &
guest=$!
wait_for 20 grep -q READY=1 "$root/manager.log" || fail "the service was not started"

step vhost-crypto top --stats-socket /run/vhost-user-crypto/vm1-stats.sock
terminal -f /dev/null new-session -d -x 110 -y 16 "exec '$tool' top --stats-socket '$stats'"
terminal set-option -g status off
screen() { terminal capture-pane -p | sed "s|$root||g" >"$root/screen"; }
# Until the guest has encrypted for some intervals (the bars), and not just tried the driver.
busy() {
  screen
  grep -Eq 'vm1 +connected +([1-9][0-9]{2,}|[0-9.]+k) ops/s.*[▂▃▄▅▆▇█]{3} *$' "$root/screen"
}
wait_for 90 busy || { cat "$root/screen"; fail "top shows no traffic"; }
cat "$root/screen"
terminal send-keys q
wait_for 5 bash -c "! tmux -S '$root/tmux' has-session 2>/dev/null" || fail "top does not end"

# The guest is still at work. A limit of 200 operations a second shows in what it gets; the file, read again, lifts it.
answered() { "$tool" stats --stats-socket "$stats" --json | jq '[.devices[0].queues[].requests] | add'; }
waits() { "$tool" stats --stats-socket "$stats" --json | jq '[.devices[0].queues[].throttledWaits] | add'; }
step vhost-crypto limit --stats-socket /run/vhost-user-crypto/vm1-stats.sock --control-socket /run/vhost-user-crypto/vm1-control.sock --operations 200
"$tool" limit --stats-socket "$stats" --control-socket "$control" --operations 200
sleep 1
before=$(answered)
sleep 3
after=$(answered)
echo "(in 3 s the guest got $((after - before)) answers, and waited $(waits) times)"
((after - before > 100 && after - before <= 660 && $(waits) > 10)) || fail "the limit of 200 operations/s does not hold"

step "echo 'device: { max-sessions: 1024 }' >>/etc/vhost-user-crypto/vm.yaml; systemctl reload vhost-user-crypto@vm1.service"
echo 'device: { max-sessions: 1024 }' >>"$root/etc/vhost-user-crypto/vm.yaml"
echo reload >&9
wait_for 20 grep -q 'RELOADING=1' "$root/manager.log" || fail "nothing was reloaded"
wait_for 20 bash -c "'$tool' limit --stats-socket '$stats' | grep -Eq '^vm1 +unlimited .* 1024 '" ||
  fail "the file is not what counts"
"$tool" limit --stats-socket "$stats"

step vhost-crypto stats --stats-socket /run/vhost-user-crypto/vm1-stats.sock --profile 2
"$tool" stats --stats-socket "$stats" --profile 2 | tee "$root/profile"
grep -q crypto "$root/profile" || fail "the profile shows no crypto"
kill -0 "$guest" 2>/dev/null || fail "the guest was done before the last look: give it more seconds"

status=0
wait "$guest" || status=$?
guest=''
step "guest's console"
grep -E '^(guest|boot-guest):' "$root/guest.log"
((status == 0)) || fail "the guest failed (status $status)"

"$tool" bench --socket-path "$device" --op aes-128-cbc-encrypt --size 1024,16KiB --seconds 1 >"$root/bench.log" ||
  fail "bench failed"
step vhost-crypto bench --socket-path /run/vhost-user-crypto/vm1.sock --op aes-128-cbc-encrypt --size 1024,16KiB --seconds 1
cat "$root/bench.log"
step vhost-crypto stats --stats-socket /run/vhost-user-crypto/vm1-stats.sock
"$tool" stats --stats-socket "$stats" | sed "s|$root||g"
step "curl --unix-socket /run/vhost-user-crypto/vm1-stats.sock http://localhost/metrics | grep requests_total"
curl -s --unix-socket "$stats" http://localhost/metrics | grep '^vhost_crypto_requests_total'

step systemctl stop vhost-user-crypto@vm1.service
echo stop >&9
exec 9>&-
wait "$manager" && status=0 || status=$?
manager=''
tail -n +3 "$root/manager.log"
step journal
sed "s|$root||g" "$root/journal"
((status == 0)) || fail "the service ended badly"
echo "run-service: PASS"
