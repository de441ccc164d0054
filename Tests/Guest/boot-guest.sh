#!/bin/bash
# Boots the test guest once and says how it ended: status 0 passed, 1 failed, 2 not run.
#
# usage: boot-guest.sh --socket PATH [options]
#   --backend vhost-user|builtin  who does the cryptography: a daemon listening on --socket, or
#                                 QEMU itself (to try the guest without a daemon); vhost-user
#   --front-end cryptodev|generic  what QEMU is to the daemon: its cryptodev-vhost-user, which
#                   keeps the control queue, or a generic vhost-user device, which leaves config
#                   space and all queues to the daemon (QEMU from generic-qemu.sh); cryptodev
#   --queues N      data queues (1); a generic device needs as many as the daemon has
#   --mode MODE     selftest, bench, hold, driver or restarts, see `init` (selftest)
#   --option X=Y    any other `vhc.` option of the guest, such as max=262144; repeatable
#   --hook COMMAND  the guest waits before and after its traffic (and in hold mode before each
#                   round), and COMMAND is called with the name of the place as its argument, and
#                   with QEMU's process in QEMU_PID
#   --files FOLDER  put into the guest's root folder, under its own name
#   --timeout S     longest run in seconds (120)
#   --log FILE      the serial port's output
#   --assets DIR    made by guest-assets.sh (.build/guest)
# environment: ACCEL=tcg|kvm (tcg), QEMU=qemu-system-x86_64, QEMU_ARGS (more arguments)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
backend=vhost-user front_end=cryptodev socket='' queues=1 mode=selftest hook='' files='' limit=120 log=/dev/null
assets=$here/../../.build/guest
guest_options=()

fail() {
  echo "boot-guest: $*" >&2
  exit 2
}

while [[ $# -gt 0 ]]; do
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case $1 in
    --backend) backend=$2 ;;
    --front-end) front_end=$2 ;;
    --socket) socket=$2 ;;
    --queues) queues=$2 ;;
    --mode) mode=$2 ;;
    --option) guest_options+=("vhc.$2") ;;
    --hook) hook=$2 guest_options+=(vhc.hold=1) ;;
    --files) files=$2 ;;
    --timeout) limit=$2 ;;
    --log) log=$2 ;;
    --assets) assets=$2 ;;
    *) fail "unknown option $1" ;;
  esac
  shift 2
done

qemu=${QEMU:-qemu-system-x86_64}
command -v "$qemu" >/dev/null || fail "$qemu is missing: apt-get install qemu-system-x86"
[[ -s $assets/vmlinux && -s $assets/initramfs.cpio.gz ]] || fail "run guest-assets.sh first"

case ${ACCEL:-tcg} in
  # With one possible CPU, TCG drops the guest's memory barriers although the daemon runs beside
  # it, and interrupts get lost: hence maxcpus=2.
  tcg) cpu=(-accel "tcg,thread=multi" -cpu max -smp "1,maxcpus=2") ;;
  # Never the automatic choice: nested KVM may be accepted and then hang.
  kvm) cpu=(-accel kvm -cpu host -smp 2) ;;
  *) fail "ACCEL is tcg or kvm" ;;
esac
# vectors=0 means INTx: QEMU 5.2 and 7.2 crash with MSI-X and cryptodev-vhost-user under TCG.
stock=(-device "virtio-crypto-pci,cryptodev=crypto0,vectors=0")
case $backend/$front_end in
  vhost-user/cryptodev)
    crypto=(-chardev "socket,id=chr0,path=$socket"
      -object "cryptodev-vhost-user,id=crypto0,chardev=chr0,queues=$queues" "${stock[@]}") ;;
  vhost-user/generic)
    # The control queue is one more, and the last. 20 is virtio-crypto, 56 bytes its config space.
    crypto=(-chardev "socket,id=chr0,path=$socket" -device
      "vhost-user-test-device-pci,chardev=chr0,virtio-id=20,num_vqs=$((queues + 1)),vq_size=1024,config_size=56") ;;
  builtin/cryptodev)
    crypto=(-object "cryptodev-backend-builtin,id=crypto0,queues=$queues" "${stock[@]}")
    # Debian's QEMU has no RSA with raw padding, and the kernel's test of it fails.
    guest_options+=(vhc.allow=virtio-crypto-rsa) ;;
  builtin/generic) fail "QEMU's own back-end has no generic front-end" ;;
  *) fail "--backend is vhost-user or builtin, --front-end is cryptodev or generic" ;;
esac
if [[ $backend == vhost-user && ! -S $socket ]]; then fail "no socket at '$socket'"; fi

qemu_pid='' initramfs=''
clean_up() {
  if [[ -n $qemu_pid ]]; then kill "$qemu_pid" 2>/dev/null || true; fi
  if [[ -n $initramfs ]]; then rm -f "$initramfs"; fi
}
trap clean_up EXIT
if [[ -n $files ]]; then
  # The kernel unpacks one archive after the other.
  initramfs=$(mktemp)
  (cd "$(dirname "$files")" && find "$(basename "$files")" | cpio --quiet -o -H newc -R 0:0) \
    | gzip -1 | cat "$assets/initramfs.cpio.gz" - >"$initramfs"
fi

# shellcheck disable=SC2206 # QEMU_ARGS is several words
command=(timeout --kill-after=5 "$limit" "$qemu" -nodefaults -no-reboot -display none -machine pc
  "${cpu[@]}" -m 256M
  -object "memory-backend-memfd,id=mem,size=256M,share=on" -numa "node,memdev=mem"
  -kernel "$assets/vmlinux" -initrd "${initramfs:-$assets/initramfs.cpio.gz}"
  -append "console=ttyS0 quiet panic=-1 vhc.mode=$mode ${guest_options[*]}"
  "${crypto[@]}"
  -device "isa-debug-exit,iobase=0xf4,iosize=0x01" -serial stdio ${QEMU_ARGS:-})

start=$(date +%s.%N)
: >"$log"
coproc guest { exec "${command[@]}" 2>&1; }
# Bash closes its ends when the coprocess ends; these copies keep the last lines readable.
exec {from_guest}<&"${guest[0]}" {to_guest}>&"${guest[1]}"
# shellcheck disable=SC2154 # set by coproc
qemu_pid=$guest_PID
# QEMU may end while the host answers it.
trap '' PIPE

last=''
while IFS= read -r -t "$((limit + 10))" -u "$from_guest" line; do
  line=${line%$'\r'}
  printf '%s\n' "$line" | tee -a "$log"
  [[ -z $line || $line == *"terminating on signal"* ]] || last=$line
  if [[ $line == "guest: hold "* ]]; then
    if [[ -n $hook ]]; then
      # QEMU is what `timeout` has started.
      read -r QEMU_PID <"/proc/$qemu_pid/task/$qemu_pid/children" || true
      export QEMU_PID
      "$hook" "${line#guest: hold }" || fail "the hook failed at '$line'"
    fi
    echo go >&"$to_guest" || true
  fi
done

status=0
wait "$qemu_pid" || status=$?
qemu_pid=''
# isa-debug-exit makes QEMU's status of what `init` wrote: 2n + 1.
case $status in
  33) verdict=passed code=0 ;;
  35) verdict="failed" code=1 ;;
  124 | 137) verdict="no end after $limit s; last line: $last" code=1 ;;
  0) verdict="the guest panicked or powered off without a verdict; last line: $last" code=1 ;;
  *) verdict="QEMU ended with status $status; last line: $last" code=1 ;;
esac
printf 'boot-guest: %s, %s, %s queue(s), %s s: %s\n' "$backend" "${ACCEL:-tcg}" "$queues" \
  "$(echo "$(date +%s.%N) $start" | awk '{ printf "%.1f", $1 - $2 }')" "$verdict"
exit "$code"
