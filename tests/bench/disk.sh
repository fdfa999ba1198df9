#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fio in a Linux guest, past the guest's cache, sixteen requests at a time, on a virtio-blk disk of a file in the host's
# memory (so that the monitor is measured and no disk): what it gets done, and the monitor's CPU time and exits for each
# operation. On Sluice and on QEMU (virtio-blk-pci, aio=io_uring) in turn, both by the host's page cache with flushes
# passed on; medians of $ROUNDS (3).

. "$TOP/tests/bench/io.bash"
needs "$io"

mib=256 ops=${OPS:-30000}
for name in sluice qemu; do head -c ${mib}M /dev/zero >"$work/$name.img"; done
tree sluice 1 6.12 "aliases { virtio0 = \"/data\"; virtio1 = \"/io\"; };
	data { compatible = \"sluice,virtio-blk\"; file = \"sluice.img\"; };
	io { compatible = \"sluice,virtio-blk\"; file = \"$io_disk\"; read-only; };"
run sluice
run_qemu qemu -smp 1 -m 512M -kernel "$GUESTS/6.12/vmlinuz" -initrd "$GUESTS/6.12/initramfs" \
	-append "console=ttyAMA0 quiet guest.plain" \
	-drive "if=none,id=data,format=raw,cache=writeback,aio=io_uring,file=$work/qemu.img" -device virtio-blk-pci,drive=data \
	-drive "if=none,id=io,format=raw,readonly=on,file.locking=off,file=$io_disk" -device virtio-blk-pci,drive=io
for name in sluice qemu; do
	must booted $name
	must own_group $name
	must mounts_io $name vdb
	must guest $name 120 "[ \$(cat /sys/block/vda/size) = $((mib << 11)) ]"
done

fio="$io/fio --minimal --thread --name=x --filename=/dev/vda --direct=1 --ioengine=libaio --iodepth=16 --gtod_reduce=1"
# The running time in ms, of reads and of writes, is in the fields 9 and 50.
ran_ms() { cut -d ';' -f 9,50 <<<"$1" | awk -F ';' '{ print $1 + $2 }'; }
per_second() { echo $((now * 1000 / $(ran_ms "$1"))); }
for name in sluice qemu; do must spend $name "$fio --bs=4k --rw=read --io_size=4k"; done # its pages are there from now on
# job RW BLOCK OPERATIONS
job() {
	now=$3
	measure "$1" "$3" "$fio --bs=$2 --rw=$1 --io_size=$(($3 * ${2%k}))k" "$fio --bs=$2 --rw=$1 --io_size=$2" per_second
}
for ((round = 0; round < rounds; round++)); do
	job randread 4k "$ops"
	job randwrite 4k "$ops"
	job read 1024k $((8 * mib))
	job write 1024k $((2 * mib))
done
heading 'fio in a guest'
row randread '4 KiB, random, read' 'a second'
row randwrite '4 KiB, random, written' 'a second'
row read '1 MiB, in a row, read' 'a second'
row write '1 MiB, in a row, written' 'a second'
power_off
