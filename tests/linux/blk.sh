#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 65
# A Linux guest's disks: files and a block device, past the host's cache or not, one that cannot be written; what the
# guest finds of them, reads and writes, flushes, discards and zeroes, while its memory grows and shrinks; and what is
# refused, with the words of it. Then the same by threads, as on a host that forbids io_uring.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/blk.bash"

in_guest() { guest "$machine" 60 "$1"; }
# kib FILE: what it takes of the host's memory, where these lie.
kib() { du -k "$work/$1" | cut -f1; }

truncate -s 64M "$work/device.img"
loop=$(losetup -f)
losetup "$loop" "$work/device.img"

# What the guest finds.
found() {
	check "$machine: in the order of aliases" in_guest '[ "$(cat /sys/block/vd?/size | tr "\n" " ")" = "131072 131072 131072 16384 " ]'
	check "$machine: serial" in_guest '[ "$(cat /sys/block/vda/serial)" = "the root, 20 letters" ] && [ "$(cat /sys/block/vdb/serial)" = aside ]'
	check "$machine: queues" in_guest '[ $(ls /sys/block/vda/mq | wc -l) = 2 ] && [ $(ls /sys/block/vdb/mq | wc -l) = 1 ]'
	check "$machine: has a cache to flush" in_guest 'grep -q "write back" /sys/block/vda/queue/write_cache'
	check "$machine: discards where it may" in_guest '[ $(cat /sys/block/vda/queue/discard_max_bytes) -gt 0 ] && [ $(cat /sys/block/vdb/queue/discard_max_bytes) = 0 ]'
	check "$machine: reads what the file has" eval "in_guest 'md5sum </dev/vdd' | grep -F \"\$(md5sum <$work/given.img)\""
	check "$machine: blocks that are no matter of the host's" in_guest '[ "$(cat /sys/block/vd?/queue/logical_block_size | tr "\n" " ")" = "512 512 512 512 " ] && [ "$(cat /sys/block/vd?/queue/physical_block_size | tr "\n" " ")" = "4096 4096 4096 4096 " ]'
	check "$machine: writes less than a block of the host's" in_guest 'dd if=/dev/vdd of=/dev/vdb bs=512 count=5 seek=3 conv=fsync oflag=direct'
	check "$machine: which leaves the rest" cmp -s <(head -c 1536 /dev/zero; head -c 2560 "$work/given.img"; head -c 4096 /dev/zero) <(head -c 8192 "$work/aside.img")
	check "$machine: read-only" in_guest '[ $(cat /sys/block/vdd/ro) = 1 ] && ! dd if=/dev/zero of=/dev/vdd bs=4k count=1'
}

# Reads, writes and flushes.
used() {
	# A flush brings to the disk what the host has only in its cache: behind the loop device, whose cache is another.
	check "$machine: writes" in_guest 'guest-tool blk /dev/vdc 20 1 && dd if=/dev/vdd of=/dev/vdc bs=1M conv=fsync'
	check "$machine: what is flushed is on the disk" cmp -s -n $((8 << 20)) "$work/device.img" "$work/given.img"

	# While memory comes and goes.
	in_guest '{ guest-tool blk /dev/vda 100 2 >/tmp/a; echo $? >>/tmp/a; } & { guest-tool blk /dev/vdb 100 3 >/tmp/b; echo $? >>/tmp/b; } & :'
	for size in 512MiB 0 256MiB; do check "$machine: memory $size meanwhile" "$SLUICE" mem "$machine" $size; done
	check "$machine: all as it was written" in_guest 'wait; cat /tmp/a /tmp/b; [ $(cat /tmp/a /tmp/b | grep -cx 0) = 2 ]'
}

# A file system, which outlives a reboot, and frees what is discarded.
outlived() {
	check "$machine: makes a file system" in_guest 'mke2fs -F -b 4096 /dev/vda && mkdir -p /mnt && mount -t ext4 /dev/vda /mnt'
	check "$machine: fills it" in_guest 'dd if=/dev/urandom of=/mnt/file bs=1M count=24 && md5sum </mnt/file >/mnt/sum && umount /mnt'
	full=$(kib root.img)
	check "$machine: keeps it over a reboot" eval 'send "$machine" "reboot -f"; booted "$machine" 2 && in_guest "mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && [ \"\$(md5sum </mnt/file)\" = \"\$(cat /mnt/sum)\" ]"'
	check "$machine: discards" in_guest 'rm /mnt/file && sync && fstrim /mnt && umount /mnt'
	check "$machine: the file shrinks" eval "[ $(kib root.img) -lt $((full - 20 * 1024)) ] || { echo $full, then $(kib root.img) KiB; false; }"
}

# Disks grow: by their owner's word, and after their files.
grown() {
	check "$machine: a disk grows" eval "'$SLUICE' resize $machine zroot 80MiB && [ \$(stat -c %s $work/root.img) = $((80 << 20)) ]"
	truncate -s 72M "$work/aside.img"
	check "$machine: and one after its file" eval "'$SLUICE' resize $machine aside | grep -x 'aside: 72 MiB (64 MiB before)'"
	check "$machine: the guest sees it" eval "until_true 60 in_guest '[ \"\$(cat /sys/block/vd?/size | tr \"\\n\" \" \")\" = \"163840 147456 131072 16384 \" ]'"
	check "$machine: and uses it" in_guest 'dd if=/dev/urandom of=/dev/vda bs=1M seek=72 count=8 conv=fsync'
	check "$machine: a disk does not shrink" eval "! '$SLUICE' resize $machine zroot 64MiB 2>$work/err && grep 'does not shrink' $work/err"
}

# machine NAME PART...: parts of it on a new machine.
machine() {
	local part
	machine=$1
	shift
	rm -f "$work"/{root,aside,given}.img
	truncate -s 64M "$work/root.img"
	truncate -s 64M "$work/aside.img"
	head -c 8M /dev/urandom >"$work/given.img"
	head -c 64M /dev/zero >"$work/device.img"
	ram='0x0 0x10000000'
	tree "$machine" 2 6.12 "$(usual_window 'requested-size = /bits/ 64 <0x8000000>;')
		aliases { virtio0 = \"/zroot\"; virtio1 = \"/aside\"; virtio2 = \"/device\"; };
		$(disk zroot root.img 'serial = "the root, 20 letters";')
		$(disk aside aside.img "queues = <1>; discard = \"off\"; $direct")
		$(disk device "$loop")
		$(disk given given.img 'read-only;')"
	run "$machine"
	check "$machine: boots" booted "$machine"
	for part in "$@"; do $part; done
	send "$machine" 'poweroff -f'
	check "$machine: powers off" ended "$machine" 60 0
}

# O_DIRECT where the host's file system of these files has it (tmpfs since 6.6).
direct='direct;'
dd if=/dev/zero of="$work/try" bs=4k count=1 oflag=direct 2>"$work/direct" || direct=''
machine uring found used outlived grown
if [ -e /proc/sys/kernel/io_uring_disabled ]; then
	check "not by threads" eval "! grep 'by threads' $work/uring.err"
	check "the doctor says by io_uring" eval "'$SLUICE' doctor | grep 'io_uring'"
	echo 2 >/proc/sys/kernel/io_uring_disabled
	machine threads used
	check "by threads" grep 'by threads, not io_uring: Operation not permitted' "$work/threads.err"
	check "the doctor says why not" eval "'$SLUICE' doctor | grep -A1 'no io_uring' | grep 'kernel.io_uring_disabled=2'"
fi

# What is refused, and how.
refuses() { # WORDS PROPERTIES
	tree refused 1 6.12 "refused { compatible = \"sluice,virtio-blk\"; $2 };"
	! "$SLUICE" check "$work/refused.dts" >"$work/refused.out" 2>&1 && grep -F "/refused: $1" "$work/refused.out"
}
printf 'QFI\xfb' >"$work/image.qcow2"
truncate -s 1000 "$work/odd.img"
: >"$work/empty.img"
check "refuses: no file" refuses "file: missing" ''
check "refuses: a file that is not there" refuses "file: there is no $work/nothing.img" 'file = "nothing.img";'
check "refuses: qcow2, which the guest may have written" refuses "file: $work/image.qcow2 begins as qcow2 images do" 'file = "image.qcow2";'
check "refuses: with no command to convert it" eval '! grep -e qemu-img -e \` "$work/refused.out"'
check "refuses: no raw disk" eval '! refuses "file: $work/image.qcow2 begins" "file = \"image.qcow2\"; format = \"raw\";"'
check "refuses: an odd size" refuses "file: $work/odd.img has 1000 bytes, not a multiple of 512" 'file = "odd.img";'
check "refuses: an empty file" refuses "file: $work/empty.img is empty" 'file = "empty.img";'
check "refuses: a folder" refuses "file: $work is a folder" "file = \"$work\";"
check "refuses: a long serial number" refuses 'serial: "21 letters, too many!" has 21 bytes' 'file = "root.img"; serial = "21 letters, too many!";'
check "refuses: nine queues" refuses 'queues: 9 (0x9) is out of range' 'file = "root.img"; queues = <9>;'

# One writer a file, and none beside a mount.
ram='0x0 0x4000000'
bare first disk 1 "$(disk disk0 root.img)" flush=1
bare second disk 1 "$(disk disk0 root.img)" flush=1
run first
check "the first has it" until_line 60 '^flushed 1' "$work/first.out"
check "the second is refused" eval "! '$SLUICE' run $work/second.dts </dev/null >$work/second.out 2>&1 && grep '/disk0: file: $work/root.img is in use by another process' $work/second.out"
check "but is a good machine" "$SLUICE" check "$work/second.dts"
kill -9 "${pid[first]}"
losetup -d "$loop"
done_testing
