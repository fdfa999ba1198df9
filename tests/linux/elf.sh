#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 20
# Kernels of other kinds than the Image that every other test boots: bare-metal ELF and raw binaries, and an Image.gz.

. "$(dirname "$0")/lib.bash"

tree hello 1 6.12
cp "$BUILD/tests/kvm/hello" "$work/hello"
sed -i 's/vmlinuz-6.12/hello/; /sluice,initrd/d' "$work/hello.dts"
says_hello() {
	timeout 60 "$SLUICE" run "$work/hello.dts" </dev/null >"$work/out" 2>"$work/err" || { echo "status $?"; cat "$work/out" "$work/err"; return 1; }
	[ ! -s "$work/err" ] && [ "$(cat "$work/out")" = 'hello from bare metal, with a tree' ] || { cat "$work/out" "$work/err"; return 1; }
}
check "elf-says-hello" says_hello
check "elf-is-checked" eval "$SLUICE check $work/hello.dts | grep '^kernel.*hello (AArch64 ELF), entered at 0x040200000$'"
# Where RAM begins, as programs for QEMU's virt are linked; where there is room; and without any format.
for kind in start pie raw; do
	cp "$BUILD/tests/kvm/hello-$kind" "$work/hello"
	[ $kind != raw ] || sed -i 's/sluice,kernel = .*/& sluice,kernel-address = \/bits\/ 64 <0x48000000>;/' "$work/hello.dts"
	check "$kind-says-hello" says_hello
done
check "raw-is-checked" eval "$SLUICE check $work/hello.dts | grep '^kernel.*hello (raw binary), entered at 0x048000000$'"
sed -i 's/sluice,kernel-address = .*//' "$work/hello.dts"
check "raw-is-warned-of" eval "$SLUICE run $work/hello.dts </dev/null >$work/out 2>$work/err && grep '^hello' $work/out && grep 'hello: has no format that Sluice knows: it is loaded as it is, and entered at its first byte, 0x40200000. If' $work/err"
# Linux's own ELF, whose addresses are virtual.
cp "$BUILD/tests/kvm/hello" "$work/hello"
printf '\0\0\0\200\0\200\377\377' | dd of="$work/hello" bs=1 seek=$((64 + 24)) conv=notrunc 2>"$work/dd"
check "vmlinux-is-named" eval "! $SLUICE run $work/hello.dts >$work/out 2>$work/err && grep '^sluice: $work/hello.dts: $work/hello: is a vmlinux, .*take the Image of the same build' $work/err || { cat $work/out $work/err; false; }"

tree zipped 1 6.12
cp "$GUESTS/6.12/vmlinuz.gz" "$work/Image.gz"
sed -i 's/vmlinuz-6.12/Image.gz/' "$work/zipped.dts"
check "gzip-is-checked" eval "$SLUICE check $work/zipped.dts | grep '^kernel.*Image.gz (compressed arm64 Image), entered at 0x040200000$'"
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
