#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 30
# A guest that has grown starts another kernel in its place, without a reset of the machine. The new one knows nothing
# of what is plugged: it gives all of it back and plugs anew, exposed being plugged all the way.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/kexec.bash"

GiB=$((1 << 30))
for guest in ${KEXEC_GUESTS:-6.12}; do
	m=linux_${guest//./_}
	loaded "$m" 2 "$guest" "$(usual_window)"
	run "$m"
	check "$m: boots" booted "$m"
	check "$m: grows" "$SLUICE" mem "$m" 1GiB
	check "$m: its memory works" guest "$m" 90 'guest-tool fill 300 1 && guest-tool verify && guest-tool release'
	check "$m: loads a kernel" guest "$m" 60 'guest-tool kexec next /next/vmlinuz /next/initramfs "$(cat /proc/cmdline) again"'
	watch "$m"
	watch_exposed "$m"
	send "$m" 'guest-tool kexec-go'
	check "$m: the next kernel runs" booted "$m" 2
	check "$m: it is the next" guest "$m" 60 'grep -w again /proc/cmdline && [ ! -e /next ] && [ "$(nproc)" = 2 ]'
	check "$m: it gave all back" until_true 60 seen "$m" '.event == "MEMORY_DEVICE_SIZE_CHANGE" and .data.size == 0'
	check "$m: it plugs as much again" until_true 60 is "$m" $GiB
	check "$m: exposed was plugged meanwhile" was_exact "$m"
	check "$m: the machine was not reset" eval "! seen $m '.event == \"RESET\"'"
	unwatch "$m"
	check "$m: its memory works then" guest "$m" 90 'guest-tool fill 300 2 && guest-tool verify && guest-tool release'
	check "$m: it shrinks" shrinks "$m"
	check "$m: no access strayed" no_strays "$m"
	send "$m" 'poweroff -f'
	check "$m: powers off" ended "$m" 60 0
	rm "$work/initramfs-$m"
done
done_testing
