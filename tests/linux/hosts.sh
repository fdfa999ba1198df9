#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: virt-gicv2 ampere raspi4 host-16k nested
# memory: 3072
# seconds: 100
# On each kind of host the machine of dts/ that is for it, and what the doctor says of it; the main job, with each guest
# kernel that its CPU has the pages for; stray accesses on eight vCPUs; and the bare-metal guests, the basic one on 32 vCPUs where
# the GIC has as many, the hostile one in a smaller window.
# What the host is, this asks the host itself. hosts-all.sh, with $HOSTS_ALL=1, does all of the main job on eight vCPUs too, and the
# rest on each host that has a GICv2 and not on the Raspberry Pi alone.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

page_kib=$(awk '/^KernelPageSize/ { print $2; exit }' /proc/self/smaps)
doctor=$work/doctor
"$SLUICE" doctor >"$doctor"
gic=$(grep -o 'GICv[23]' "$doctor" | head -n 1)
block=$(((page_kib == 16 ? 32 : 2) << 20))
# A Raspberry Pi 4 as it is emulated has 900 MiB.
grow=1024 fill=700
ram='0x0 0x14000000'
[ "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)" -ge 2048 ] || grow=256 fill=150 ram='0x0 0x10000000'
# The Cortex-A72, which is a Raspberry Pi 4's, has no pages of 16K.
guests=(6.12)
grep -q 'CPU part.*0xd08' /proc/cpuinfo || guests+=(6.12-16k)

exactly() { map_json "$1" | jq -e ".[0] | .plugged == $2 and .exposed == $2" || { map_json "$1"; false; }; }
huge_pages() { awk '/^AnonHugePages/ { n += $2 } END { exit !(n >= '$((block >> 10))') }' "/proc/${pid[$1]}/smaps"; }
# RAM and what is plugged begin at guest addresses that are multiples of a huge page; so they do in the host.
agrees() {
	local range ranges
	ranges=$(awk '/^[0-9a-f]+-/ { range = $1; large = $2 ~ /w/ } /^Size:/ && large && $2 >= 131072 { print range }' "/proc/${pid[$1]}/smaps")
	for range in $ranges; do [ $((16#${range%-*} % block)) -eq 0 ] || { echo "$ranges"; return 1; }; done
	[ -n "$ranges" ]
}
guest_page() { guest "$1" 60 'grep -m 1 KernelPageSize /proc/self/smaps' | grep -qw "$2"; }

# main_job NAME CPUS GUEST-KERNEL
main_job() {
	local name=$1
	tree "$name" "$2" "$3" "$(usual_window)"
	run "$name"
	check "$name: boots" booted "$name"
	check "$name: has $2 vCPUs" eval "[ \"\$(guest $name 60 nproc)\" = $2 ]"
	check "$name: has its pages" guest_page "$name" "$([[ $3 == *16k ]] && echo 16 || echo 4)"
	check "$name: its block is the host's huge page" eval "map_json $name | jq -e '.[0].\"block-size\" == $block'"
	check "$name: grows" "$SLUICE" mem "$name" "${grow}MiB"
	check "$name: exposed is plugged" exactly "$name" $((grow << 20))
	check "$name: host and guest addresses agree" agrees "$name"
	check "$name: uses it" guest "$name" 240 "guest-tool fill $fill 1 && guest-tool verify"
	check "$name: in huge pages" huge_pages "$name"
	check "$name: gives it back" guest "$name" 60 'guest-tool release'
	check "$name: shrinks" shrinks "$name"
	check "$name: nothing is exposed" exactly "$name" 0
	send "$name" 'reboot -f'
	check "$name: boots again" booted "$name" 2
	kill "${pid[$name]}"
	check "$name: powers off" ended "$name" 60 0
}

# strays NAME CPUS GUEST-KERNEL: half a slot is plugged, and its driver taken away, so that /dev/mem lets one at the rest.
# The address that Sluice logs is found in the guest's own tables, which are of its pages.
half=0x4000000 stray=0x10400c008
strays() {
	tree "$1" "$2" "$3" "$(usual_window "requested-size = $(cell64 $half);")" 'iomem=relaxed memhp_default_state=offline maxcpus=1'
	run "$1"
	check "$1: boots" booted "$1"
	# On more CPUs than the host has, most of a boot is waiting for each other.
	check "$1: its vCPUs come on" guest "$1" 120 'for c in /sys/devices/system/cpu/cpu[1-9]*; do echo 1 >$c/online; done'
	check "$1: has $2 vCPUs" eval "[ \"\$(guest $1 60 nproc)\" = $2 ]"
	check "$1: half a slot is plugged" until_true 60 exactly "$1" $((half))
	check "$1: its driver goes" guest "$1" 300 'cd /sys/bus/virtio/drivers/virtio_mem && echo virtio0 >unbind'
	check "$1: a process that stores beyond dies" guest "$1" 300 "devmem $stray 32 1; [ \$? -eq 135 ]"
	check "$1: the log names its address" until_line 60 "stray .* at $stray, vmem0: unplugged block of an open slot" "$work/$1.err"
	send "$1" 'poweroff -f'
	check "$1: powers off" ended "$1" 60 0
}

# own_machine MACHINE LINE: this one of dts/ is for this host, of which the doctor says so.
own_machine() {
	local name=${1#*/} overlay
	cp -r "$TOP/dts" "$work/dts"
	local work=$work/dts/${1%/*}
	cp "$GUESTS/6.12/vmlinuz" "$GUESTS/6.12/initramfs" "$work/"
	sed -i "s/bootargs = \"/&quiet guest.plain $quick /" "$work/$name.dts"
	check "$name: the doctor says: $2" grep -q "^ok  *$2" "$doctor"
	check "$name: is good" "$SLUICE" check "$work/$name.dts"
	# This host has neither sixteen CPUs nor a pool of huge pages.
	for overlay in "$work"/*.dtso; do
		[ -e "$overlay" ] || continue
		! grep -q host-cpus "$overlay" || check "$name: the host has too few CPUs for ${overlay##*/}" eval \
			"! '$SLUICE' check '$work/$name.dts' --overlay '$overlay' 2>'$work/few' && grep 'host-cpus: 15 is no number of a host CPU: these are 0 to 1$' '$work/few'"
		sed -i 's/host-cpus = <\([0-9]*\)>/host-cpus = <(\1 % 2)>/' "$overlay"
		check "$name: is good with ${overlay##*/}" "$SLUICE" check "$work/$name.dts" --overlay "$overlay"
	done
	runs "$name" "$name"
	for overlay in "$work"/*.dtso; do
		[ -n "${HOSTS_ALL:-}" ] && [ -e "$overlay" ] || continue
		! grep -q hugetlb "$overlay" || echo 64 >/proc/sys/vm/nr_hugepages
		runs "$name with ${overlay##*/}" "$name" --overlay "$overlay"
		echo 0 >/proc/sys/vm/nr_hugepages
	done
}
# runs LABEL NAME [OPTION...]
runs() {
	local label=$1 name=$2
	run "$name" "${@:3}"
	check "$label: boots" booted "$name"
	[ "$name" != nested ] || check "$label: is a host" guest "$name" 60 'dmesg | grep "kvm.*initialized"; [ -c /dev/kvm ]'
	check "$label: grows" "$SLUICE" mem "$name" 128MiB
	check "$label: shrinks" shrinks "$name"
	kill "${pid[$name]}"
	check "$label: powers off" ended "$name" 60 0
}
if grep -q kvm-arm.mode=nested /proc/cmdline; then
	own_machine nested/nested 'with nested virtualization'
elif [ "$page_kib" = 16 ]; then
	own_machine raspberry-pi/pi5 '16 KiB pages'
elif grep -qs -e arm,gic-400 -e arm,cortex-a15-gic /proc/device-tree/{,*/,*/*/}compatible; then
	own_machine raspberry-pi/pi4 'GICv2: at most 8 vCPUs'
else
	own_machine ampere/altra GICv3
fi

for guest in "${guests[@]}"; do
	name=linux_${guest//[.-]/_}
	main_job "$name" 1 "$guest"
	[ -z "${HOSTS_ALL:-}" ] || main_job "${name}_many" 8 "$guest"
done
if [ "$gic" = GICv2 ] && [ -z "${HOSTS_ALL:-}" ] && ! grep -qs raspberrypi /proc/device-tree/compatible; then
	done_testing
	exit
fi
strays strays 8 "${guests[-1]}"
if [ "$gic" = GICv2 ]; then
	tree nine 9 6.12
	check "nine vCPUs are refused" eval '! "$SLUICE" check "$work/nine.dts" >"$work/nine" 2>&1'
	check "with the reason" grep 'cpu@8: .*GICv2, which knows CPUs 0 to 7' "$work/nine"
fi

ram='0x0 0x4000000' many=32
[ "$gic" = GICv3 ] || many=8
bare basics basics $many "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')" "cpus=$many"
forward basics 120
check "basics powers off" eval "[ $status -eq 0 ]"
window_bytes=$((512 << 20))
[ "$page_kib" -lt 16 ] || window_bytes=$((1 << 30))
attack hostile $((block * 4)) zero "slot-size = $(cell64 $((block * 4)));"
done_testing
