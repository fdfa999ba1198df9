# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Disks in the tests of Linux and bare-metal guests, and what is in them after the process was killed.

disk() { echo "$1 { compatible = \"sluice,virtio-blk\"; file = \"$2\"; ${3:-} };"; }

# holds FILE OUTPUT: each of its 16 blocks is whole, and of a number that belongs there, at least the last that OUTPUT
# says was flushed there. (What the guest said last may not have got out.)
holds() {
	local last
	last=$(tr -d '\r' <"$2" | sed -n 's/^flushed \([0-9]*\)$/\1/p' | tail -n 1)
	od -An -v -tu8 -w4096 "$1" | head -n 16 | awk -v last="${last:-0}" '
		{
			slot = NR - 1
			for (i = 2; i <= NF; i++) if ($i != $1) torn++
			flushed = last < slot ? 0 : last - (last - slot) % 16
			if ($1 < flushed || ($1 && $1 % 16 != slot)) { print "slot", slot, "has", $1, "where", flushed, "was flushed;"; bad = 1 }
		}
		END { print NR, "blocks,", torn + 0, "words torn, the last flushed is", last; exit bad || torn || NR != 16 || !last }' | tr '\n' ' '
	return "${PIPESTATUS[2]}"
}

# kills NAME BOOTARGS: machines whose guest flushes numbered blocks, each killed at some moment; then what is in the file.
kills() {
	local name=$1 i lost=0 flushed=0 said
	flushed_some() { [ "$(grep -c '^flushed' "$work/$name.out")" -ge 3 ]; }
	for ((i = 0; i < ${BLK_KILLS:-3}; i++)); do
		rm -f "$work/$name.img"
		truncate -s 1M "$work/$name.img"
		bare "$name" disk 1 "$(disk disk0 "$name.img")" "$2"
		run "$name"
		until_true 60 flushed_some || { lost=1; break; }
		sleep "0.$((RANDOM % 90 + 10))"
		kill -9 "${pid[$name]}"
		wait "${pid[$name]}" 2>/dev/null
		unset "pid[$name]"
		until_true 60 unlocked "$work/$name.img"
		said=$(holds "$work/$name.img" "$work/$name.out") || lost=1
		echo "# $name: $said"
	done
	check "$name: nothing that was flushed is lost" [ "$lost" -eq 0 ]
}
# unlocked FILE: what a killed process had under way has ended.
unlocked() { ! grep -q ":$(stat -c %i "$1") " /proc/locks; }
