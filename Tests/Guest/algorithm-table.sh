#!/bin/bash
# Prints the README's table of symmetric algorithms: which engine serves each on this host, which in a guest
# whose kernel has AF_ALG, and which other back-ends serve it.
#
# usage: algorithm-table.sh   (after `make build guest`)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(realpath "$here/../..")
tool=$root/.build/release/vhost-crypto
[[ -x $tool ]] || { echo "algorithm-table: $tool is missing: make build" >&2; exit 1; }

host=$("$tool" list-algorithms --json)
guest=$("$here/run-in-kernel-guest.sh" --timeout 300 -- "$tool" list-algorithms --json)

jq -rn --argjson host "$host" --argjson guest "$guest" --slurpfile peers "$root/docs/peers.json" '
  def engines: [.servedBy[].engine] | unique;
  def mark($name; $here; $there):
    if $here | index($name) then "yes" elif $there | index($name) then "in the guest" else "–" end;
  ($peers[0]) as $peers
  | ([range($host | length)] | map({
      service: $host[.].service, algorithm: $host[.].algorithm,
      here: ($host[.] | engines), there: ($guest[.] | engines)})
    | map(select(.service != "akcipher"))) as $rows
  | "| Service | Algorithm | `openssl` | `ipsec-mb` | `kernel` | QEMU builtin | DPDK vhost_crypto |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ($rows[] | "| \(.service) | `\(.algorithm)` | \(mark("openssl"; .here; .there))"
      + " | \(mark("ipsec-mb"; .here; .there)) | \(mark("kernel"; .here; .there))"
      + " | \($peers.qemu.algorithms[.algorithm] // "–") | \($peers.dpdk.algorithms[.algorithm] // "–") |"),
    "",
    "\([$rows[] | select(.here != [] or .there != [])] | length) of \($rows | length) are served,"
      + " \([$rows[] | select(.here != [])] | length) of them on this host."'
