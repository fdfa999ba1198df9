#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 10
# A core file of the monitor has nothing of the guest's memory, of RAM and of a plugged block, unless it was asked for.

. "$(dirname "$0")/lib.bash"

cd "$work" || exit 1
ulimit -c unlimited
echo core >/proc/sys/kernel/core_pattern
echo 0 >/proc/sys/kernel/core_uses_pid
ram='0x0 0x4000000'
# The guest marks each 512th byte of 48 MiB of RAM and of a block of 2 MiB.
marks=$(((48 + 2) << 20 >> 9))

is_core() { [ "$(head -c 4 "$1")" = $'\177ELF' ]; }
# dumps NAME MARKS [OPTION...]
dumps() {
	bare "$1" again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x200000>;')"
	run "$1" "${@:3}"
	check "$1: its memory is marked" until_line 60 'off or again?' "$work/$1.out"
	kill -ABRT "${pid[$1]}"
	check "$1: dies" ended "$1" 60 134
	check "$1: leaves a core" is_core core
	check "$1: with so many marks" eval "found=\$(LC_ALL=C grep -ao kramkram core | wc -l); echo \"\$found, not $2\"; [ \$found -eq $2 ]"
	rm -f core
}
dumps plain 0
dumps asked $marks --dump-guest-core
done_testing
