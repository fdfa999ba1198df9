# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# How a Linux guest gets a kernel to load into itself: guests have no disks, so it lies in the initramfs. $KEXEC_GUESTS names
# the guest kernels to try, if not all.

# loaded NAME CPUS GUEST [NODES [BOOTARGS]]: as `tree`, the guest's kernel and its usual initramfs being in /next there.
loaded() {
	local next=$work/longer-$1
	tree "$@"
	mkdir -p "$next/next"
	ln "$work/vmlinuz-$3" "$next/next/vmlinuz"
	ln "$work/initramfs-$3" "$next/next/initramfs"
	(cat "$work/initramfs-$3" && cd "$next" && find next | cpio -o -H newc 2>"$work/cpio.log") >"$work/initramfs-$1"
	rm -r "$next"
	sed -i "s/initramfs-$3/initramfs-$1/" "$work/$1.dts"
}

# is NAME BYTES: that much is plugged, and exactly that exposed.
is() { map_json "$1" | jq -e --argjson n "$2" '.[0] | .plugged == $n and .exposed == $n'; }
# While something is waited for, it is looked, every second or so, whether all that is exposed is plugged.
look() {
	sleep 1
	map_json "$looked" >"$work/look"
	! jq -e 'any(.[]; .plugged != .exposed)' "$work/look" || cp "$work/look" "$work/$looked.inexact"
}
watch_exposed() { looked=$1 while_waiting=look; }
was_exact() {
	while_waiting=:
	[ -s "$work/look" ] && [ ! -e "$work/$1.inexact" ] || { cat "$work/$1.inexact"; false; }
}
no_strays() { qmp "$1" '{"execute":"x-sluice-query-strays"}' | jq -e '.return.total == 0'; }
