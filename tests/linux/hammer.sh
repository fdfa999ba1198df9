#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# cpu@6.1: cortex-a72
# seconds: 65
# Three CPUs of a guest store to blocks without pause while the fourth plugs and unplugs them, thousands of times, with
# each backing: nothing that is unplugged takes a store or holds memory.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

ram='0x0 0x4000000'
echo 100 >/proc/sys/vm/nr_hugepages
for backing in anonymous memfd hugetlb; do
	name=hammer_$backing
	bare "$name" hammer 4 "$(usual_window "block-size = $(cell64 $((2 << 20))); requested-size = $(cell64 $((1 << 30)));
		slot-size = $(cell64 $((16 << 20))); backing = \"$backing\";")" "cpus=4 rounds=1000 seed=$RANDOM"
	run "$name"
	check "$name: hammers" until_said 90 "$name" 'after the hammering'
	# The CPUs go on storing while the host checks.
	check "$name: exposed is plugged, no page elsewhere" exactly_plugged "$name" 'after the hammering'
	send "$name" ''
	check "$name: ends well" ended "$name" 60 0
	points "$name"
done
done_testing
