#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# memory: 2048
# all
# timeout: 300
# with: qemu-arm64
# One file as a disk of Sluice and of QEMU, either first, each as reader and as writer: readers share it, a writer is
# alone. QEMU runs no guest here: its machine is stopped, and holds its drive.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/blk.bash"

qemu=(/opt/qemu-arm64/lib/ld-linux-aarch64.so.1 --library-path /opt/qemu-arm64/lib /opt/qemu-arm64/qemu-system-aarch64
	-M virt -cpu cortex-a57 -S -nodefaults -display none -nic none)
truncate -s 1M "$work/disk.img"

starts_qemu() {
	"${qemu[@]}" -qmp "unix:$work/qemu.sock,server=on,wait=off" -drive "if=none,id=d,format=raw,file=$work/disk.img,readonly=$1" \
		-device virtio-blk-device,drive=d >"$work/qemu.out" 2>&1 &
	pid[qemu]=$!
	# Its monitor answers once it has its drive, and it has a socket before.
	qemu_is_there() { gone qemu || socat -u -T 1 "UNIX-CONNECT:$work/qemu.sock" - | grep -q QMP; }
	until_true 60 qemu_is_there
	cat "$work/qemu.out"
	! gone qemu
}
ends_qemu() { kill "${pid[qemu]}"; wait "${pid[qemu]}"; unset "pid[qemu]"; rm -f "$work/qemu.sock"; }
qemu_is_refused() { ! starts_qemu "$1" && grep -q 'Failed to get .* lock' "$work/qemu.out"; }

# What ends at once, if its disk is to be had.
starts() {
	bare once hello 1 "$(disk disk0 disk.img "$1")"
	timeout 60 "$SLUICE" run "$work/once.dts" </dev/null >"$work/once.out" 2>"$work/err"
}
is_refused() { ! starts "$1" && cat "$work/err" && grep -q "disk.img is in use by another process" "$work/err"; }

declare -A property=([on]='read-only;' [off]='')
says=([0]=refuses [1]=takes)
for mine in on off; do
	tree $mine 1 6.12 "$(disk disk0 disk.img "${property[$mine]}")"
	for theirs in on off; do
		share=0 sluice=is_refused other=qemu_is_refused
		[ $mine$theirs != onon ] || share=1 sluice=starts other=starts_qemu
		check "QEMU has it, read-only $theirs" starts_qemu $theirs
		check "Sluice, read-only $mine, ${says[share]} it" $sluice "${property[$mine]}"
		ends_qemu
		run $mine
		check "Sluice has it, read-only $mine" booted $mine
		check "QEMU, read-only $theirs, ${says[share]} it" $other $theirs
		[ $share = 0 ] || check "and Sluice, a third, takes it" starts 'read-only;'
		ends_qemu
		send $mine 'poweroff -f'
		check "which is let go" ended $mine 60 0
	done
done
done_testing
