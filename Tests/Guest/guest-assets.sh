#!/bin/bash
# Makes what the test guests boot from, in a cache folder (default: .build/guest):
#
#   vmlinux              Debian's own kernel, unpacked so that QEMU can start it through PVH
#   initramfs.cpio.gz    busybox, the virtio-crypto and AF_ALG modules, `init`, `guest-crypto`,
#                        `guest-keys`, `guest-bench` and `guest-restarts`
#   kernel-guest.cpio    busybox, all of the kernel's cryptography that the daemon can use, and
#                        `kernel-guest-init`; run-in-kernel-guest.sh adds programs to it
#
# usage: guest-assets.sh [FOLDER]
#
# The kernel package is downloaded once and kept; KERNEL_DEB=FILE uses one that is already here.
# Nothing is rebuilt when nothing changed, and nothing is installed: a missing tool is named
# together with its Debian package.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${1:-$here/../../.build/guest}

# What a guest loads; the modules that these need are found by themselves.
modules=(virtio_pci virtio_crypto algif_skcipher algif_hash pkcs8_key_parser)
# AF_ALG loads an algorithm when it is first named, but only where there is a modprobe, which the
# guest has not. AES itself, CBC, HMAC, MD5, SHA-1 and SHA-256 are built in; cbcmac is in ccm.
kernel_guest_modules=(
  algif_skcipher algif_hash algif_aead crypto_user cryptd
  aesni_intel ecb ctr xts gcm ccm ghash_generic ghash_clmulni_intel cmac xcbc authenc
  chacha20poly1305 chacha_generic chacha_x86_64 poly1305_generic poly1305_x86_64
  des_generic des3_ede_x86_64 twofish_generic twofish_x86_64 twofish_x86_64_3way
  twofish_avx_x86_64 sha1_ssse3 sha256_ssse3 sha512_generic sha512_ssse3 sha3_generic
)

fail() {
  echo "guest-assets: $*" >&2
  exit 1
}

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

# The compiler that came with Swift is preferred: it is there wherever this project builds.
find_compiler() {
  local swift compiler
  swift=$(command -v swift || true)
  [[ -z $swift ]] || swift=$(dirname "$(readlink -f "$swift")")/clang
  for compiler in "${CC:-}" "$swift" /opt/swift/usr/bin/clang clang cc; do
    if [[ -n $compiler ]] && command -v "$compiler"; then return; fi
  done
  fail "no C compiler: apt-get install gcc"
}

# The package that Debian's linux-image-amd64 stands for. The cloud kernel has no virtio_crypto.
fetch_kernel() {
  local name
  if [[ -n ${KERNEL_DEB:-} ]]; then
    cp "$KERNEL_DEB" kernel.deb.new
  else
    name=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
    [[ -n $name ]] || fail "linux-image-amd64 is not in apt's lists: apt-get update"
    echo "guest-assets: downloading $name"
    rm -rf download && mkdir download
    (cd download && apt-get download -q -o APT::Sandbox::User=root "$name") \
      || fail "$name cannot be downloaded: apt-get update, or set KERNEL_DEB"
    mv download/*.deb kernel.deb.new
    rmdir download
  fi
  mv kernel.deb.new kernel.deb
}

# unpack_kernel VMLINUZ: prints the ELF image that a bzImage carries compressed. Its header says
# where: Documentation/arch/x86/boot.rst, setup_sects (0x1f1), payload_offset and payload_length
# (0x248, 0x24c). The payload's last four bytes are the unpacked size, not compressed data.
unpack_kernel() {
  local image=$1 sectors offset length unpack
  sectors=$(od -An -tu1 -j $((0x1f1)) -N1 "$image")
  read -r offset length < <(od -An -tu4 -j $((0x248)) -N8 "$image")
  offset=$((offset + (sectors + 1) * 512))
  case $(od -An -tx1 -j "$offset" -N4 "$image") in
    " fd 37 7a 58") need xz xz-utils && unpack=xz ;;
    " 28 b5 2f fd") need zstd zstd && unpack=zstd ;;
    " 02 21 4c 18") need lz4 lz4 && unpack=lz4 ;;
    " 1f 8b"*) unpack=gzip ;;
    *) fail "the kernel is compressed in a way that this script does not know" ;;
  esac
  dd if="$image" iflag=skip_bytes,count_bytes skip="$offset" count=$((length - 4)) \
    bs=1M status=none | "$unpack" -dc
}

# add_module ROOT NAME: copies a module and, before it, those it depends on, in loading order.
declare -A module_files
add_module() {
  local root=$1 name=${2//-/_} file dependency
  [[ ! -e $root/modules/$name.ko ]] || return 0
  file=${module_files[$name]:-}
  [[ -n $file ]] || fail "module $name is not in the kernel package"
  if [[ $file == *.xz ]]; then
    need xz xz-utils
    xz -d "$file"
    file=${file%.xz}
    module_files[$name]=$file
  fi
  for dependency in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' '); do
    add_module "$root" "$dependency"
  done
  cp "$file" "$root/modules/$name.ko"
  echo "$name" >>"$root/modules/order"
}

# make_root ROOT INIT MODULE...: what every guest has.
make_root() {
  local root=$1 init=$2 name
  shift 2
  mkdir -p "$root"/{bin,dev,modules,proc,sys,tmp}
  cp "$(command -v busybox)" "$root/bin/busybox"
  install -m 755 "$here/$init" "$root/init"
  install -m 644 "$here/init-common" "$root/init-common"
  for name in "$@"; do add_module "$root" "$name"; done
}

# archive ROOT: prints it as an initramfs.
archive() {
  (cd "$1" && find . -print0 | sort -z | cpio --quiet --null -o -H newc -R 0:0)
}

for tool in dpkg-deb:dpkg apt-cache:apt cpio:cpio busybox:busybox-static; do
  need "${tool%:*}" "${tool#*:}"
done
compiler=$(find_compiler)

mkdir -p "$cache"
cd "$cache"
# Two callers at once would build into the same folder.
exec 9>lock
flock -w 300 9 || fail "another guest-assets.sh holds $cache/lock"

[[ -s kernel.deb && -z ${KERNEL_DEB:-} ]] || fetch_kernel

# Everything that the files are made of; the same sum means the same files.
inputs=$(sha256sum "$here"/{guest-assets.sh,init,init-common,kernel-guest-init} \
  "$here"/guest-{program.h,alg.h,crypto.c,keys.c,bench.c,restarts.c} kernel.deb "$(command -v busybox)" "$compiler")
if [[ -s vmlinux && -s initramfs.cpio.gz && -s kernel-guest.cpio \
  && -f inputs && $inputs == "$(<inputs)" ]]; then
  echo "guest-assets: up to date"
  exit 0
fi

if head -c 4096 "$(command -v busybox)" | grep -qa ld-linux; then
  fail "busybox is not static: apt-get install busybox-static"
fi
rm -rf inputs kernel root kernel-root
trap 'rm -rf kernel root kernel-root' EXIT
mkdir kernel
dpkg-deb -x kernel.deb kernel
unpack_kernel kernel/boot/vmlinuz-* >vmlinux.new
[[ $(head -c 4 vmlinux.new) == $'\x7fELF' ]] || fail "vmlinuz did not unpack to an ELF image"
mv vmlinux.new vmlinux

while read -r file; do
  name=${file##*/}
  name=${name%%.ko*}
  module_files[${name//-/_}]=$file
done < <(find kernel/ -name '*.ko' -o -name '*.ko.xz')
make_root root init "${modules[@]}"
for program in guest-crypto guest-keys guest-bench guest-restarts; do
  "$compiler" -std=gnu11 -static -O2 -Wall -Wextra -Werror -o "root/bin/$program" \
    "$here/$program.c" || fail "$program.c does not build (apt-get install libc6-dev?)"
done
make_root kernel-root kernel-guest-init "${kernel_guest_modules[@]}"

archive root | gzip -n >initramfs.cpio.gz.new
mv initramfs.cpio.gz.new initramfs.cpio.gz
# Not compressed: more archives are put behind it, each of which has to begin at a multiple of 4.
archive kernel-root >kernel-guest.cpio.new
mv kernel-guest.cpio.new kernel-guest.cpio
echo "$inputs" >inputs
echo "guest-assets: made vmlinux, initramfs.cpio.gz and kernel-guest.cpio in $PWD"
