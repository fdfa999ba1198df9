#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machine: virt-gicv2
# timeout: 300
# A host without GICv3: the guest gets a GICv2 and does the main job on two vCPUs.

. "$(dirname "$0")/lib.bash"

tree old 2 6.12 "$(usual_window)"
check "doctor-says-so" eval '"$SLUICE" doctor | grep -q GICv2'
run old
check "boots" booted old
check "has-gicv2" guest old 60 'grep -q GICv2 /proc/interrupts || grep -rq "arm,cortex-a15-gic\|arm,gic-400" /proc/device-tree/*/compatible'
check "both-vcpus" eval '[ "$(guest old 60 nproc)" = 2 ]'
check "grows" "$SLUICE" mem old 1GiB
check "uses-it" guest old 300 'guest-tool fill 700 1 && guest-tool verify && guest-tool release'
check "shrinks" "$SLUICE" mem old 0
send old 'reboot -f'
check "boots-again" booted old 2
kill "${pid[old]}"
check "powers-off" ended old 60 0
done_testing
