# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What disk.sh, net.sh and boot.sh share: what a monitor spends while a command runs in its guest, and a table of that beside
# QEMU's. CPU time is that of all the process's threads: vCPUs with the guest in them, the monitor's own, io_uring's
# workers, and vhost's, which are the process's too (since Linux 6.4); and that of its helper: a cgroup's. Of a second number the vCPUs are left out. What
# the same program spends to start and do next to nothing is taken off.

. "$TOP/tests/bench/beside.bash"
. "$TOP/tests/linux/guest-io.bash"

rounds=${ROUNDS:-3}
# needs FOLDER: a disk of toolchain/host --with.
needs() { [ -d "$1" ] || { echo "skipped: no $1, which toolchain/host --with ${1##*/} makes"; exit 77; }; }
[ -d /sys/kernel/debug/kvm ] || mount -t debugfs debugfs /sys/kernel/debug
# own_group NAME: from now on its process and its helper are counted, from 0.
groups=/sys/fs/cgroup/monitors
own_group() {
	local p
	rmdir "$groups/$1" 2>/dev/null || mkdir -p "$groups"
	mkdir "$groups/$1"
	for p in "${pid[$1]}" ${helper[$1]:-}; do echo "$p" >"$groups/$1/cgroup.procs" || return; done
}

# counters NAME: CPU time of the process and of its helper, of its vCPUs (the threads that have run a guest), both in us; and exits.
declare -A helper # the process id of its passt, if it has one
counters() {
	local p=/proc/${pid[$1]} t
	awk '$1 == "usage_usec" { print $2 }' "$groups/$1/cpu.stat"
	for t in "$p"/task/*; do
		[ "$(awk '{ sub(/.*\) /, ""); print $41 }' "$t/stat")" -eq 0 ] || cut -d ' ' -f 1 "$t/schedstat"
	done 2>/dev/null | awk '{ ns += $1 } END { printf "%d\n", ns / 1000 }'
	cat /sys/kernel/debug/kvm/"${pid[$1]}"-*/exits
}

# spend NAME COMMAND: runs it in the guest, leaving its output in $answer and what was spent in the array `spent`.
spend() {
	local before after i
	mapfile -t before < <(counters "$1")
	answer=$(guest "$1" 300 "$2") || { echo "$answer" >&2; return 1; }
	mapfile -t after < <(counters "$1")
	spent=()
	for i in 0 1 2; do spent+=($((after[i] - before[i]))); done
}

# measure WHAT OPERATIONS COMMAND NOTHING SPEED: of each monitor in turn, keeps the speed, which SPEED makes of the
# command's output; and what one operation cost, the command NOTHING taken off.
declare -A speeds cpu beside exits
measure() {
	local name none i
	for name in sluice qemu; do
		must spend $name "$4"
		none=("${spent[@]}")
		must spend $name "$3"
		for i in 0 1 2; do spent[i]=$((spent[i] - none[i])); done
		speeds[$name-$1]+=" $($5 "$answer")"
		cpu[$name-$1]+=" $((spent[0] / $2))"
		beside[$name-$1]+=" $(((spent[0] - spent[1]) / $2))"
		exits[$name-$1]+=" $(awk -v n="${spent[2]}" -v ops="$2" 'BEGIN { printf "%.1f", n / ops }')"
		echo "$name $1:${speeds[$name-$1]} /${cpu[$name-$1]} /${beside[$name-$1]} /${exits[$name-$1]}" >&2
	done
}

# spread WHAT ARRAY: how far the rounds of one monitor lie apart, of the one that varies more.
spread() {
	local -n of=$2
	echo "${of[sluice-$1]};${of[qemu-$1]}" | awk -v RS=';' '
		{ low = high = $1; for (i = 2; i <= NF; i++) { if ($i < low) low = $i; if ($i > high) high = $i } }
		high - low > most { most = high - low }
		END { print most + 0 }'
}

# row WHAT LABEL UNIT: medians, and whether QEMU's speed is reached with less CPU time. What is less than the rounds of one
# monitor lie apart is no difference: "level" where that is so of both.
row() {
	local n line=''
	for n in speeds cpu beside exits; do
		declare -n of=$n
		# shellcheck disable=SC2086
		line+=" $(median ${of[sluice-$1]}) $(median ${of[qemu-$1]})"
	done
	line+=" $(spread "$1" speeds) $(spread "$1" cpu)"
	awk -v label="$2" -v unit="$3" '{
		faster = $1 - $2
		less = $4 - $3
		if (faster < -$9) bar = "slower"
		else if (less < -$10) bar = "more CPU"
		else if (less <= $10 && (faster <= $9 || less <= 0)) bar = "level"
		else bar = $1 < 1.2 * $2 ? "met" : "met, 1.2"
		printf "| %s | %s | %s %s | %.2f | %d | %d | %d | %d | %s | %s | %s |\n", label, $1, $2, unit, $1 / $2, $3, $4, $5, $6, $7, $8, bar
	}' <<<"$line"
}
heading() {
	host_line
	printf '\n| %s | Sluice | QEMU | ratio | CPU time, us: Sluice | QEMU | beside vCPUs: Sluice | QEMU | exits: Sluice | QEMU | QEMU reached with less CPU time |\n' "$1"
	echo '|---|---|---|---|---|---|---|---|---|---|---|'
}

power_off() {
	local name
	for name in sluice qemu; do send $name 'poweroff -f'; done
	for name in sluice qemu; do must ended $name 60 0; done
}
