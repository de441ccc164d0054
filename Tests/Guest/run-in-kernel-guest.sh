#!/bin/bash
# Runs a command of this machine in a small Linux guest whose kernel has AF_ALG, which this
# machine's kernel may not have: Debian's kernel, emulated, with two processors.
#
# usage: run-in-kernel-guest.sh [options] -- COMMAND [ARGUMENT...]
#   --include PATH[:GUESTPATH]  a file or a folder that the command needs, under the same path in
#                               the guest unless another is given; repeatable. Shared libraries of
#                               programs come along by themselves, OpenSSL's providers too. What
#                               COMMAND names is included if it is a file
#   --env NAME[=VALUE]          an environment variable; without a value, with the one it has
#                               here; repeatable. The guest has PATH and HOME only
#   --directory PATH            where the command starts in the guest (/)
#   --timeout S                 longest run in seconds, the boot included (300)
#   --memory SIZE               of the guest (2G)
#   --log FILE                  everything from the serial port, the kernel's own lines included
#   --assets DIR                made by guest-assets.sh (.build/guest), and made if necessary
#
# Both outputs of the command appear on standard output, line by line. The exit status is the
# command's own; 124 is the time limit, 125 a guest that did not get so far, and a usage error 2.
# environment: ACCEL=tcg|kvm (tcg), QEMU=qemu-system-x86_64
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
assets=$here/../../.build/guest
limit=300 memory=2G log=/dev/null directory=/
includes=() variables=()

usage_error() {
  echo "run-in-kernel-guest: $*" >&2
  exit 2
}

fail() {
  echo "run-in-kernel-guest: $*" >&2
  exit 125
}

while [[ $# -gt 0 && $1 != -- ]]; do
  [[ $# -ge 2 ]] || usage_error "$1 needs a value"
  case $1 in
    --include) includes+=("$2") ;;
    --env) variables+=("$2") ;;
    --directory) directory=$2 ;;
    --timeout) limit=$2 ;;
    --memory) memory=$2 ;;
    --log) log=$2 ;;
    --assets) assets=$2 ;;
    *) usage_error "unknown option $1" ;;
  esac
  shift 2
done
[[ $# -ge 2 ]] || usage_error "no command: ... -- COMMAND [ARGUMENT...]"
shift
log=$(realpath -ms "$log")
command=("$@")
if [[ $1 == */* && -f $1 ]]; then
  includes+=("$1")
  command[0]=$(realpath -ms "$1")
fi

qemu=${QEMU:-qemu-system-x86_64}
for tool in "$qemu:qemu-system-x86" cpio:cpio openssl:openssl; do
  command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing: apt-get install ${tool#*:}"
done
case ${ACCEL:-tcg} in
  tcg) cpu=(-accel "tcg,thread=multi" -cpu max) ;;
  # Never the automatic choice: nested KVM may be accepted and then hang.
  kvm) cpu=(-accel kvm -cpu host) ;;
  *) usage_error "ACCEL is tcg or kvm" ;;
esac
"$here/guest-assets.sh" "$assets" >&2 || fail "the guest could not be made"

# Everything that goes into the guest, host path by guest path.
declare -A files=()
programs=()

is_elf() { [[ $(head -c 4 "$1" | tr -d '\0') == $'\x7fELF' ]]; }

add_file() { # add_file HOSTPATH GUESTPATH
  files[$2]=$1
  if is_elf "$1"; then programs+=("$1"); fi
}

for include in "${includes[@]}"; do
  source=$(realpath -ms "${include%%:*}") target=${include#*:}
  if [[ $include != *:* ]]; then target=$source; fi
  [[ $target == /* ]] || usage_error "$target is not an absolute path"
  if [[ -d $source ]]; then
    while IFS= read -r -d '' file; do
      add_file "$source/$file" "$target/$file"
    done < <(find -L "$source" -type f -printf '%P\0')
  elif [[ -f $source ]]; then
    add_file "$source" "$target"
  else
    fail "$source is not there"
  fi
done

archive() { # archive FOLDER: prints it as an initramfs
  (cd "$1" && find . -mindepth 1 -print0 | sort -z | cpio --quiet --null -o -H newc -R 0:0)
}

add_libraries() { # add_libraries PROGRAM...: what the dynamic loader will look for
  local library
  while read -r library; do
    [[ $library == /* ]] || fail "a library of $* is missing: $library"
    files[$library]=$library
  done < <(for program in "$@"; do ldd "$program" 2>/dev/null || true; done \
    | sed -nE 's/^\t(.*) => not found/\1/p; s/^\t(.* => )?(\/[^ ]*) \(0x.*/\2/p' | sort -u)
}
if [[ ${#programs[@]} -gt 0 ]]; then add_libraries "${programs[@]}"; fi
if [[ " ${!files[*]} " == */libcrypto.so.* ]]; then
  # Loaded by name, so that nothing lists it: openssl tells the folder of its legacy provider.
  providers=$(openssl version -m | sed -n 's/^MODULESDIR: "\(.*\)"$/\1/p')
  for library in "$providers"/*.so; do files[$library]=$library; done
fi

cd "$assets"
# Two callers at once would build into the same folder.
exec 9>lock
flock -w 300 9 || fail "another one holds $assets/lock"
run=$(mktemp -d "$PWD/run.XXXXXX")
qemu_pid=''
clean_up() {
  if [[ -n $qemu_pid ]]; then kill "$qemu_pid" 2>/dev/null || true; fi
  rm -rf "$run"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The files are archived again only when one has changed.
targets=() sources=()
if [[ ${#files[@]} -gt 0 ]]; then mapfile -t targets < <(printf '%s\n' "${!files[@]}" | sort); fi
for target in "${targets[@]}"; do sources+=("${files[$target]}"); done
{
  printf '%s\n' "${targets[@]}"
  sha256sum "${sources[@]}" </dev/null
} >"$run/sums"
if ! cmp -s "$run/sums" payload.sums; then
  rm -f payload.sums
  mkdir "$run/root"
  for target in "${targets[@]}"; do
    mkdir -p "$run/root${target%/*}"
    cp -L --preserve=mode "${files[$target]}" "$run/root$target"
  done
  archive "$run/root" >payload.cpio
  rm -rf "$run/root"
  mv "$run/sums" payload.sums
fi

mkdir "$run/root"
{
  echo '#!/bin/sh'
  for variable in "${variables[@]}"; do
    name=${variable%%=*}
    if [[ $variable == *=* ]]; then
      value=${variable#*=}
    elif [[ -v $name ]]; then
      value=${!name}
    else
      continue
    fi
    echo "export $name=${value@Q}"
  done
  echo "cd ${directory@Q} && exec ${command[*]@Q}"
} >"$run/root/command"
chmod 755 "$run/root/command"
# The kernel unpacks one archive after the other. Uncompressed, because the guest is the slow part.
archive "$run/root" | cat kernel-guest.cpio payload.cpio - >"$run/initramfs.cpio"
exec 9>&-

mkfifo "$run/serial"
timeout --kill-after=5 "$limit" "$qemu" -nodefaults -no-reboot -display none -machine pc \
  "${cpu[@]}" -smp 2 -m "$memory" -kernel vmlinux -initrd "$run/initramfs.cpio" \
  -append "console=ttyS0 quiet panic=-1 oops=panic" \
  -device "isa-debug-exit,iobase=0xf4,iosize=0x01" -serial stdio \
  </dev/null >"$run/serial" 2>&1 &
qemu_pid=$!

: >"$log"
begun='' status='' last=''
while IFS= read -r line; do
  line=${line%$'\r'}
  printf '%s\n' "$line" >>"$log"
  [[ -z $line || $line == *"terminating on signal"* ]] || last=$line
  if [[ -z $begun ]]; then
    if [[ $line == "guest: command" ]]; then begun=yes; fi
  elif [[ -z $status ]]; then
    # A last line without its end has the guest's word behind it.
    if [[ $line =~ ^(.*)guest:\ status\ ([0-9]+)$ ]]; then
      line=${BASH_REMATCH[1]} status=${BASH_REMATCH[2]}
      [[ -n $line ]] || continue
    fi
    printf '%s\n' "$line"
  fi
done <"$run/serial"

ended=0
wait "$qemu_pid" || ended=$?
qemu_pid=''
# isa-debug-exit makes QEMU's status of what the guest's init wrote: 2n + 1.
case $ended in
  33 | 35) [[ -z $status ]] || exit "$status" ;;
  124 | 137)
    echo "run-in-kernel-guest: no end after $limit s; last line: $last" >&2
    exit 124
    ;;
esac
fail "the guest gave no status (QEMU's is $ended); last line: $last"
