#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a change of the map takes at each level of a nested host, with few slots open and with many: for a VM of the host,
# for one whose vCPU has EL2 and runs a guest of its own, and, inside a guest with EL2, for a VM of that guest's. For
# toolchain/bench, in an emulated host `nested`.

. "$TOP/tests/linux/lib.bash"

must() { "$@" >"$work/must.out" 2>&1 || { cat "$work/must.out" >&2; exit 1; }; }
bench=$BUILD/tests/bench/slot-changes counts='1 1024'

# The guest has the program with its libraries.
files=$work/files
mkdir -p "$files/bin"
tree host 1 7.3
cp "$bench" "$files/bin/"
(cd / && LD_TRACE_LOADED_OBJECTS=1 "$bench" | grep -o '/[^ ]*' | xargs cp -L --parents -t "$files")
sed -i "s/cpus { /&sluice,nested; /; s/initramfs-7.3/initramfs-host/" "$work/host.dts"
(cat "$work/initramfs-7.3" && cd "$files" && find . | cpio -o -H newc 2>"$work/cpio.log") >"$work/initramfs-host"
run host
must booted host 1 300
# shellcheck disable=SC2086
guest host 600 "slot-changes $counts" | tr -d '\r' >"$work/guest" || { cat "$work/guest" >&2; exit 1; }
send host 'poweroff -f'
must ended host 120 0
# shellcheck disable=SC2086
must eval "$bench $counts >$work/plain; $bench el2 $counts >$work/el2"

echo "Host: Linux $(uname -r | sed 's/[-+].*//') on $(uname -m)"
printf '\n| change | of a VM: 1 open | 1024 | of a VM that runs a guest: 1 open | 1024 | inside a VM: 1 open | 1024 |\n|---|---|---|---|---|---|---|\n'
paste -d ' ' "$work/plain" <(sed 's/^[^|]*//' "$work/el2") <(sed 's/^[^|]*//' "$work/guest") | sed 's/^/| /; s/$/ |/'
