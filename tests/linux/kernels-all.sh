#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: virt-gicv3 virt-gicv2 host-16k
# cpus: 2
# seconds: 300
# timeout: 7200
# with: packed-kernels
# all
# Debian's kernel in every container that Linux's own build and systemd's ukify make boots to a shell, and again after a
# reset. A host with GICv2 or pages of 16K boots one of each sort.

. "$(dirname "$0")/lib.bash"

packed=/opt/packed-kernels
# boots NAME CHANGE KIND: a kernel of that KIND, with what `sed` CHANGEs in its tree.
boots() {
	local name=${1//./_}
	tree "$name" 1 6.12
	sed -i "s/vmlinuz-6.12/$1/" "$work/$name.dts"
	ln -sf "$packed/$1" "$work/$1"
	[ -z "${2:-}" ] || sed -i "$2" "$work/$name.dts"
	check "$1-is-checked" eval "$SLUICE check $work/$name.dts >$work/out && grep 'kernel.*/$1 ($3), entered at ' $work/out || { cat $work/out; false; }"
	run "$name"
	check "$1-boots" booted "$name"
	check "$1-has-its-command-line" guest "$name" 60 'grep guest.plain /proc/cmdline'
	send "$name" 'reboot -f'
	check "$1-boots-again" booted "$name" 2
	send "$name" 'poweroff -f'
	check "$1-powers-off" ended "$name" 60 0
}

all='Image.gzip Image.zstd22 Image.xzkern Image.lzma Image.lz4 zboot.gzip zboot.zstd22 zboot.xzkern zboot.lzma zboot.lz4 uki uki.zboot'
if ! grep -q "KernelPageSize: *4 kB" /proc/self/smaps || grep -q a15-gic /proc/device-tree/intc*/compatible; then
	all='Image.zstd22 zboot.xzkern uki'
fi
for kernel in $all; do
	case $kernel in
	Image.*) kind='compressed arm64 Image' ;;
	zboot.*) kind='EFI zboot kernel' ;;
	uki*) kind='PE bundle' ;;
	esac
	boots "$kernel" '' "$kind"
done
# With nothing but the bundle: its own initrd and command line.
boots uki.initrd '/sluice,initrd/d; /bootargs/d' 'PE bundle'
done_testing
