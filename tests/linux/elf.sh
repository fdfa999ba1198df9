#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 15
# Kernels of other kinds than the Image that every other test boots: a bare-metal ELF, and an Image.gz.

. "$(dirname "$0")/lib.bash"

tree hello 1 6.12
cp "$BUILD/tests/kvm/hello" "$work/hello"
sed -i 's/vmlinuz-6.12/hello/; /sluice,initrd/d' "$work/hello.dts"
says_hello() {
	timeout 60 "$SLUICE" run "$work/hello.dts" </dev/null >"$work/out" 2>"$work/err" || { echo "status $?"; cat "$work/out" "$work/err"; return 1; }
	[ ! -s "$work/err" ] && [ "$(cat "$work/out")" = 'hello from bare metal, with a tree' ] || { cat "$work/out" "$work/err"; return 1; }
}
check "elf-says-hello" says_hello
check "elf-is-checked" eval "$SLUICE check $work/hello.dts | grep 'kernel.*hello, entered at 0x040200000$'"
# One that wants a place which is not free, the tree's.
printf '\0\0\0\100\0\0\0\0' | dd of="$work/hello" bs=1 seek=$((64 + 24)) conv=notrunc 2>"$work/dd"
check "elf-on-the-tree" eval "! $SLUICE run $work/hello.dts >$work/out 2>$work/err && grep '^sluice: $work/hello.dts: $work/hello: an ELF segment wants 0x40000000 to .* which is not free: needed is memory from 0x401e0000 on' $work/err || { cat $work/out $work/err; false; }"

tree zipped 1 6.12
cp "$GUESTS/6.12/vmlinuz.gz" "$work/Image.gz"
sed -i 's/vmlinuz-6.12/Image.gz/' "$work/zipped.dts"
check "gzip-is-checked" eval "$SLUICE check $work/zipped.dts | grep 'kernel.*Image.gz, entered at 0x040200000$'"
run zipped
check "gzip-boots" booted zipped
send zipped 'reboot -f'
check "gzip-boots-again" booted zipped 2
send zipped 'poweroff'
check "gzip-powers-off" ended zipped 60 0
head -c 5000000 "$work/Image.gz" >"$work/cut.gz"
sed -i 's/Image.gz/cut.gz/' "$work/zipped.dts"
check "gzip-cut-run" eval "! $SLUICE run $work/zipped.dts >$work/out 2>$work/err </dev/null && [ ! -s $work/out ] && grep -x 'sluice: $work/zipped.dts: $work/cut.gz: is truncated: its gzip data has no end' $work/err || { cat $work/out $work/err; false; }"
check "gzip-cut-check" eval "! $SLUICE check $work/zipped.dts 2>$work/err && grep -x 'sluice: $work/zipped.dts: $work/cut.gz: is truncated: its gzip data has no end' $work/err || { cat $work/err; false; }"
done_testing
