#!/bin/bash
# Builds the fuzzing program and runs it, for the Makefile.
#
#   fuzz.sh run SECONDS [TARGET …]    each target so long, one after the other; status 1 where something was found
#   fuzz.sh share MINUTES [TARGET …]  all of them together so long
#   fuzz.sh merge [TARGET …]          of what was found interesting so far, what covers all of it becomes the corpus
#   fuzz.sh coverage                  lines that corpus and seeds reach, for each parser
#
# Inputs that are new are kept in .build/fuzz-work/TARGET, finds in .build/fuzz-finds.
set -euo pipefail
cd "$(dirname "$0")/../.."
swift=${SWIFT:-swift}
scratch=.build/fuzz
work=.build/fuzz-work
finds=.build/fuzz-finds
corpus=Tests/Fuzz/Corpus
# Swift keeps marks in the highest bits of pointers, so that LeakSanitizer takes what they point to for lost.
export ASAN_OPTIONS=detect_leaks=0

# AddressSanitizer everywhere, UndefinedBehaviorSanitizer in what is C, and counters that libFuzzer reads.
build() {
  local resources library
  resources=$("$swift" -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')
  library=$resources/clang/lib/linux/libclang_rt.fuzzer_no_main-$(uname -m).a
  [ -f "$library" ] || { echo "fuzz.sh: this Swift has no libFuzzer at $library" >&2; exit 1; }
  FUZZ=$library "$swift" build --scratch-path "$scratch" --product fuzz --sanitize=address \
    -Xswiftc -sanitize-coverage=edge,indirect-calls,trace-cmp,inline-8bit-counters,pc-table \
    -Xcc -fsanitize=undefined,fuzzer-no-link -Xcc -fno-sanitize-recover=undefined
}

program() { echo "$scratch/debug/fuzz"; }

targets() { if [ $# -gt 0 ]; then printf '%s\n' "$@"; else "$(program)" --list; fi; }

# What every run is given: how long an input may take, how much memory, where finds go.
options() {
  echo -timeout=10 -rss_limit_mb=4096 -artifact_prefix="$finds/$1-"
  [ ! -f "Tests/Fuzz/Dictionaries/$1.dict" ] || echo -dict="Tests/Fuzz/Dictionaries/$1.dict"
}

prepare() {
  mkdir -p "$work/$1/new" "$work/$1/seeds" "$finds" "$corpus/$1"
  "$(program)" --write-seeds "$1" "$work/$1/seeds"
}

run() {
  local seconds=$1 target status=0
  shift
  for target in $(targets "$@"); do
    prepare "$target"
    local log=$work/$target/log
    # shellcheck disable=SC2046
    if "$(program)" "$target" $(options "$target") -max_total_time="$seconds" -max_len=8192 \
        -print_final_stats=1 "$work/$target/new" "$corpus/$target" "$work/$target/seeds" \
        >"$log" 2>&1; then
      printf '%-18s %s\n' "$target" "$(grep -E '^#[0-9]+.*(DONE|cov:)' "$log" | tail -1)"
    else
      status=1
      grep -vE '^#[0-9]+' "$log" | tail -60
      echo "$target: something was found. To see it again:"
      local find
      find=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
      echo "  $(program) $target ${find:-$log}"
    fi
  done
  return $status
}

merge() {
  local target
  for target in $(targets "$@"); do
    prepare "$target"
    rm -rf "$work/$target/merged"
    mkdir -p "$work/$target/merged"
    # shellcheck disable=SC2046
    "$(program)" "$target" $(options "$target") -set_cover_merge=1 -use_counters=0 "$work/$target/merged" \
      "$corpus/$target" "$work/$target/seeds" "$work/$target/new" >"$work/$target/merge-log" 2>&1
    rm -rf "${corpus:?}/$target"
    cp -r "$work/$target/merged" "$corpus/$target"
    printf '%-18s %4d files, %d bytes\n' "$target" "$(ls "$corpus/$target" | wc -l)" \
      "$(cat "$corpus/$target"/* | wc -c)"
  done
}

# Files that read what a guest, a front-end or an operator wrote.
parsers() {
  ls Sources/VhostUserProtocol/*.swift Sources/VhostUserBackend/Connection*.swift \
    Sources/VhostUserBackend/MessageReader.swift \
    Sources/VirtQueue/{DescriptorChain,SplitQueue,PackedQueue,PackedQueueLayout,InOrderQueue,SpanList,Descriptor}.swift \
    Sources/CryptoDevice/{ControlQueue,ControlRequest,SessionRequest,SessionRequest+AKCipher,DataHeader}.swift \
    Sources/CryptoDevice/RequestProcessor*.swift \
    Sources/Capabilities/{ByteSize,CPUList,ConfigurationReader,PolicyReader,Field,Schema,Spelling,Configuration+Load}.swift \
    CModules/COpenSSL/{RSAKeys,ECKeys}.c
}

coverage() {
  local scratch=.build/fuzz-coverage target bin
  bin=$("$swift" build --scratch-path "$scratch" --show-bin-path)
  FUZZ=coverage "$swift" build --scratch-path "$scratch" --product fuzz \
    -Xswiftc -profile-coverage-mapping -Xswiftc -profile-generate \
    -Xcc -fprofile-instr-generate -Xcc -fcoverage-mapping
  rm -f "$scratch"/*.profraw
  for target in $("$bin/fuzz" --list); do
    LLVM_PROFILE_FILE=$scratch/$target.profraw "$bin/fuzz" --replay "$target" "$corpus/$target"
  done
  llvm-profdata merge -o "$scratch/all.profdata" "$scratch"/*.profraw
  # shellcheck disable=SC2046
  llvm-cov export -summary-only "$bin/fuzz" -instr-profile="$scratch/all.profdata" $(parsers) |
    jq -r --arg here "$PWD/" '.data[0].files[] | .summary.lines + {name: (.filename | ltrimstr($here))}
      | [.covered, .count, .name] | @tsv' |
    awk -F'\t' '{ printf "%6.1f %%  %4d of %4d  %s\n", 100 * $1 / $2, $1, $2, $3; c += $1; n += $2 }
      END { printf "%6.1f %%  %4d of %4d  all parsers\n", 100 * c / n, c, n }'
}

command=$1
shift
case $command in
  run) build && run "$@" ;;
  share)
    build
    minutes=$1
    shift
    run $((minutes * 60 / $(targets "$@" | wc -l))) "$@"
    ;;
  merge) build && merge "$@" ;;
  coverage) coverage ;;
  *) sed -n '2,10p' "$0"; exit 64 ;;
esac
