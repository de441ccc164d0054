#!/usr/bin/env bash
# Makes DIRECTORY/libcurl.a for linking with Swift's static libraries: no-curl.sh SWIFT DIRECTORY
#
# The HTTP library can also be a proxy, which nothing here is. That part brings Swift's HTTP client into the programs, and
# this wants libcurl. Its functions are here so that the programs link; who calls one anyway is ended.
set -euo pipefail
toolchain=$(dirname "$(readlink -f "$(command -v "$1")")")
mkdir -p "$2"
cd "$2"
{
  echo '#include <stdlib.h>'
  nm -u "$toolchain"/../lib/swift_static/linux/lib_CFURLSessionInterface.a |
    awk '$1 == "U" && $2 ~ /^curl_/ {print "void " $2 "(void) { abort(); }"}' | sort -u
} >no-curl.c
"$toolchain/clang" -O1 -c no-curl.c -o no-curl.o
rm -f libcurl.a
ar rcs libcurl.a no-curl.o
