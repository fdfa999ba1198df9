#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: zeros.sh [MODE...]     of transparent huge pages: always, madvise, never (always and never)
# What a guest costs that reads zeros everywhere, a word of each page of all unplugged blocks of open slots: page tables
# of the process and of stage 2, with and without the host's transparent huge pages, what of them is left when the slots
# have closed, and how long the event loop keeps others waiting meanwhile, while another CPU of the guest reads on. Prints a table; 77 (skipped) where it cannot
# run. In an arm64 host, as root, with the environment of tests/linux.

skip() { echo "skipped: $*"; exit 77; }
thp=/sys/kernel/mm/transparent_hugepage/enabled
[[ $(uname -m) = aarch64 && -w /dev/kvm ]] || skip 'no arm64 host with a usable /dev/kvm'
[ -e "$BUILD/tests/guests/bare/guest-zeros" ] || skip 'no bare-metal guests in this build (meson setup -Dnewlib=)'
[ -w $thp ] || skip 'not root, or a kernel without transparent huge pages'
grep -q SecPageTables /proc/meminfo || skip 'a kernel that does not count stage 2 tables (before 6.1)'

. "$(dirname "$0")/../linux/lib.bash"
. "$(dirname "$0")/../linux/window.bash"

bar=0.4 # percent of the unplugged bytes of open slots, with 4K pages
mode_before=$(sed 's/.*\[\(.*\)\].*/\1/' $thp)
finish() { echo "$mode_before" >$thp; cleanup; }
trap finish EXIT

# wait_for WHAT COMMAND...
wait_for() {
	"${@:2}" && return
	{ echo "zeros: $1: not seen in time"; tail -n 20 "$work/zeros.out" "$work/zeros.err"; } >&2
	exit 1
}
at() { wait_for "the guest: $1" until_said 300 zeros "$1"; }
closed() { qmp zeros '{"execute":"x-sluice-query-slots"}' | jq -e '.return | all(.holders[]; .name != "vmem0" or .open == 0)'; }
# KiB of page tables: the process's, and of stage 2 (all of the host, exact after a refresh).
process_tables() { awk '/^VmPTE/ { print $2 }' "/proc/${pid[zeros]}/status"; }
stage2_tables() { echo 1 >/proc/sys/vm/stat_refresh; awk '/^SecPageTables/ { print $2 }' /proc/meminfo; }
pause=$BUILD/tests/bench/qmp-pause
longest() { sed -n 's/.*longest //p'; }
# pause_over WORDS: the longest answer from now until the guest has said WORDS and all slots are closed.
pause_over() {
	rm -f "$work/pause"
	"$pause" "$(socket zeros)" 600 >"$work/pause" &
	pid[pause]=$!
	wait_for 'the first answer' until_line 60 asking "$work/pause"
	send zeros ''
	at "$1"
	wait_for 'all slots closed' until_true 300 closed
	kill "${pid[pause]}"
	wait "${pid[pause]}" || exit 1
	unset 'pid[pause]'
	longest <"$work/pause"
}

# measure MODE SLOT-MIB SLOTS: a row of the table.
measure() {
	local slot=$(($2 << 20)) size=$(($2 * $3 << 20)) process stage2 idle closing at_once read left resident
	echo "$1" >$thp
	bare zeros zeros 2 "$(regions "$(window_region vmem0 '0x1 0x0' "0x0 $(printf 0x%x "$size")" 100000000)")
		$(window_device vmem0 "block-size = $(cell64 $((2 << 20))); requested-size = $(cell64 $size);
		slot-size = $(cell64 $slot); stray-reads = \"zero\";")" "slot=$slot cpus=2"
	run zeros
	at plugged
	process=$(process_tables) stage2=$(stage2_tables)
	idle=$("$pause" "$(socket zeros)" 3 | longest)
	send zeros ''
	at read
	read=$(sed -n 's/^read: .* read \([0-9]*\).*/\1/p' <(tr -d '\r' <"$work/zeros.out"))
	left=$((process + stage2))
	process=$(($(process_tables) - process)) stage2=$(($(stage2_tables) - stage2))
	resident=$(map_json zeros | jq '.[0].resident')
	closing=$(pause_over unplugged)
	left=$(($(process_tables) + $(stage2_tables) - left))
	send zeros ''
	at 'plugged again'
	send zeros ''
	at 'read again'
	at_once=$(pause_over 'unplugged again')
	send zeros ''
	if ! ended zeros 60 0 >&2 || grep -a '^not ok' "$work/zeros.out" >&2; then exit 1; fi
	awk -v process=$process -v stage2=$stage2 -v read="$read" -v bar=$bar 'BEGIN {
		percent = (process + stage2) * 1024 * 100 / read
		printf "| '"$1"' | '"$3 of $2"' MiB | %d MiB | %.2f MiB | %.2f MiB | %.3f | %s: %s |", read / 1048576,
			process / 1024, stage2 / 1024, percent, bar, percent <= bar ? "met" : "missed" }'
	echo " $resident | $left KiB | $idle ms | $closing ms | $at_once ms |"
}

echo "Host: Linux $(uname -r | sed 's/[-+].*//') on $(uname -m)"
echo
echo "| huge pages | slots open | zeros read | process's tables | stage 2 tables | percent | bar | resident | left when closed \
| longest pause of the event loop: idle | slots close | all at once |"
echo '|---|---|---|---|---|---|---|---|---|---|---|---|'
[ $# -gt 0 ] || set -- always never
for mode; do
	measure "$mode" 128 4
	measure "$mode" 1024 1
done
