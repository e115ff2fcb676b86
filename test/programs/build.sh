#!/bin/sh
# Compiles the programs of this folder into the folder given, or in place: `build.sh [FOLDER [NAME...]]`.
# Needs clang with the BPF target, version 14 or later, llvm-strip and the system's UAPI headers; CLANG and LLVM_STRIP
# name others.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then set -- *.bpf.c; fi

for source in "$@"; do
  shift
  source=${source%.bpf.c}.bpf.c
  # <asm/types.h> lies in the folder of the machine's architecture.
  "${CLANG:-clang}" -target bpfel -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter \
    -I include -idirafter "/usr/include/$(uname -m)-linux-gnu" "-fdebug-prefix-map=$PWD=." \
    -c "$source" -o "$out/${source%.c}.o"
  set -- "$@" "$out/${source%.c}.o"
done
# Takes the DWARF away and leaves the BTF.
"${LLVM_STRIP:-llvm-strip}" --strip-debug "$@"
