#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# lint.sh BUILD_DIR: format, static analysis and shell checks of the whole tree; quiet when clean.
set -u
build=$1
status=0
sources=$(git ls-files '*.c')
headers=$(git ls-files '*.h')
product=$(git ls-files 'lib/*.c' 'plugin/*.c' 'xds/*.c' 'tools/*.c')
# What is built here: other machines' kernels are not.
built=$(for file in $product; do
  grep -qF "/$file\"" "$build/compile_commands.json" && echo "$file"
done)
# shellcheck disable=SC2086 # lists of words
{
  clang-format --dry-run --Werror $sources $headers || status=1
  # cppcheck 2.10 loses track of pointers to arrays on the stack: that is what is suppressed by file.
  cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=nullPointerOutOfMemory \
    --suppress=uninitvar:lib/codec/zlibwriter.c --suppress=uninitvar:lib/velox/simulate.c \
    --suppress=uninitvar:lib/repack/box.c --suppress=uninitvar:lib/repack/check.c \
    --suppress=autovarInvalidDeallocation:lib/codec/edc/edcfit.c \
    --suppress=ctuArrayIndex:lib/codec/edc/edckernel_impl.h -I lib -I tools $product ||
    status=1
  printf '%s\n' $built | xargs -P 2 -n 8 clang-tidy --quiet -p "$build" --warnings-as-errors='*' \
    2>/dev/null || status=1
}
git ls-files | while read -r file; do
  case $file in
  *.sh) echo "$file" ;;
  *) head -c 64 "$file" 2>/dev/null | head -n 1 | grep -aqE '^#!.*(/|env )(ba|da)?sh( |$)' && echo "$file" ;;
  esac
done | xargs -r shellcheck || status=1
unlicensed=$(git grep -L 'SPDX-License-Identifier: BSD-3-Clause' -- '*.c' '*.h' '*.py' '*.sh' '*.js' \
  '*.css' '*.cmake' '*CMakeLists.txt')
if [ -n "$unlicensed" ]; then
  printf '%s\n' "$unlicensed" | sed 's/$/: no licence line/' >&2
  status=1
fi
exit $status
