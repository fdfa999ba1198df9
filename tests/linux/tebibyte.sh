#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# more-hosts: 6.12
# memory: 2048
# cpus: 1
# seconds: 15
# Windows of 1 TiB on a host of 2 GiB that commits no more than it has, and one whose process may not split its mappings
# further: a guest that plugs blocks far apart is answered BUSY, and everything goes on.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

ram='0x0 0x4000000'
region="$(regions "$(window_region vmem0 '0x1 0x0' '0x100 0x0' 100000000)")"
block=$((2 << 20))

# limit NAME LEAST REASON [PROPERTIES]
limit() {
	bare "$1" alternate 1 "$region $(window_device vmem0 "block-size = $(cell64 $block);
		requested-size = $(cell64 $((1 << 40))); ${4:-}")" "least=$2"
	run "$1"
	check "$1: comes to the limit" until_said 90 "$1" 'at the limit'
	check "$1: exposed is plugged there, no page elsewhere" exactly_plugged "$1" 'at the limit'
	check "$1: the log says why" grep -q "vmem0: plug of .* refused: $3" "$work/$1.err"
	send "$1" ''
	check "$1: ends well" ended "$1" 60 0
	points "$1"
}

# What a program writes to a tmpfs counts against the commit limit as well; to a ramfs it does not.
mount -t ramfs ramfs "$work"
# A process that is large leaves so much to others: to the programs that check.
echo 300000 >/proc/sys/vm/user_reserve_kbytes
echo 2 >/proc/sys/vm/overcommit_memory
limit overcommit 100 'the host does not commit the memory (vm.overcommit_memory)'
echo 1 >/proc/sys/vm/overcommit_memory
# 65530 takes 30,000 blocks to reach; the way there is the same.
echo 6000 >/proc/sys/vm/max_map_count
echo never >/sys/kernel/mm/transparent_hugepage/enabled # a page of each block, on a host of 2 GiB
limit mappings 500 'the process is close to vm.max_map_count'
done_testing
