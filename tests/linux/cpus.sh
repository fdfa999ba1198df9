#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpu: max,pauth-impdef=on
# seconds: 30
# What a guest's CPUs have of the host's, each switched on and off in the tree; the clock that it is given; the interrupt
# controllers; a thread's host CPUs and priority.

. "$(dirname "$0")/lib.bash"

ram='0x0 0x10000000'
options() { echo "options { sluice { compatible = \"sluice,options\"; $1 }; };"; }
flag() { guest "$1" 60 "grep -qw $2 /proc/cpuinfo"; }
says() { guest "$1" 60 "dmesg | grep -q '$2'"; }

# All that this host has, by itself.
tree all 2 6.12
sed -i 's/cpu@0 { /cpu-map { cluster0 { core0 { cpu = <\&c0>; }; core1 { cpu = <\&c1>; }; }; };\
	c0: &capacity-dmips-mhz = <1024>; /
	s/cpu@1 { /c1: &capacity-dmips-mhz = <512>; sluice,host-cpus = <1>; sluice,rt-priority = <7>; /' "$work/all.dts"
copy_program "$(command -v systemd-detect-virt)" "$work/files"
with_files all 6.12 "$work/files"
run all
check "boots" booted all
for feature in sve paca pacg; do check "has-$feature" flag all $feature; done
check "has-pmu" says all 'PMU.*counters available'
check "has-stolen-time" says all 'using stolen time PV'
check "stolen-time-counts" guest all 60 '[ $(awk "/^cpu / { print NF }" /proc/stat) -ge 9 ]'
check "gicv3" says all 'GICv3: 256 SPIs implemented'
check "has-the-tree's-capacities" guest all 60 'cd /sys/devices/system/cpu; [ "$(cat cpu0/cpu_capacity cpu1/cpu_capacity | tr "\n" " ")" = "1024 512 " ]'
check "systemd-knows-kvm" guest all 60 '[ "$(systemd-detect-virt)" = kvm ]'
# The guest's own clock is far off; the one that it is given is between two readings of the host.
host_time() {
	local before name at
	guest all 60 'date -s "2001-02-03 04:05:06"' || return 1
	before=$(date +%s)
	read -r at name < <(guest all 60 'guest-tool ptp')
	echo "$before $name $at $(date +%s)"
	[ "$name" = "KVM virtual PTP" ] && [ "$before" -le "$at" ] && [ "$at" -le "$(date +%s)" ]
}
check "ptp-clock-is-the-host's" host_time
placed() {
	local task
	for task in "/proc/${pid[all]}/task"/*; do
		[ "$(awk '{ print $18 }' "$task/stat")" != -8 ] || {
			grep -qx 'Cpus_allowed_list:	1' "$task/status" || { grep Cpus_allowed "$task/status"; return 1; }
			return 0
		}
	done
	awk '{ print $1, $2, $18 }' "/proc/${pid[all]}/task"/*/stat
	return 1
}
check "thread-has-its-priority-and-cpu" placed
send all 'reboot -f'
check "boots-again" booted all 2
check "still-has-sve" flag all sve
check "still-has-pmu" says all 'PMU.*counters available'
check "still-has-stolen-time" says all 'using stolen time PV'
send all 'poweroff -f'
check "powers-off" ended all 60 0

# EL2 is not among it, and the refusal says what would help.
if ! grep -q kvm-arm.mode=nested /proc/cmdline; then
	tree nested 1 6.12
	sed -i 's/cpus { /&sluice,nested; /' "$work/nested.dts"
	check "nested-is-refused" eval '! "$SLUICE" check "$work/nested.dts" >"$work/nested.out" 2>&1'
	check "nested-refusal-names-the-cure" grep -A 1 'this host gives guests no EL2' "$work/nested.out"
	check "nested-needs-a-kernel-argument" grep 'kvm-arm.mode=nested' "$work/nested.out"
fi

# None of it.
tree none_of_it 1 6.12 "$(options 'gic = "gicv3-its";')"
sed -i 's/cpus { /&sluice,pmu = "off"; sluice,sve = "off"; sluice,pointer-authentication = "off"; sluice,stolen-time = "off"; /' \
	"$work/none_of_it.dts"
run none_of_it
check "off-boots" booted none_of_it
for feature in sve paca pacg; do check "off-has-no-$feature" eval "! flag none_of_it $feature"; done
check "off-has-no-pmu" eval "! says none_of_it 'PMU.*counters available'"
check "off-has-no-stolen-time" eval "! says none_of_it 'using stolen time PV'"
check "its" says none_of_it 'ITS@0x'
send none_of_it 'poweroff -f'
check "off-powers-off" ended none_of_it 60 0

# More CPUs than the first region of redistributors has room for; the guest starts on the first of them, on each host.
ram='0x0 0x4000000'
bare many hello 130
forward many 120
check "many-power-off" [ "$status" -eq 0 ]
ram='0x0 0x10000000'

# What the host has not is refused, by name.
tree refused 1 6.12 "$(options 'gic = "gicv2";')"
refused() { ! "$SLUICE" check "$work/refused.dts" 2>"$work/refused.err" && grep "options/sluice: gic: KVM on this host has no gicv2; it has gicv3 gicv3-its" "$work/refused.err"; }
check "refuses-a-gicv2" refused
done_testing
