#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 75
# A guest reads every zero of an open slot of 1 GiB, the largest that has them, and reads on while the host closes it:
# the slot closes, the page tables go, and the guest never sees anything but zeros and aborts.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

echo never >/sys/kernel/mm/transparent_hugepage/enabled # with huge pages there is less to fill
ram='0x0 0x4000000'
bare zeros zeros 2 "$(regions "$(window_region vmem0 '0x1 0x0' '0x0 0x40000000' 100000000)")
	$(window_device vmem0 "block-size = $(cell64 $((2 << 20))); requested-size = $(cell64 $((1 << 30)));
	memslots = <1>; stray-reads = \"zero\";")" cpus=2
tables() { awk '/^VmPTE/ { print $2 }' "/proc/${pid[zeros]}/status"; }
is_closed() { map_json zeros | jq -e '.[0] | .plugged == 0 and .exposed == 0 and .resident == 0 and ."open-slots" == []'; }
little_left() { [ "$(tables)" -le $((before + 64)) ] || { echo "$(tables) KiB of tables, $before before"; false; }; }

run zeros
check "starts" until_said 60 zeros plugged
before=$(tables)
send zeros ''
check "reads it all" until_said 120 zeros read
check "which fills tables" [ "$(tables)" -ge $((before + 1500)) ]
send zeros ''
check "unplugs" until_said 60 zeros unplugged
check "the slot closes" until_true 120 is_closed
check "the tables are gone" until_true 60 little_left
send zeros ''
check "it opens again" until_said 60 zeros 'plugged again'
send zeros ''
check "and is read again" until_said 120 zeros 'read again'
send zeros ''
check "all of it goes at once" until_said 120 zeros 'unplugged again'
check "it closes again" until_true 120 is_closed
send zeros ''
check "ends well" ended zeros 60 0
points zeros
done_testing
