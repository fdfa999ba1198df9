#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 60
# A machine of dts/ gets all of its window, as `sluice check` says that it can, and lives on: the one with the least boot
# memory for its window. fill-all.sh, with $FILL_ALL=1, does so with each, and with the README's; debian.dts has memory and
# window as demo.dts has them.

. "$(dirname "$0")/lib.bash"

machines=(raspberry-pi/pi4)
[ -z "${FILL_ALL:-}" ] || machines=(demo raspberry-pi/pi4 raspberry-pi/pi5 ampere/altra gateway)
# A guest that is a hypervisor needs a host which has nested virtualization.
! grep -q kvm-arm.mode=nested /proc/cmdline || machines=(nested/nested)

cp -r "$TOP/dts" "$work/dts"
# The one in README.md, from its first line to its last.
sed -n '/^\/dts-v1\/;/,/^};/p' "$TOP/README.md" >"$work/dts/gateway.dts"
all_of() { map_json "$1" | jq -e '.[0] | .plugged == .size and .exposed == .size'; }
size_of() { map_json "$1" | jq '.[0].size'; }
# The guest's own count, by the part of it that is not its kernel's for page arrays.
guest_has() { [ "$(guest "$1" 120 'guest-tool memtotal')" -ge $(($2 / 1048576 * 96 / 100)) ]; }

fills() {
	local name=${1#*/} folder=$work/dts bytes
	[ "$name" = "$1" ] || folder=$folder/${1%/*}
	cp "$GUESTS/6.12/vmlinuz" "$GUESTS/6.12/initramfs" "$folder/"
	sed -i "s/bootargs = \"/&quiet guest.plain $quick /" "$folder/$name.dts"
	local work=$folder
	check "$name: is good, and its window can be filled" eval "'$SLUICE' check '$work/$name.dts' >'$work/said' 2>&1 && ! grep 'cannot be filled' '$work/said' || { cat '$work/said'; false; }"
	run "$name"
	check "$name: boots" booted "$name"
	bytes=$(size_of "$name")
	check "$name: fills it" "$SLUICE" mem "$name" "$bytes" --timeout "${FILL_TIMEOUT:-300}"
	check "$name: all of it is plugged and exposed" all_of "$name"
	check "$name: the guest has it" guest_has "$name" "$bytes"
	check "$name: the guest uses some and lives on" guest "$name" 300 'guest-tool fill 400 1 && guest-tool verify && guest-tool release && ! dmesg | grep -i "out of memory"'
	check "$name: gives half of it back" "$SLUICE" mem "$name" $((bytes / 2)) --timeout "${FILL_TIMEOUT:-300}"
	kill "${pid[$name]}"
	check "$name: powers off" ended "$name" 120 0
}
for machine in "${machines[@]}"; do fills "$machine"; done
done_testing
