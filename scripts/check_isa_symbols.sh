#!/bin/sh
# Fails if an object file compiled for an instruction set defines a weak or unique symbol: the linker could pick that copy
# of an inline function for baseline code, which would then crash on processors without the instruction set.
#   scripts/check_isa_symbols.sh [BUILD_FOLDER]
build=${1:-build}
objects=$(find "$build/src/kernels" -name '*.o' | grep -E '_(avx2|avx_vnni|avx512|avx512_vnni|neon|neon_dot)\.cpp\.o$')
if [ -z "$objects" ]; then
  echo "check_isa_symbols: no instruction-set objects under $build (build first)" >&2
  exit 2
fi
status=0
for object in $objects; do
  leaked=$(nm -C --defined-only "$object" | awk '$2 ~ /^[WVwvu]$/')
  if [ -n "$leaked" ]; then
    printf '%s defines symbols that baseline code may be linked to:\n%s\n' "$object" "$leaked" >&2
    status=1
  fi
done
[ $status -eq 0 ] && echo "check_isa_symbols: $(echo "$objects" | wc -l) objects, none leaks"
exit $status
