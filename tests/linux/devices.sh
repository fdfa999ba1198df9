#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 2048
# timeout: 240
# The small devices as a Linux guest's drivers see them: the host's random numbers.

. "$(dirname "$0")/lib.bash"

tree rng 1 6.12 'rng0 { compatible = "sluice,virtio-rng"; };'
run rng
check "rng-boots" booted rng
check "rng-is-the-guests" guest rng 60 'grep -x virtio_rng.0 /sys/class/misc/hw_random/rng_current'
check "rng-gives" eval "[ \"\$(guest rng 60 'head -c 65536 /dev/hwrng | wc -c')\" = 65536 ]"
draw() { guest rng 60 'head -c 32 /dev/hwrng | sha256sum'; }
drawn=("$(draw)" "$(draw)")
send rng 'reboot -f'
check "rng-boots-again" booted rng 2
drawn+=("$(draw)")
check "rng-never-repeats" eval "[ $(printf '%s\n' "${drawn[@]}" | grep -cE '^[0-9a-f]{64}') = 3 ] && [ $(printf '%s\n' "${drawn[@]}" | sort -u | wc -l) = 3 ]"
send rng 'poweroff -f'
check "rng-powers-off" ended rng 60 0
done_testing
