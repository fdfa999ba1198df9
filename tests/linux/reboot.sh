#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 40
# A reset rebuilds the machine in place: four times (reboot-all.sh: ten) with no growth of memory or descriptors, each time
# with fresh seeds and all blocks unplugged; --no-reboot ends instead.

. "$(dirname "$0")/lib.bash"

tree again 2 6.12 "$(usual_window)"
run again
check boots booted again
fds=$(descriptors again)
bases=()
# What stays of the guest's first memory differs from boot to boot; what Sluice itself holds must not.
own_kib() { awk '/^[0-9a-f]+-/ { own = !/ 00000000 00:00 0 *$/ || /heap|stack/ } /^(Private_Dirty|Private_Clean):/ && own { n += $2 } END { print n }' "/proc/${pid[again]}/smaps"; }
first=$(own_kib)
for i in $(seq "${REBOOTS:-4}"); do
	check "grows-$i" "$SLUICE" mem again 512MiB
	if [ $((i % 2)) = 0 ]; then
		send again 'reboot -f'
	else
		check "system-reset-$i" eval "qmp again '{\"execute\":\"system_reset\"}' | jq -e '.return == {}'"
		check "unplugged-$i" eval "map_json again | jq -e '.[0] | .plugged == 0 and .exposed == 0 and .requested > 0'"
	fi
	check "boots-again-$i" booted again $((i + 1))
	check "descriptors-$i" eval "[ $fds = $(descriptors again) ] || { ls -l /proc/${pid[again]}/fd; false; }"
	bases+=("$(guest again 60 'grep -m 1 " _text$" /proc/kallsyms')")
	check "asks-again-$i" "$SLUICE" mem again 512MiB
done
# Linux wipes the seeds from its tree once it has read them; its address shows that they were fresh. Each place is
# one of thousands: that six boots share three or fewer does not happen.
check "fresh-seeds" eval "[ $(printf '%s\n' "${bases[@]}" | sort -u | wc -l) -gt 3 ] || { printf '%s\n' ${bases[*]@Q}; false; }"
check "no-growth-of-its-own" eval "[ $(own_kib) -le $((first + 256)) ] || { echo $first, then $(own_kib) KiB; false; }"
send again 'poweroff -f'
check "powers-off" ended again 60 0

tree once 1 6.12
run once --no-reboot
check "boots-once" booted once
send once 'reboot -f'
check "no-reboot-ends" ended once 60 0
done_testing
