#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: ampere
# memory: 3072
# timeout: 1800
# all
# Linux on 32 vCPUs, which is far more than the host has: boots, grows, shrinks, boots again. 40 s, on a machine that does
# nothing else: now and then Linux has all its CPUs wait for one another, each turn of which takes 32 turns of the host's.

. "$(dirname "$0")/lib.bash"

tree many 32 6.12 "$(usual_window)" watchdog_thresh=60
run many
check "boots" booted many 1 600
check "has-32-vcpus" eval '[ "$(guest many 300 nproc)" = 32 ]'
check "grows" "$SLUICE" mem many 1GiB
check "uses-it" guest many 300 'guest-tool fill 700 1 && guest-tool verify && guest-tool release'
check "shrinks" shrinks many
send many 'reboot -f'
check "boots-again" booted many 2 600
kill "${pid[many]}"
check "powers-off" ended many 60 0
done_testing
