#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# more-hosts: 6.12
# seconds: 20
# A guest that has grown suspends to memory, is woken by its clock, and finds everything as it was; and one that asks
# when it may not, and from its second CPU.

. "$(dirname "$0")/lib.bash"

tree sleepy 2 6.12 "$(usual_window)" "no_console_suspend"
run sleepy
check "boots" booted sleepy
check "grows" "$SLUICE" mem sleepy 1GiB
check "fills" guest sleepy 300 'guest-tool fill 700 9'
# rtcwake's parts: an alarm in two seconds, then to sleep.
check "sleeps-and-wakes" guest sleepy 120 \
	'echo +2 >/sys/class/rtc/rtc0/wakealarm && echo deep >/sys/power/mem_sleep && echo mem >/sys/power/state'
check "slept-deeply" guest sleepy 60 'dmesg | grep -q "suspend entry (deep)" && dmesg | grep -q "suspend exit"'
check "kept-its-memory" guest sleepy 300 'guest-tool verify && guest-tool release'
check "still-plugged" eval "map_json sleepy | jq -e '.[0].plugged == 1073741824'"
check "both-vcpus" eval '[ "$(guest sleepy 60 nproc)" = 2 ]'
check "shrinks" shrinks sleepy
send sleepy 'poweroff -f'
check "powers-off" ended sleepy 60 0

# By the book: what is refused, and from another CPU than the first; KVM of 6.1 takes no other features than at first.
bare book suspend 2 "$(usual_window)"
forward book 120
check "book-powers-off" eval "[ $status -eq 0 ]"
done_testing
