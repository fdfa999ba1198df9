#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 35
# Bare-metal guests and their disks: requests that make no sense, each register, resets and unplugs in the middle of
# requests; and nothing that was answered as flushed is lost, whenever the process is killed. Once by io_uring, once by
# threads. $BLK_KILLS kills each.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/blk.bash"

ram='0x0 0x4000000'
window=$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')

both() {
	local how=$1
	truncate -s 16M "$work/misuse.img"
	bare "misuse_$how" disk 1 "$window $(disk disk0 misuse.img)"
	forward "misuse_$how" 60
	check "misuse-$how-ends-well" [ "$status" -eq 0 ]

	rm -f "$work/lives.img"
	truncate -s 16M "$work/lives.img"
	bare "lives_$how" disk 2 "$(disk disk0 lives.img)" lives=5
	run "lives_$how"
	check "lives-$how-end" ended "lives_$how" 60 0
	check "lives-$how-find-nothing" eval "! grep '^not ok' $work/lives_$how.out && [ \$(grep -c '^ok' $work/lives_$how.out) -eq 6 ]"

	kills "flushed_$how" flush=1
	kills "through_$how" through=1
}

both uring
if [ -e /proc/sys/kernel/io_uring_disabled ]; then # since 6.6
	echo 2 >/proc/sys/kernel/io_uring_disabled
	both threads
fi
done_testing
