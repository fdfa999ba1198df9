#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: nested
# memory: 3072
# seconds: 105
# A guest whose CPUs have EL2 is a host itself. A bare-metal one has a guest of its own that strays, behind both stages of
# tables, and is logged with its address. A Linux has /dev/kvm, and Sluice runs in it; what strays there, in a process
# or the kernel, is logged too; the host forgets its shadow tables once per closed slot; it is reset and powers off.
# nested-all.sh, with $NESTED_ALL=1, has a Linux guest in it too, whose window grows and shrinks.

. "$(dirname "$0")/lib.bash"

outer=7.3 inner=6.12 MiB=$((1 << 20))
nested() { sed -i 's/cpus { /&sluice,nested; /' "$work/$1.dts"; }
logged() { grep -q "^sluice: warning: vCPU [01]: stray .* at $2, vmem0: .*; external abort injected$" "$work/$1.err" || { cat "$work/$1.err"; false; }; }

# Its guest strays twice at each place: into EL1, and into EL2. A walk is logged with its descriptor's address.
ram='0x0 0x4000000'
bare below below 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x200000>; stray-reads = "abort"; slot-size = /bits/ 64 <0x8000000>;')" slot=0x8000000
nested below
forward below 120
check "below: powers off" [ "$status" -eq 0 ]
for at in 0x100200000 0x100200010 0x108000020 0x100200100 0x100200110 0x108000120; do
	check "below: the log names $at" logged below "$at"
done
check "below: these eight" eval "[ \$(grep -c stray $work/below.err) -eq 8 ]"

# What the guest has in /inner: machines for its own guests; and sluice, with its libraries where it searches for them.
files=$work/files
mkdir -p "$files/inner" "$files/bin"
bare basics basics 2 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')" cpus=2
machines=basics
if [ -n "${NESTED_ALL:-}" ]; then
	ram='0x0 0x10000000'
	tree linux 1 "$inner" "$(usual_window)"
	mv "$work/vmlinuz-$inner" "$work/initramfs-$inner" "$files/inner/"
	machines+=' linux'
fi
for m in $machines; do dtc -q -O dtb -o "$files/inner/$m.dtb" "$work/$m.dts"; done
mv "$work/basics" "$files/inner/"
cp "$SLUICE" "$files/bin/sluice"
(cd / && LD_TRACE_LOADED_OBJECTS=1 "$SLUICE" | grep -o '/[^ ]*' | xargs cp -L --parents -t "$files")

# Half a memory block is plugged, and its driver away, so that /dev/mem lets one at the window.
ram='0x0 0x40000000'
tree host 2 "$outer" "$(usual_window 'requested-size = /bits/ 64 <0x4000000>;')" 'iomem=relaxed memhp_default_state=offline'
nested host
sed -i "s/initramfs-$outer/initramfs-host/" "$work/host.dts"
(cat "$work/initramfs-$outer" && cd "$files" && find . | cpio -o -H newc 2>"$work/cpio.log") >"$work/initramfs-host"
rm -r "$files"

run host
check "boots" booted host 1 600
check "is-at-el2" guest host 60 'dmesg | grep "CPU: All CPU(s) started at EL2"'
check "has-kvm" guest host 60 'dmesg | grep "kvm .*VHE mode initialized successfully" && [ -c /dev/kvm ]'
check "both-cpus" guest host 60 '[ $(nproc) = 2 ]'

# A bare-metal guest in it: its own points are this test's.
guest host 600 'sluice run /inner/basics.dtb </dev/null 2>/inner/err; s=$?; cat /inner/err; [ $s = 0 ]' >"$work/basics.out" 2>"$work/basics.err"
check "basics-powers-off" [ $? -eq 0 ]
points basics

if [ -n "${NESTED_ALL:-}" ]; then
	# A Linux guest in it grows and shrinks.
	# total MARK: what the inner guest's MemTotal is now, in MiB.
	total() {
		guest host 120 "echo 'echo $1 \$(guest-tool memtotal)' >&3; until grep -o '$1 [0-9][0-9]*\$' /inner/out; do sleep 1; done" >"$work/total"
		sed -n "s/^$1 //p" "$work/total"
	}
	shows() { guest host 120 "sluice map linux | tee /inner/map; grep -E '^ *$1 of 32 slots open; exposed = plugged = $2\$' /inner/map"; }
	check "linux-starts" guest host 60 'mkfifo /inner/in; sluice run /inner/linux.dtb </inner/in >/inner/out 2>/inner/err & exec 3>/inner/in'
	check "linux-boots" guest host 900 'until grep "guest: Linux" /inner/out; do kill -0 $! && sleep 1 || { cat /inner/out /inner/err; exit 1; }; done'
	before=$(total before)
	check "linux-grows" guest host 300 'sluice mem linux 256MiB'
	check "linux-has-it" shows 2 '256 MiB'
	grown=$(total after)
	check "linux-sees-it" [ $((grown - before)) -eq 256 ]
	check "linux-shrinks" guest host 300 'sluice mem linux 0'
	check "linux-gave-it-back" guest host 120 'until sluice map linux | grep "0 of 32 slots open; exposed = plugged = 0"; do sleep 1; done'
	check "linux-powers-off" guest host 300 "echo 'poweroff -f' >&3; wait \$! && ! grep . /inner/err"
fi

# The host's shadows of the guest's own stage 2, in which a guest has run, go as a whole each time: what Sluice's loop asks
# for is counted. Three slots more, and back.
is() { map_json host | jq -e --argjson n "$1" '.[0] | .plugged == $n and .exposed == $n'; }
trace=/sys/kernel/tracing
[ -e "$trace/trace" ] || mount -t tracefs tracefs "$trace"
# forgot LEAST MOST: so many times since it was last asked.
forgot() {
	local times
	times=$(grep -c flush: "$trace/trace")
	grep flush: "$trace/trace"
	echo >"$trace/trace"
	[ "$times" -ge "$1" ] && [ "$times" -le "$2" ]
}
check "half-a-block-plugged" until_true 120 is $((64 * MiB))
echo 'p:flush kvm_nested_s2_unmap' >"$trace/kprobe_events"
echo "common_pid == ${pid[host]}" >"$trace/events/kprobes/flush/filter"
echo 1 >"$trace/events/kprobes/flush/enable"
# The client is patient: each walk can take seconds here.
check "grows" until_true 120 "$SLUICE" mem host 448MiB
check "growing-forgets-at-the-first-slot-only" forgot 0 1
check "shrinks" until_true 120 "$SLUICE" mem host 64MiB
check "slots-are-closed" until_true 60 eval "map_json host | jq -e '.[0].\"open-slots\" | length == 1'"
check "shrinking-forgets-once-a-slot" forgot 3 4
echo 0 >"$trace/events/kprobes/flush/enable"

# strays STATUS ADDRESS COMMAND: the command ends so, and the log has the address and what is there.
strays() { guest host 120 "$3; [ \$? -eq $1 ]" && until_true 60 logged host "$2" || { cat "$work/host.err"; return 1; }; }
driver=/sys/bus/virtio/drivers/virtio_mem
check "driver-goes" guest host 120 "echo virtio0 >$driver/unbind"
check "kernel-stores-where-plugged" guest host 120 'guest-tool kernel-store 0x103fffff8'
check "process-strays-in-an-open-slot" strays 135 0x104000010 'devmem 0x104000010 32 1'
check "process-strays-in-a-closed-slot" strays 135 0x108000020 'devmem 0x108000020 32 1'
check "kernel-strays-in-an-open-slot" strays 139 0x104000030 'guest-tool kernel-store 0x104000030'
check "only-these" eval "[ \$(grep -c stray $work/host.err) -eq 3 ]"

send host 'reboot -f'
check "boots-again" booted host 2 600
check "still-has-kvm" guest host 60 '[ -c /dev/kvm ]'
check "runs-a-guest-again" guest host 600 'sluice run /inner/basics.dtb </dev/null >/inner/out 2>&1'
send host 'poweroff -f'
check "powers-off" ended host 120 0
done_testing
