#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 75
# The example of the series that Sluice grew from: a window of 500 GiB in 500 slots, of which those are open that hold
# what the guest has plugged, while the request goes from 0 to 2, 20 and 5 GiB, and through a reboot.

. "$(dirname "$0")/lib.bash"

# The table of pages that Linux keeps of 20 GiB takes 320 MiB of its first memory.
ram='0x0 0x40000000'
tree seed 2 6.12 "
	$(regions "$(window_region vmem0 '0x1 0x40000000' '0x7d 0x0' 140000000)")
	$(window_device vmem0 'memslots = <500>;')"

GiB=$((1 << 30))

# open_is N: the first N slots of 1 GiB are open and no other, each where it belongs and full.
open_is() {
	map_json seed >"$work/map" || return
	jq -e --argjson n "$1" --argjson g $GiB '.[0] | (."open-slots" == [range($n) | {
		index: ., gpa: ((. + 5) * $g), offset: (. * $g), size: $g, plugged: $g, cells: ("#" * 32)}]) and
		.plugged == $n * $g and .exposed == .plugged' \
		"$work/map" >"$work/verdict" || { cat "$work/map"; return 1; }
}
exposed_is_plugged() { map_json seed | jq -e --argjson n "$1" '.[0] | .plugged == $n and .exposed == $n'; }
map_says() {
	"$SLUICE" map seed >"$work/map" || return
	grep -qF -- "$1" "$work/map" || { cat "$work/map"; return 1; }
}

check "500-slots-of-1-GiB" eval "$SLUICE check $work/seed.dts | grep -F '500 slots of 1 GiB'"
run seed
check "boots" booted seed
check "0-open" open_is 0
check "map-0-open" map_says '0 of 500 slots open; exposed = plugged = 0'
check "asks-2-GiB" "$SLUICE" mem seed 2GiB
check "2-open" open_is 2
check "asks-20-GiB" "$SLUICE" mem seed 20GiB
check "20-open" open_is 20
check "map-last-slot" map_says '0x600000000-0x63fffffff  0x4c0000000-0x4ffffffff  1 GiB of 1 GiB'
check "map-20-open" map_says '20 of 500 slots open; exposed = plugged = 20 GiB'
check "asks-5-GiB" "$SLUICE" mem seed 5GiB
# The blocks are out of reach from the first, the emptied slots go a second later.
check "exposes-5-GiB-at-once" exposed_is_plugged $((5 * GiB))
check "5-open-soon" until_true 60 open_is 5
send seed 'reboot -f'
check "0-open-after-reset" until_true 60 open_is 0
check "request-stays" eval "map_json seed | jq -e '.[0] | .requested == 5 * $GiB and .usable == 6 * $GiB'"
check "boots-again" booted seed 2
check "plugs-again" "$SLUICE" mem seed 5GiB
check "5-open-again" open_is 5
send seed 'poweroff -f'
check "powers-off" ended seed 60 0
done_testing
