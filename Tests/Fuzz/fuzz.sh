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
# Programs that count lines write them where they are told to.
export LLVM_PROFILE_FILE=/dev/null
resources=$("$swift" -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')
# Swift's own llvm-cov and llvm-profdata: others may not know its formats.
PATH=$resources/../../bin:$PATH

# AddressSanitizer everywhere, UndefinedBehaviorSanitizer in what is C, and counters that libFuzzer reads.
build() {
  local library
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

# What seeds reach needs no file; of the rest those that together reach all edges, and of these those that reach lines.
merge() {
  local target
  build_coverage
  for target in $(targets "$@"); do
    prepare "$target"
    rm -rf "$work/$target/merged"
    cp -r "$work/$target/seeds" "$work/$target/merged"
    # shellcheck disable=SC2046
    "$(program)" "$target" $(options "$target") -set_cover_merge=1 -use_counters=0 "$work/$target/merged" \
      "$corpus/$target" "$work/$target/new" >"$work/$target/merge-log" 2>&1
    rm -f "$work/$target"/merged/seed-*
    thin "$target"
    printf '%-18s %4d files, %d bytes\n' "$target" "$(ls "$corpus/$target" | wc -l)" \
      "$(cat "$corpus/$target"/* | wc -c)"
  done
}

# The lines of ours that inputs reach, each once.
lines() {
  local profile=$work/$1/lines
  LLVM_PROFILE_FILE=$profile.profraw "$covered" --replay "$@" >/dev/null
  llvm-profdata merge -o "$profile.profdata" "$profile.profraw"
  llvm-cov export -format=lcov "$covered" -instr-profile="$profile.profdata" Sources CModules |
    awk -F'[:,]' '/^SF/ { file = $2 } /^DA/ && $3 > 0 { print file ":" $2 }'
}

# Of the merged files, the small ones first, those that reach a line that nothing before them does become the corpus.
thin() {
  local target=$1 reached=$work/$1/reached file
  lines "$target" "$work/$target/seeds" | sort -u >"$reached"
  rm -rf "${corpus:?}/$target"
  mkdir "$corpus/$target"
  for file in $(ls -Sr "$work/$target/merged"); do
    lines "$target" "$work/$target/merged/$file" | sort -u >"$reached.file"
    [ -n "$(comm -13 "$reached" "$reached.file")" ] || continue
    sort -u -o "$reached" "$reached" "$reached.file"
    cp "$work/$target/merged/$file" "$corpus/$target"
  done
}

# Files that read what a guest, a front-end, an operator, another host or an earlier process wrote: messages, records of
# requests in flight, rings, requests, sessions, keys and capability files.
parsers() {
  ls Sources/VhostUserProtocol/*.swift Sources/VhostUserBackend/Connection*.swift \
    Sources/VhostUserBackend/{MessageReader,InflightAnnex,InflightBuffer,FrontendChannel}.swift \
    Sources/GuestMemory/{Addresses,MemoryMap,MemoryView,DirtyLog}.swift \
    Sources/VirtQueue/{DescriptorChain,DescriptorChain+Overlap,SplitQueue,PackedQueue,PackedQueueLayout,InOrderQueue,SpanList,Descriptor}.swift \
    Sources/VirtQueue/{InflightRecord,SplitRecorder,PackedRecorder,PackedRecorder+Ring,PackedRecovery,PackedNumber,FinishedChain}.swift \
    Sources/CryptoDevice/{ControlMark,ControlQueue,ControlRequest,SessionRequest,SessionRequest+AKCipher,DataHeader}.swift \
    Sources/CryptoDevice/{UndoLog,RequestProcessor{,+AKCipher,+ASYM*,+DraftV15,+Mixed,+Payload,+Services,+Sessions,+Symmetric,+Undo}}.swift \
    Sources/CryptoDevice/{DeviceState,DeviceCore+Restore,SessionTable+Restore,SessionRecord}.swift \
    Sources/CryptoDevice/{SessionJournal,SessionJournal+Changes,SessionOwner,JournalLayout}.swift \
    Sources/Capabilities/{ByteSize,CPUList,ConfigurationReader,PolicyReader,Field,Schema,Spelling,Configuration+Load}.swift \
    CModules/COpenSSL/{RSAKeys,ECKeys,Components,RSAComponents,ECComponents,FiniteFieldComponents}.c
}

# A program that counts lines, and only replays; $covered is where it is.
build_coverage() {
  local scratch=.build/fuzz-coverage
  FUZZ=coverage "$swift" build --scratch-path "$scratch" --product fuzz \
    -Xswiftc -profile-coverage-mapping -Xswiftc -profile-generate \
    -Xcc -fprofile-instr-generate -Xcc -fcoverage-mapping
  covered=$scratch/debug/fuzz
}

coverage() {
  local profiles=.build/fuzz-coverage/profiles target
  build_coverage
  rm -rf "$profiles"
  mkdir -p "$profiles"
  for target in $("$covered" --list); do
    "$covered" --write-seeds "$target" "$profiles/seeds"
    LLVM_PROFILE_FILE=$profiles/$target.profraw "$covered" --replay "$target" "$profiles/seeds" "$corpus/$target"
    rm -r "$profiles/seeds"
  done
  llvm-profdata merge -o "$profiles/all.profdata" "$profiles"/*.profraw
  # shellcheck disable=SC2046
  llvm-cov export -summary-only "$covered" -instr-profile="$profiles/all.profdata" $(parsers) |
    jq -r --arg here "$PWD/" '.data[0].files[] | .summary.lines + {name: (.filename | ltrimstr($here))}
      | [.covered, .count, .name] | @tsv' |
    awk -F'\t' '{ printf "%6.1f %%  %4d of %4d  %s\n", 100 * $1 / $2, $1, $2, $3; c += $1; n += $2 }
      END { printf "%6.1f %%  %4d of %4d  all parsers\n", 100 * c / n, c, n }'
  echo "Lines that were not reached:"
  # shellcheck disable=SC2046
  llvm-cov export -format=lcov "$covered" -instr-profile="$profiles/all.profdata" $(parsers) |
    awk -F'[:,]' -v here="$PWD/" '/^SF/ { file = substr($2, length(here) + 1) }
      /^DA/ && $3 == 0 { if (file != at) printf "\n  %s:", at = file; printf " %d", $2 } END { print "" }'
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
