#!/bin/sh
# lint.sh BUILD_DIR: format, static analysis and shell checks of the whole tree; quiet when clean.
set -u
build=$1
status=0
sources=$(git ls-files '*.c')
headers=$(git ls-files '*.h')
# shellcheck disable=SC2086 # lists of words
{
  clang-format --dry-run --Werror $sources $headers || status=1
  # suppressions say why where they stand
  cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=nullPointerOutOfMemory -I lib -I tools $sources ||
    status=1
  printf '%s\n' $sources | xargs -P 2 -n 8 clang-tidy --quiet -p "$build" --warnings-as-errors='*' \
    2>/dev/null || status=1
}
git ls-files | while read -r file; do
  case $file in
  *.sh) echo "$file" ;;
  *) head -c 64 "$file" 2>/dev/null | head -n 1 | grep -aqE '^#!.*(/|env )(ba|da)?sh( |$)' && echo "$file" ;;
  esac
done | xargs -r shellcheck || status=1
exit $status
