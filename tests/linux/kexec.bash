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
# From watch_exposed to was_exact it checks again and again whether all that is exposed is plugged, first at once.
probe() {
	map_json "$1" >"$work/$1.probe" || return
	! jq -e 'any(.[]; .plugged != .exposed)' "$work/$1.probe" || cp "$work/$1.probe" "$work/$1.inexact"
}
watch_exposed() {
	rm -f "$work/$1".{probe,inexact}
	probe "$1"
	(while :; do probe "$1"; sleep 1; done) >/dev/null 2>&1 &
	pid[$1-exposed]=$!
}
was_exact() {
	kill "${pid[$1-exposed]}"
	wait "${pid[$1-exposed]}"
	unset "pid[$1-exposed]"
	probe "$1"
	[ -s "$work/$1.probe" ] && [ ! -e "$work/$1.inexact" ] || { cat "$work/$1.inexact"; false; }
}
no_strays() { qmp "$1" '{"execute":"x-sluice-query-strays"}' | jq -e '.return.total == 0'; }
