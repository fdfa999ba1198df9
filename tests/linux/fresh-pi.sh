#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# memory: 1024
# cpus: 4
# timeout: 7200
# fresh
# all
# The commands of dts/raspberry-pi/README.md, word for word, by a user with sudo on a machine of four CPUs and 1 GiB.
# Emulated, it takes half an hour: the compiler runs here.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/fresh.bash"

# step N: the commands of its Nth block.
step() { awk -v n="$1" '/^ *```/ { fence++; next } fence == 2 * n - 1' "$TOP/dts/raspberry-pi/README.md"; }

check "a-fresh-debian" fresh_debian
check "build" as_user "$(step 1)"
check "let-in" as_user "$(step 2 | sed '/^ *sluice/d')"
check "doctor" as_user "$(step 2 | sed '/usermod/d')" # logged in again
check "kernel-and-initramfs" as_user "$(step 3)"
# The console is a pipe, and all the rest is as in the README.
check "run-grow-shrink" as_user "cd ~/machines/raspberry-pi
	$(step 4 | sed '/sluice run/d')
	mkfifo console
	sluice run pi4.dts <console >~/out 2>&1 & exec 3>console
	for ((i = 0; i < 3000; i++)); do ! grep -q 'guest: Linux' ~/out || break; sleep 0.1; done
	$(step 5)
	echo 'poweroff -f' >&3; wait \$! || { tail -n 20 ~/out; false; }"
done_testing
