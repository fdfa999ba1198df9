# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# How a host examines a window while a bare-metal guest waits at a checkpoint ("WORDS: plugged BYTES ..."), and the
# hostile guest whose window it is.

cell64() { printf '/bits/ 64 <0x%x>' "$1"; }

# until_said SECONDS NAME WORDS
until_said() { await "$1" line 1 "^$3: plugged [0-9]" "$work/$2.out"; }

# The kernel's list of the process's memory: no page behind what cannot be written, in the window's mappings, which are
# all that are as large as a block. And a memfd holds no more than is plugged.
no_page_unplugged() {
	local fd blocks
	awk '/^[0-9a-f]+-[0-9a-f]+ / { protected = $2 !~ /w/ && $6 == ""; range = $1 }
		/^Size:/ { large = $2 >= 2048 }
		/^(Rss|Private_Hugetlb|Shared_Hugetlb):/ { if (protected && large && $2) { print "held:", range, $0; bad = 1 } }
		END { exit bad }' "/proc/${pid[$1]}/smaps" || return 1
	for fd in "/proc/${pid[$1]}"/fd/*; do
		[[ $(readlink "$fd") == /memfd:sluice-memory* ]] || continue
		blocks=$(stat -L -c %b "$fd")
		[ $((blocks * 512)) -le "$2" ] || { echo "the memfd holds $((blocks * 512)) bytes of $2"; return 1; }
	done
}

# exactly_plugged NAME WORDS: Sluice and the kernel say what the guest said at the checkpoint of those words.
exactly_plugged() {
	local plugged
	plugged=$(sed -n "s/^$2: plugged \([0-9]*\).*/\1/p" <(tr -d '\r' <"$work/$1.out"))
	[ "${plugged:-0}" -gt 0 ] && map_json "$1" | jq -e ".[0] | .plugged == $plugged and .exposed == $plugged" &&
		no_page_unplugged "$1" "$plugged"
}

counted() {
	local reported
	reported=$(sed -n 's/^after the accesses: .* reported \([0-9]*\).*/\1/p' <(tr -d '\r' <"$work/$1.out"))
	qmp "$1" '{"execute":"x-sluice-query-strays"}' | jq -e ".return.total == $reported" ||
		{ qmp "$1" '{"execute":"x-sluice-query-strays"}'; echo "the guest made $reported"; false; }
}

# attack NAME SLOT-BYTES READS PROPERTIES: the hostile guest, in a window of $window_bytes in blocks of $block.
attack() {
	local name=$1 seed=$((RANDOM + 1)) abort=0
	[ "$3" = zero ] || abort=1
	bare "$name" hostile 1 "$(window_of $window_bytes "block-size = $(cell64 $block); requested-size = $(cell64 $window_bytes);
		stray-reads = \"$3\"; $4")" "seed=$seed slot=$2 abort=$abort"
	run "$name"
	check "$name: plugs its half" until_said 60 "$name" "before the accesses"
	check "$name: exposed is plugged, no page elsewhere" exactly_plugged "$name" "before the accesses"
	send "$name" ''
	check "$name: makes its accesses" until_said 120 "$name" "after the accesses"
	check "$name: still exposed is plugged, no page elsewhere" exactly_plugged "$name" "after the accesses"
	check "$name: each that came to us was counted" counted "$name"
	send "$name" ''
	check "$name: ends well" ended "$name" 60 0
	points "$name"
}
