#!/bin/sh
# Compiles traffic.bpf.c into traffic.bpf.o, which is committed: using the example needs no compiler.
# Needs clang and llvm-strip, version 14 or later, with the bpf target; CLANG and LLVM_STRIP name others.
set -eu
cd "$(dirname "$0")"

# -g writes the BTF that describes maps and globals; the prefix map keeps this folder's path out of the object.
"${CLANG:-clang}" -target bpfel -mcpu=v3 -O2 -g -Wall -Wextra -Werror \
  "-fdebug-prefix-map=$PWD=." -c traffic.bpf.c -o traffic.bpf.o
# Takes the DWARF away and leaves the BTF.
"${LLVM_STRIP:-llvm-strip}" --strip-debug traffic.bpf.o
