#!/bin/bash
# Makes RSA keys for guest-keys, and openssl's answers with them, in a folder (its usage is in
# guest-keys.c). They are kept: making 600 keys takes a while.
#
# usage: rsa-material.sh FOLDER [COUNT]   COUNT keys in FOLDER/many (600)
set -euo pipefail

folder=${1:?usage: rsa-material.sh FOLDER [COUNT]}
many=${2:-600}

fail() {
  echo "rsa-material: $*" >&2
  exit 1
}

command -v openssl >/dev/null || fail "openssl is missing: apt-get install openssl"
made="$(sha256sum <"${BASH_SOURCE[0]}") $many"
if [[ -f $folder/made && $(<"$folder/made") == "$made" ]]; then exit 0; fi

new=$folder.new
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir -p "$new/single" "$new/many"

# PKCS #8 in DER, which openssl's own DER output is not.
new_key() { # new_key FILE BITS
  openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" \
    | sed '/^-/d' | base64 -d >"$1"
}

with_key() { # with_key KEY OPERATION [OPTION...]: standard input to standard output
  local key=$1
  shift
  openssl pkeyutl -keyform DER -inkey "$key" "$@"
}

for bits in 1024 2048 3072 4096; do
  stem=$new/single/rsa-$bits
  new_key "$stem.p8" "$bits"
  openssl req -x509 -new -keyform DER -key "$stem.p8" -sha256 -days 36500 -subj "/CN=rsa-$bits" \
    -outform DER -out "$stem.crt"
  echo "a message for a key of $bits bits" >"$stem.message"
  with_key "$stem.p8" -encrypt <"$stem.message" >"$stem.encrypted"
  # A number of the modulus' length and less than it.
  { printf '\0' && openssl rand $((bits / 8 - 1)); } >"$stem.block"
  with_key "$stem.p8" -encrypt -pkeyopt rsa_padding_mode:none <"$stem.block" >"$stem.raw"
  for hash in sha1 sha256 sha512; do
    openssl dgst "-$hash" -binary <"$stem.message" >"$stem.$hash"
    with_key "$stem.p8" -sign -pkeyopt "digest:$hash" <"$stem.$hash" >"$stem.$hash.signature"
  done
done

echo "rsa-material: making $many keys"
for ((i = 1; i <= many; i++)); do
  printf -v name 'key-%04d' "$i"
  new_key "$new/many/$name.p8" 1024
  printf '%s' "$name" | with_key "$new/many/$name.p8" -encrypt >"$new/many/$name.encrypted"
done
echo "$made" >"$new/made"
rm -rf "$folder"
mv "$new" "$folder"
