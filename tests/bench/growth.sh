#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Linux guest takes 3 GiB and gives them back, on Sluice and on QEMU in turn, each asked and watched over its QMP socket
# in the same way. Prints a table of the times, of how long the monitor's own thread ran and what it called, and of how long the guest's slowest
# CPU stood still: medians of $ROUNDS (3) rounds each. Calls and standstills are taken in rounds of their own, which
# disturb no time.

. "$TOP/tests/bench/beside.bash"

rounds=${ROUNDS:-3} much=$((3 << 30))

# ask WORDS: an answer of the QMP socket that is open, events left out.
ask() {
	echo "$1" >&"${QMP[1]}"
	while read -r -t 60 answer <&"${QMP[0]}"; do
		[[ $answer != *'"return"'* ]] || return 0
		[[ $answer != *'"error"'* ]] || return 1
	done
	return 1
}

# resize NAME BYTES: asks for it, waits until the device has it, and leaves the time in $took_ms.
resize() {
	local device='"path":"/machine/peripheral/vmem0","property"' start end=$((SECONDS + 180))
	coproc QMP { exec socat - "UNIX-CONNECT:$(socket "$1")"; }
	ask '{"execute":"qmp_capabilities"}' || return
	start=${EPOCHREALTIME/./}
	ask "{\"execute\":\"qom-set\",\"arguments\":{$device:\"requested-size\",\"value\":$2}}" || return
	while ask "{\"execute\":\"qom-get\",\"arguments\":{$device:\"size\"}}" && [[ ! $answer =~ \"return\":\ *$2\} ]]; do
		[ $SECONDS -lt $end ] || return
		# Not bash's read with a short timeout: where that is over before the read begins, it waits for ever.
		sleep 0.005
	done
	took_ms=$(((${EPOCHREALTIME/./} - start + 500) / 1000))
	kill "$QMP_PID"
	wait "$QMP_PID" 2>/dev/null
	[[ $answer == *$2* ]] || { echo "at last: $answer"; false; }
}

# with HOW NAME BYTES: what is measured beside a resize, in $got. HOW: times, cpu, calls or gaps.
with_times() { resize "$@" && got=$took_ms; }
# How long the thread ran that serves the guest's requests, which is the main one of both, in us.
ran() { awk '{ print int($1 / 1000) }' "/proc/${pid[$1]}/task/${pid[$1]}/schedstat"; }
with_cpu() {
	local before
	before=$(ran "$1")
	resize "$@" && got=$(($(ran "$1") - before))
}
with_gaps() {
	must guest "$1" 60 'guest-tool gaps start'
	resize "$@" || return
	got=$(guest "$1" 60 'guest-tool gaps stop' | sort -n | tail -n 1)
}
with_calls() {
	local tracer rc=0
	rm -f "$work/calls"
	strace -f -qq -o "$work/calls" -e trace=ioctl,mmap,mprotect,madvise,fallocate -p "${pid[$1]}" 2>"$work/strace.err" &
	tracer=$!
	until_line 60 . "$work/calls"
	resize "$@" || rc=1
	kill "$tracer"
	wait "$tracer" 2>/dev/null
	got=$(awk '/ioctl\(.*KVM_SET_USER_MEMORY_REGION/ { slots++ } /ioctl\(.*KVM_RUN/ { runs++ } /(mmap|mprotect|madvise|fallocate)\(/ { maps++ }
		END { printf "%d + %d, %d runs", slots, maps, runs }' "$work/calls")
	return $rc
}

declare -A results=()
both() {
	local name
	for name in sluice qemu; do
		must "with_$1" $name $much
		results[$name-$1-plug]+=" $got"
		must "with_$1" $name 0
		results[$name-$1-unplug]+=" $got"
		echo "$name $1:${results[$name-$1-plug]} /${results[$name-$1-unplug]}" >&2
	done
}

tree sluice 2 6.12 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0>;')" no-steal-acc
run sluice
# shellcheck disable=SC2046
run_qemu qemu -smp 2 -m 512M,maxmem=4608M,slots=1 $(qemu_window on 0) -kernel "$GUESTS/6.12/vmlinuz" -initrd "$GUESTS/6.12/initramfs" \
	-append "console=ttyAMA0 quiet guest.plain memhp_default_state=online_movable no-steal-acc"
for name in sluice qemu; do must booted $name; done
for ((round = 0; round < rounds; round++)); do both times; done
for ((round = 0; round < rounds; round++)); do both cpu; done
for ((round = 0; round < rounds; round++)); do
	both gaps
	for name in sluice qemu; do
		must guest $name 60 'guest-tool gaps start'
		sleep 2
		results[$name-idle]+=" $(guest $name 60 'guest-tool gaps stop' | sort -n | tail -n 1)"
	done
done
both calls

host_line
printf '\n| 3 GiB in a Linux guest | Sluice | QEMU, dynamic-memslots=on |\n|---|---|---|\n'
# row LABEL KEY UNIT
row() {
	# shellcheck disable=SC2086
	printf '| %s | %s | %s |\n' "$1" "$(median ${results[sluice-$2]}) $3" "$(median ${results[qemu-$2]}) $3"
}
row 'plugged in' times-plug ms
row 'unplugged in' times-unplug ms
row 'the thread that serves the guest ran, to plug' cpu-plug us
row 'to unplug' cpu-unplug us
row 'the slowest vCPU stood still, at most, while it plugs' gaps-plug us
row 'while it unplugs' gaps-unplug us
row 'while nothing happens, for 2 s' idle us
calls() { printf '| %s |%s |%s |\n' "$1" "${results[sluice-$2]}" "${results[qemu-$2]}"; }
calls 'calls to plug: changes of slots + changes of mappings, KVM_RUN' calls-plug
calls 'calls to unplug' calls-unplug
for name in sluice qemu; do send $name 'poweroff -f'; done
for name in sluice qemu; do must ended $name 60 0; done
