#!/bin/bash
# Shows the daemon at work (`make run`): a real Linux guest binds virtio_crypto to it, the kernel
# tests it, encrypts and decrypts through it, `openssl enc` agrees with the result, and the
# daemon's counters have grown by exactly that traffic. The last line is PASS or FAIL, and the
# exit status goes with it.
#
# usage: run.sh [--rsa] [options of boot-guest.sh, such as --queues 2 or --option max=262144]
#   --rsa   RSA too: the kernel tests both of the driver's algorithms, keys in the guest's keyrings
#           encrypt, decrypt, sign and verify as openssl does, 600 of them at once. It takes a
#           front-end that leaves the control queue to the daemon: run-generic.sh
# environment: DAEMON, TOOL (.build/release/...), ASSETS (.build/guest), ACCEL, QEMU, KEEP=1 (leave
# the logs), DAEMON_ARGS (more arguments), RINGS=split|packed (what the front-end has to tell of)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../.build
DAEMON=${DAEMON:-$build/release/vhost-user-crypto}
export TOOL=${TOOL:-$build/release/vhost-crypto}
assets=${ASSETS:-$build/guest}
failures=0 daemon_pid='' boot_pid='' rsa='' boot_options=()

for option in "$@"; do
  if [[ $option == --rsa ]]; then rsa=yes; else boot_options+=("$option"); fi
done

fail() {
  echo "run: $*" >&2
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

for tool in "${QEMU:-qemu-system-x86_64}:qemu-system-x86" openssl:openssl jq:jq; do
  command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done
for program in "$DAEMON" "$TOOL"; do
  [[ -x $program ]] || fail "$program is missing: make build"
done
"$here/guest-assets.sh" "$assets"
if [[ -n $rsa ]]; then
  "$here/rsa-material.sh" "$assets/rsa"
  boot_options+=(--files "$assets/rsa" --option rsa=1)
fi

dir=$(mktemp -d)
export dir

clean_up() {
  local pid
  # boot-guest.sh ends its QEMU itself when it is asked to end.
  if [[ -n $boot_pid ]]; then kill -TERM "$boot_pid" 2>/dev/null || true; fi
  if [[ -n $daemon_pid ]]; then kill -KILL "$daemon_pid" 2>/dev/null || true; fi
  for pid in $boot_pid $daemon_pid; do wait "$pid" 2>/dev/null || true; done
  if [[ -n ${KEEP:-} ]]; then echo "run: logs are in $dir"; else rm -rf "$dir"; fi
}
trap clean_up EXIT

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local tries=$(($1 * 10))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.1
  done
}
# A child that has ended stays a zombie (state Z) until it is waited for.
stopped() { ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$daemon_pid/status" 2>/dev/null; }
ready_or_stopped() { [[ -S $dir/crypto.sock ]] || stopped; }

# snapshot NAME: the daemon's counters in $dir/NAME.json; called by boot-guest.sh while the guest
# waits.
snapshot() {
  timeout 10 "$TOOL" stats --json --stats-socket="$dir/stats.sock" >"$dir/$1.json"
}
export -f snapshot

# counters ALGORITHM OPERATION SNAPSHOT: "requests bytes errors", over all devices and engines.
counters() {
  jq -r --arg algorithm "$1" --arg operation "$2" '
    [.devices[].algorithms[] | select(.algorithm == $algorithm and .operation == $operation)]
    | "\(map(.requests) | add // 0) \(map(.bytes) | add // 0) \(map(.errors) | add // 0)"
  ' "$dir/$3.json"
}

# grown ALGORITHM OPERATION SNAPSHOT SNAPSHOT: what the counters grew by between the two, in the
# guest's words.
grown() {
  local requests bytes errors requests0 bytes0 errors0
  read -r requests0 bytes0 errors0 <<<"$(counters "$1" "$2" "$3")"
  read -r requests bytes errors <<<"$(counters "$1" "$2" "$4")"
  echo "requests=$((requests - requests0)) bytes=$((bytes - bytes0))" \
    "errors=$((errors - errors0))"
}

# reference CIPHER KEY IV BYTES: the SHA-256 of what openssl makes of the text of SP 800-38A F.2.
reference() {
  local text=6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E51
  text+=30C81C46A35CE411E5FBC1191A0A52EFF69F2445DF4F9B17AD2B417BE66C3710
  local copies=$((($4 + 63) / 64))
  seq "$copies" | sed "s/.*/$text/" | tr -d '\n' | cut -c "1-$(($4 * 2))" | tr -d '\n' \
    | basenc --base16 -d | openssl enc -"$1" -K "$2" -iv "$3" -nopad \
    | openssl dgst -sha256 -r | cut -d' ' -f1
}

# check_rsa: guest-keys ended well, and what it said of its work is true outside the guest.
check_rsa() {
  local algorithm driver operation sent counted sessions encrypted=0 decrypted=0 key half bytes
  while read -r algorithm driver; do
    check "the kernel's self-test of $driver passed" \
      said "algorithm $driver ($algorithm) selftest=passed"
    check "the kernel chooses $driver for $algorithm" said "$algorithm goes to $driver$"
  done <<<$'rsa virtio-crypto-rsa\npkcs1pad(rsa) virtio-pkcs1-rsa'
  for key in "$assets"/rsa/single/*.p8; do
    key=$(basename "$key" .p8)
    check "$key encrypts, decrypts, signs and verifies as openssl does" said "key $key ok"
  done

  while read -r key half bytes; do
    encrypted=$((encrypted + 1))
    key=$assets/rsa/single/${key#*=}
    if basenc --base16 -d <<<"$(tr a-f A-F <<<"${bytes#*=}")" \
      | openssl pkeyutl -decrypt -keyform DER -inkey "$key.p8" | cmp -s - "$key.message"; then
      decrypted=$((decrypted + 1))
    else
      check "openssl decrypts what $key encrypted ($half)" false
    fi
  done < <(sed -n 's/^guest: encrypted //p' "$dir/guest.log")
  check "openssl decrypts what the guest encrypted, $decrypted of $encrypted" \
    test "$decrypted" = "$encrypted" -a "$decrypted" -gt 0
  check "600 keys at once work" said "keys 600 decrypted with at once"

  if [[ ! -s $dir/rsa-before.json || ! -s $dir/rsa-after.json ]]; then
    check "the daemon gave its counters before and after RSA" false
    return
  fi
  for operation in encrypt decrypt; do
    sent=$(sed -n "s/^guest: rsa $operation //p" "$dir/guest.log")
    counted=$(grown rsa "$operation" rsa-before rsa-after | sed 's/ bytes=[0-9]*//')
    check "RSA $operation: guest sent $sent, daemon counted $counted" test "$counted" = "$sent"
  done
  # A session for each time that the kernel sets a key, which it does for every operation.
  sessions=$(jq -s -r '[.[].devices[0].sessions] | "\(.[1].created - .[0].created) created,"
    + " \(.[1].refused) refused, \(.[1].open - .[0].open) left"' \
    "$dir/rsa-before.json" "$dir/rsa-after.json")
  check "RSA sessions: $sessions" test "${sessions#*, }" = "0 refused, 0 left"
}

# shellcheck disable=SC2086 # DAEMON_ARGS is several words
"$DAEMON" --socket-path="$dir/crypto.sock" --stats-socket="$dir/stats.sock" ${DAEMON_ARGS:-} \
  >"$dir/daemon.log" 2>&1 &
daemon_pid=$!
if ! wait_for 20 ready_or_stopped || stopped; then
  cat "$dir/daemon.log" >&2
  fail "the daemon did not open its socket"
fi
echo "run: daemon $daemon_pid listens on $dir/crypto.sock"

# In the background, because bash answers a signal at once only while it waits.
"$here/boot-guest.sh" --socket "$dir/crypto.sock" --assets "$assets" --log "$dir/guest.log" \
  --hook snapshot "${boot_options[@]}" &
boot_pid=$!
booted=0
wait "$boot_pid" || booted=$?
boot_pid=''

echo "run: results"
said() { grep -q "^guest: $1" "$dir/guest.log"; }
check "the guest ended well" test "$booted" = 0
check "virtio_crypto is bound to the device" said "driver virtio_crypto bound"
check "the kernel's self-test of virtio_crypto_aes_cbc passed" \
  said "algorithm virtio_crypto_aes_cbc .*selftest=passed"
check "what the guest sent came back right, byte for byte" said "PASS "

references=0
while read -r cipher key iv bytes sum; do
  references=$((references + 1))
  expected=$(reference "${cipher#*=}" "${key#*=}" "${iv#*=}" "${bytes#*=}")
  check "$cipher, $bytes: same ciphertext as openssl enc" test "${sum#*=}" = "$expected"
done < <(sed -n 's/^guest: reference //p' "$dir/guest.log")
check "the guest gave reference ciphertexts for 3 key sizes" test "$references" = 3

if [[ -s $dir/before.json && -s $dir/after.json ]]; then
  for operation in encrypt decrypt; do
    sent=$(sed -n "s/^guest: device $operation //p" "$dir/guest.log")
    counted=$(grown aes-cbc "$operation" before after)
    echo "        before: $(counters aes-cbc "$operation" before) (requests, bytes, errors of $operation)"
    check "$operation: guest sent $sent, daemon counted $counted" \
      test "$counted" = "$sent errors=0"
  done
  echo "        daemon: $(jq -c '[.devices[].queues[] | {index, requests}]' "$dir/after.json")"
else
  check "the daemon gave its counters before and after the traffic" false
fi

# Bit 34 of the features is VIRTIO_F_RING_PACKED.
case ${RINGS:-} in
  packed) packed=1 ;;
  split) packed=0 ;;
  *) packed='' ;;
esac
if [[ -n $packed ]]; then
  features=$(jq '.devices[0].features' "$dir/after.json" 2>/dev/null || true)
  check "the guest's rings are $RINGS" test "$((${features:-0} >> 34 & 1))" = "$packed"
fi

if [[ -n $rsa ]]; then check_rsa; fi

status=0
if stopped; then
  wait "$daemon_pid" || status=$?
  daemon_pid=''
  check "the daemon ran until it was asked to end (status $status)" false
else
  kill -TERM "$daemon_pid"
  if wait_for 10 stopped; then
    wait "$daemon_pid" || status=$?
    daemon_pid=''
    check "the daemon ended with status 0 on SIGTERM (status $status)" test "$status" = 0
  else
    check "the daemon ended within 10 s of SIGTERM" false
  fi
fi

if [[ $failures != 0 ]]; then
  echo "run: the daemon's last lines:"
  tail -n 20 "$dir/daemon.log"
  echo "run: FAIL, $failures check(s)"
  exit 1
fi
echo "run: PASS"
