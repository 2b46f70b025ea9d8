#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# long.sh BUILD TARGET SECONDS DIR: one slice of long fuzzing with libFuzzer, to be repeated.
#   BUILD   a build with -DEMDTOOLS_FUZZ=ON (see CMakeLists.txt here)
#   TARGET  deflate zstd blosc bitshuffle fletcher32 filter dialslog expt refl trial recipe
#           edc_decode edc_encode
#   DIR     keeps DIR/TARGET/ (the corpus), DIR/TARGET.total (executions and seconds so far), and
#           DIR/TARGET.log and .log.0 (the last slices); what crashed, hung or grew is
#           DIR/TARGET.crash-*, .timeout-*, .oom-*
# Prints the total; exits 1 if the slice found anything.
set -eu
[ $# -eq 4 ] || {
  sed -n '4,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
build=$1 target=$2 seconds=$3 dir=$4
program=$build/tests/fuzz/fuzz_${target}_lf length=4096
seeds=$(dirname "$0")/corpus/$target
[ ! -d "$seeds" ] || program=$build/tests/fuzz/fuzz_$target length=8192
case $target in edc_*) program=$build/bin/fuzz_$target length=16384 ;; esac
corpus=$dir/$target log=$dir/$target.log total=$dir/$target.total
if [ ! -d "$corpus" ]; then
  mkdir -p "$corpus"
  if [ -d "$seeds" ]; then
    cp "$seeds"/* "$corpus"
  elif [ "${target#edc_}" != "$target" ]; then
    "$build/bin/edcseeds" "$dir/seeds.$$"
    cp "$dir/seeds.$$/${target#edc_}"/* "$corpus"
    rm -r "$dir/seeds.$$"
  else
    "${program%_lf}" --seeds "$corpus"
  fi
fi
[ ! -e "$log" ] || mv "$log" "$log.0"
# A large quarantine of freed memory costs page faults, most of the time in these targets.
export ASAN_OPTIONS="quarantine_size_mb=4:malloc_context_size=4${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
# Small inputs: more of them a second, and every branch of the formats is within reach.
# A chunk may claim 4 GiB, which are reserved before its data turns out to be bad.
status=0
"$program" -max_len=$length -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 \
  -malloc_limit_mb=16384 \
  -print_final_stats=1 -verbosity=0 -artifact_prefix="$dir/$target." "$corpus" >"$log" 2>&1 ||
  status=1
count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
[ -e "$total" ] || echo 0 0 >"$total"
read -r executions spent <"$total"
echo $((executions + ${count:-0})) $((spent + seconds)) >"$total.tmp"
mv "$total.tmp" "$total"
echo "$target: $(cut -d' ' -f1 "$total") executions in $(cut -d' ' -f2 "$total") s"
[ $status -eq 0 ] || {
  tail -n 40 "$log"
  exit 1
}
