#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# memory: 6144
# seconds: 85
# The main job with the host's own kernel as the guest's, three times, and with another, once: boot, grow to 3 GiB and back
# to nothing, the guest using what it gets, reboot while grown, power off. It fills a part of it, since that takes most of
# the time here. Each guest has 1 vCPU on one host and 4 on another; grow-full.sh takes every pair with both, three times,
# and fills all that it got.

. "$(dirname "$0")/lib.bash"

# The host itself, without which no test means anything: it has /dev/kvm, and a way to each guest kernel.
check "kvm-device" test -c /dev/kvm
for v in 6.1 6.12 6.12-16k 7.3; do
	check "guest-kernel-$v" eval '[ "$(head -c 60 "$GUESTS/$v/vmlinuz" | tail -c 4)" = "$(printf "ARM\x64")" ] && [ -s "$GUESTS/$v/initramfs" ]'
done

fills_and_keeps() { guest "$1" 300 "guest-tool fill $2 $3 && guest-tool verify && guest-tool release"; }
guest_has() {
	local total
	total=$(guest "$1" 60 'guest-tool memtotal') || return
	[ "$total" -ge "$2" ] && [ "$total" -le "$3" ] || { echo "MemTotal $total MiB"; return 1; }
}
host_holds() {
	local now
	now=$(resident "$1")
	[ "$now" -ge "$2" ] && [ "$now" -le "$3" ] || { echo "resident $now MiB, expected $2 to $3"; return 1; }
}
exposed_is_plugged() {
	map_json "$1" | jq -e --argjson n "$2" '.[0].exposed == $n and .[0].plugged == $n'
}

# The table of pages that Linux keeps of 3 GiB is 48 MiB of the guest's first memory.
fill=("${GROW_FILL:-1000}" "${GROW_FILL:-300}" "${GROW_FILL:-300}")
case $(uname -r) in
6.1.*) guests=(6.1 6.12) ;;
6.12.*) guests=(6.12 7.3) ;;
*) guests=(7.3 6.1) ;;
esac
[ -z "${GROW_ROUNDS:-}" ] || guests=(6.1 6.12 7.3)
turn=(1 4)
for guest in "${guests[@]}"; do
	for cpus in ${GROW_CPUS:-${turn[0]}}; do
		m=linux-$guest-$cpus m=${m//[.-]/_}
		tree "$m" "$cpus" "$guest" "$(usual_window)"
		run "$m"
		check "$m-boots" booted "$m"
		check "$m-cpus" eval "[ \$(guest $m 60 nproc) = $cpus ]"
		check "$m-nothing-exposed" exposed_is_plugged "$m" 0
		rounds=${GROW_ROUNDS:-1}
		[[ $(uname -r) != "$guest".* ]] || rounds=3
		for ((round = 1; round <= rounds; round++)); do
			check "$m-grows-$round" "$SLUICE" mem "$m" 3GiB
			check "$m-exposed-is-plugged-$round" exposed_is_plugged "$m" 3221225472
			check "$m-sees-it-$round" guest_has "$m" 3300 3584
			check "$m-uses-it-$round" fills_and_keeps "$m" "${fill[round - 1]}" "$round"
			check "$m-host-pays-$round" host_holds "$m" "${fill[round - 1]}" 3600
			check "$m-shrinks-$round" shrinks "$m"
			check "$m-sees-it-gone-$round" guest_has "$m" 380 512
			check "$m-nothing-exposed-$round" exposed_is_plugged "$m" 0
			check "$m-host-gets-it-back-$round" host_holds "$m" 50 560
		done
		check "$m-grows-again" "$SLUICE" mem "$m" 1GiB
		send "$m" 'reboot -f'
		check "$m-boots-again" booted "$m" 2
		check "$m-grown-after-reboot" "$SLUICE" mem "$m" 1GiB
		check "$m-sees-it-after-reboot" guest_has "$m" 1400 1536
		send "$m" 'poweroff -f'
		check "$m-powers-off" ended "$m" 60 0
	done
	turn=("${turn[@]:1}")
done
done_testing
