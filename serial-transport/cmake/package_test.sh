#!/bin/sh
# package_test.sh BUILD SOURCE WORK COMPILER: installs the library, builds the example against it, and
# lets its two ends talk.
set -eu
build=$1 source=$2 work=$3 compiler=$4
rm -rf "$work"
cmake --install "$build" --prefix "$work/tree" --component serial-transport
cmake -S "$source/example" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/tree" \
  -DCMAKE_CXX_COMPILER="$compiler"
cmake --build "$work/build"
timeout 60 "$work/build/echo" guest "$work/link" &
guest=$!
trap 'kill $guest' EXIT
said=$(timeout 30 "$work/build/echo" host "$work/link" 'how do you do')
[ "$said" = 'how do you do' ] || { echo "the example said: $said"; exit 1; }
