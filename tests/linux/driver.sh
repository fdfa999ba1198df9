#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 25
# A guest whose memory cannot move, so that an unplug stalls; and its driver unbound and bound again.

. "$(dirname "$0")/lib.bash"

size='requested-size = /bits/ 64 <0>;'
tree driver 1 6.12 "$(usual_window "$size")" memhp_default_state=online_kernel
run driver
check "boots" booted driver

# mem STATUS WORDS ARGUMENT...: `sluice mem driver ...` ends so, and says so.
mem() {
	local status=$1 words=$2 rc=0
	shift 2
	"$SLUICE" mem driver "$@" >"$work/mem" 2>&1 || rc=$?
	cat "$work/mem"
	[ $rc -eq "$status" ] && grep -q "$words" "$work/mem"
}
is() { map_json driver | jq -e ".[0] | .plugged == $1 and .exposed == $1"; }

at='cd /sys/bus/virtio/drivers/virtio_mem && d=$(ls -d virtio*) && echo $d >unbind'
check "the driver goes and comes back, nothing plugged" guest driver 60 "$at && echo \$d >bind && [ -d \$d ]"
check "it grows" mem 0 '1 GiB' 1GiB
check "is exact" is $((1 << 30))
# 700 MiB of huge pages: more than the RAM beside the window has place for, wherever they are moved to.
check "memory is taken for good" guest driver 60 'echo 350 >/proc/sys/vm/nr_hugepages; [ $(cat /proc/sys/vm/nr_hugepages) -ge 340 ]'
check "an unplug that stalls ends, with its reason" mem 1 'nothing moved for 5 s: .* in ways that cannot be moved' 0 --timeout 5
less_than() { map_json driver | tee "$work/map" | jq -e ".[0] | .plugged == .exposed and .plugged < $1" || { cat "$work/map"; false; }; }
check "what went till then is exact" less_than $((1 << 30))
check "the guest lets go" guest driver 60 'echo 0 >/proc/sys/vm/nr_hugepages'
# The kernel may keep some of it for itself, since it was set online as its own.
"$SLUICE" mem driver 0 --timeout 10 >"$work/mem" 2>&1
check "the same request goes on" less_than $((128 << 20))
check "it grows again" mem 0 '' 512MiB
check "it holds something" guest driver 120 'guest-tool fill 600 7'

# Linux leaves the memory in use, and takes the device back only after a boot ("reloading is not supported").
check "the driver goes, memory plugged" guest driver 60 "$at && ! ls -d virtio*"
check "which changes no block" is $((512 << 20))
check "and cannot come back" guest driver 60 'cd /sys/bus/virtio/drivers/virtio_mem; for d in /sys/bus/virtio/devices/*; do ! echo ${d##*/} >bind || exit 1; done; dmesg | grep -q "reloading the driver is not supported"'
check "which changes none either" is $((512 << 20))
check "the guest's memory is what it was" guest driver 120 'guest-tool verify && guest-tool release'
send driver 'reboot -f'
check "it boots again" booted driver 2
check "and gets what was asked for" until_true 60 is $((512 << 20))
send driver 'poweroff -f'
check "powers off" ended driver 60 0
done_testing
