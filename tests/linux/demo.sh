#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 60
# What toolchain/demo shows is seen; where a guest does not grow, it is said and the demonstration fails. demo-all.sh,
# with $DEMO_ALL=1, has more ways in which it does not.

. "$(dirname "$0")/lib.bash"

demo() { DEMO_BOOTARGS=$1 "$TOP/toolchain/hosts/demo-on-kvm"; }

# misses WHAT BOOTARGS: the demonstration fails, and names WHAT among what was not seen.
misses() {
	local status=0
	demo "$2" >"$work/demo.log" 2>&1 || status=$?
	cat "$work/demo.log"
	[ $status -eq 1 ] && sed '1,/^Not seen/d' "$work/demo.log" | grep -q -e "$1"
}

check everything-seen demo ""
check no-driver misses "1 GiB plugged when grown" module_blacklist=virtio_mem
[ -n "${DEMO_ALL:-}" ] || { done_testing; exit; }
# The blocks are plugged, but Linux makes no use of them.
check memory-left-offline misses "the guest sees 1 GiB more" memhp_default_state=offline
check no-power-button misses "powers off at its button" module_blacklist=gpio_keys
done_testing
