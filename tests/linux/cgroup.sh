#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# more-hosts: 6.12
# memory: 2048
# cpus: 1
# seconds: 20
# Machines with a window of 1 TiB in a cgroup of less than they plug: at the limit of huge pages the machine stops with
# the cause, at the limit of their reservations a plug is BUSY, and at the limit of memory the kernel kills the process
# and says so. A guest sees no abort in what it has plugged. And one that resets through signals, stops and the freezer.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

groups=/sys/fs/cgroup
[ -e $groups/cgroup.controllers ] || mount -t cgroup2 none $groups
echo '+memory +hugetlb' >$groups/cgroup.subtree_control
block=$((2 << 20)) apart=513 # each block in a slot of its own
ram='0x0 0x4000000'
region="$(regions "$(window_region vmem0 '0x1 0x0' '0x100 0x0' 100000000)")"

# limited NAME PROPERTIES FILE=VALUE...: starts a machine in a new cgroup of these limits.
program=$SLUICE
limited() {
	local name=$1 limit
	bare "$name" limit 1 "$region $(window_device vmem0 "block-size = $(cell64 $block);
		requested-size = $(cell64 $((1 << 40))); $2")" "apart=$apart"
	group=$groups/test-$$-$name
	mkdir "$group"
	for limit in "${@:3}"; do echo "${limit#*=}" >"$group/${limit%%=*}"; done
	printf '#!/bin/bash\necho $$ >%s/cgroup.procs; exec %s "$@"\n' "$group" "$program" >"$work/in-group"
	chmod +x "$work/in-group"
	SLUICE=$work/in-group
	run "$name"
	SLUICE=$program
}
# came_to NAME MIB: the guest's last block in use, and nothing that it did not expect.
came_to() {
	tr -d '\r' <"$work/$1.out" | tee "$work/said" | tail -n 20
	[ "$(grep -c '^has ' "$work/said")" = $(($2 / 2)) ] && ! grep -q '^Bail out\|^not ok' "$work/said"
}
no_stray() { ! grep -i stray "$work/$1.err"; }

echo 100 >/proc/sys/vm/nr_hugepages
limited used 'backing = "hugetlb";' hugetlb.2MB.max=64M
check "used: the machine ends" ended used 90 1
check "used: the guest saw no abort, up to the limit" came_to used 64
check "used: the error names the cause, with the place" grep -q "failed: vCPU 0: the host has no memory for a plugged block of the guest's at $(printf '0x%x' $(((4 << 30) + 32 * apart * block))) in vmem0 (.*a cgroup's limit" "$work/used.err"
check "used: it is no stray access" no_stray used
rmdir "$group"

limited reserved 'backing = "hugetlb";' hugetlb.2MB.rsvd.max=64M
check "reserved: comes to the limit" until_said 90 reserved 'at the limit'
check "reserved: the plug is BUSY" grep -q "at the limit: plugged $((64 << 20)) (2)" "$work/reserved.out"
check "reserved: exposed is plugged, no page elsewhere" exactly_plugged reserved 'at the limit'
check "reserved: the log says why" grep -q 'vmem0: plug of .* refused: .*a cgroup' "$work/reserved.err"
send reserved ''
check "reserved: ends well" ended reserved 60 0
points reserved
rmdir "$group"
echo 0 >/proc/sys/vm/nr_hugepages

# A stop, a signal or words of the process's own are no choice that it has here.
limited memory '' memory.swap.max=0 memory.max=128M
killed=${pid[memory]}
check "memory: the kernel ends the process" ended memory 90 137
check "memory: the cgroup counts it" grep -qx 'oom_kill 1' "$group/memory.events"
check "memory: the kernel's log says so" eval "dmesg | grep -q 'Memory cgroup out of memory: Killed process $killed (sluice)'"
check "memory: the guest saw no abort before" eval '! grep -aq "Bail out\|^not ok" $work/memory.out && grep -aq "^has 64 MiB" $work/memory.out'
rmdir "$group"

# A guest that resets all the time, while signals come, while it is stopped and goes on, and while its cgroup is frozen and
# thawed: KVM_CREATE_VM gives EINTR with any of them pending.
bare storm again 1 "$(usual_window)" storm=1
group=$groups/test-$$-storm
mkdir "$group"
run storm
echo "${pid[storm]}" >"$group/cgroup.procs"
lives() { grep -c '^again' "$work/storm.out"; }
signals() { kill -USR1 "${pid[storm]}"; }
stops() { kill -STOP "${pid[storm]}" && kill -CONT "${pid[storm]}"; }
freezes() { echo 1 >"$group/cgroup.freeze" && echo 0 >"$group/cgroup.freeze"; }
# through HOW: four more lives, with that all the time.
through() {
	local until=$(($(lives) + 4)) end=$((SECONDS + 120)) i
	while [ "$(lives)" -lt $until ]; do
		[ $SECONDS -lt $end ] || return 1
		for ((i = 0; i < 200; i++)); do "$1" || return 1; done
	done
}
check "storm: runs" until_true 60 grep -q '^again' "$work/storm.out"
# What the group cannot give is said beforehand: of the group that asks, and of the machine's.
says_limit() {
	local words=$1
	shift
	(echo "$BASHPID" >"$group/cgroup.procs"; exec "$@") >"$work/limit" 2>&1
	grep -q "$words" "$work/limit" || { cat "$work/limit"; false; }
}
echo 512M >"$group/memory.max"
check "storm: doctor names its limit" says_limit 'memory cgroup, with a limit of 512 MiB' "$SLUICE" doctor
ram='0x0 0x40000000'
bare large again 1
check "large: check names the limit" says_limit 'begins with 1 GiB, and the memory cgroup here allows 512 MiB' "$SLUICE" check "$work/large.dts"
"$SLUICE" mem storm 3GiB --force >"$work/mem.out" 2>&1 &
pid[mem]=$!
check "storm: mem names its limit" until_line 60 'its memory cgroup has room for .* below its limit of 512 MiB' "$work/mem.out"
kill "${pid[mem]}"
unset "pid[mem]"
"$SLUICE" mem storm 0 >"$work/mem.out" 2>&1
echo max >"$group/memory.max"
for how in signals stops freezes; do
	check "storm: lives on through $how" through $how
done
check "storm: the log has no error" eval "! grep -v 'more than 10 times' $work/storm.err"
check "storm: quit ends it" eval 'qmp storm "{\"execute\":\"quit\"}" && ended storm 60 0'
rmdir "$group"
done_testing
