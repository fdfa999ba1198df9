#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 3072
# all
# timeout: 600
# with: guest-io
# fio writes blocks of many sizes all over a guest's disks, several at a time from each of two jobs, and reads all of them
# again by their checksums: past the host's cache and through it, while the guest's memory grows and shrinks; and it finds
# the one byte that was changed behind its back. Then by threads, as on a host that forbids io_uring.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/blk.bash"
. "$(dirname "$0")/guest-io.bash"

# verified DEVICE [OPTION...]: two jobs, each with its half of the disk.
verified() {
	guest "$machine" 300 "$io/fio --minimal --thread --name=x --numjobs=2 --filename=/dev/$1 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
		--size=8m --offset_increment=8m --bsrange=512-256k --bs_unaligned=0 --blockalign=512 --verify=crc32c --verify_fatal=1 ${*:2} >/tmp/fio && [ -s /tmp/fio ]"
}
machine() {
	machine=$1
	truncate -s 16M "$work/cached.img" "$work/direct.img"
	tree "$machine" 2 6.12 "$(usual_window) aliases { virtio0 = \"/cached\"; virtio1 = \"/direct\"; virtio2 = \"/io\"; };
		$(disk cached cached.img) $(disk direct direct.img 'direct;') $(disk io "$io_disk" 'read-only;')"
	run "$machine"
	check "$machine: boots" booted "$machine"
	check "$machine: has fio" mounts_io "$machine" vdc
	check "$machine: through the host's cache" verified vda
	check "$machine: past the host's cache" verified vdb --bsrange=4k-256k --blockalign=4k --fsync=16 # which wants whole pages
	check "$machine: grows" "$SLUICE" mem "$machine" 512MiB
	check "$machine: with more memory" verified vda
	check "$machine: shrinks" "$SLUICE" mem "$machine" 0
}
finish() {
	send "$machine" 'poweroff -f'
	check "$machine: powers off" ended "$machine" 60 0
}

machine uring
# What was written is there to be read again, and one wrong byte is found.
check "all is there" verified vda --verify_only
printf '\xff' | dd of="$work/cached.img" bs=1 seek=$((4 << 20 | 100)) conv=notrunc 2>"$work/dd"
check "finds a wrong byte" eval '! verified vda --verify_only'
finish
if [ -e /proc/sys/kernel/io_uring_disabled ]; then
	echo 2 >/proc/sys/kernel/io_uring_disabled
	machine threads
	check "by threads" grep 'by threads, not io_uring' "$work/threads.err"
	finish
fi
done_testing
