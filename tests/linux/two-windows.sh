#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 25
# Two windows on one machine, grown and shrunk independently; `sluice mem` and `sluice map` of one or both.

. "$(dirname "$0")/lib.bash"

MiB=$((1 << 20))
tree two 2 6.12 "
	$(regions "$(window_region vmem0 '0x1 0x0' '0x1 0x0' 100000000)" \
		"$(window_region vmem1 '0x2 0x0' '0x0 0x80000000' 200000000)")
	$(window_device vmem0)
	$(window_device vmem1 'block-size = /bits/ 64 <0x400000>; requested-size = /bits/ 64 <0x8000000>;')"

# holds MIB0 MIB1: that much is requested, plugged, exposed and in open slots, of vmem0 and vmem1.
holds() {
	map_json two >"$work/map" || return
	jq -e --argjson a $(($1 * MiB)) --argjson b $(($2 * MiB)) '
		def held(n): .requested == n and .plugged == n and .exposed == n and ([."open-slots"[].plugged] | add // 0) == n;
		.[0].id == "vmem0" and .[1].id == "vmem1" and (.[0] | held($a)) and (.[1] | held($b))' "$work/map" >"$work/verdict" ||
		{ cat "$work/map"; return 1; }
}
# refuses MESSAGE ARGUMENT...: `sluice ARGUMENT...` gives one line with MESSAGE on standard error, and exit 1.
refuses() {
	local message=$1 rc=0
	shift
	"$SLUICE" "$@" >"$work/out" 2>"$work/err" || rc=$?
	[ $rc -eq 1 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$message" "$work/err" ||
		{ echo "status $rc"; cat "$work/out" "$work/err"; return 1; }
}

run two
check "boots" booted two
check "first-request" until_true 60 holds 0 128
check "grows-0" "$SLUICE" mem two/vmem0 512MiB
check "only-0" holds 512 128
check "grows-1" "$SLUICE" mem two/vmem1 256MiB
check "both" holds 512 256
check "guest-uses-both" eval "[ \$(guest two 60 'guest-tool memtotal') -gt 1150 ] && guest two 60 'guest-tool fill 900 7 && guest-tool verify && guest-tool release'"
check "shrinks-0" shrinks two/vmem0
check "only-1" holds 0 256
# Both at once: neither waits for the other.
"$SLUICE" mem two/vmem0 256MiB >"$work/mem0" 2>&1 &
mem0=$!
check "shrinks-1-meanwhile" shrinks two/vmem1
check "grows-0-meanwhile" wait $mem0
check "crossed" holds 256 0

check "mem-shows-both" eval "$SLUICE mem two | tee $work/list | grep '^vmem0 .*256 MiB *256 MiB *1.*GiB *4 GiB *2 MiB' && grep '^vmem1 .*0 *0 *1.25 GiB *2 GiB *4 MiB' $work/list || { cat $work/list; false; }"
check "map-shows-both" eval "$SLUICE map two | tee $work/list | grep -c '^vmem[01]$' | grep -x 2 || { cat $work/list; false; }"
check "map-shows-one" eval "$SLUICE map two/vmem1 | tee $work/list | grep -x vmem1 && ! grep -x vmem0 $work/list"
check "which-one" refuses 'several devices: say which, as NAME/NODE; the machine has: vmem0, vmem1' mem two 1GiB
check "no-such-one" refuses 'vmem2: no such device; the machine has: vmem0, vmem1' mem two/vmem2 1GiB
check "no-such-one-to-map" refuses 'vmem2: no virtio-mem device of that name' map two/vmem2
check "no-such-machine" refuses 'no machine runs there; running: two' mem three 1GiB
check "beyond-its-window" refuses 'vmem1: 3 GiB is more than its window holds, 2 GiB' mem two/vmem1 3GiB
check "no-multiple-of-its-block" refuses 'vmem1: 2 MiB is no multiple of its block, 4 MiB' mem two/vmem1 2MiB
check "nothing-moved" holds 256 0
send two 'poweroff -f'
check "powers-off" ended two 60 0
done_testing
