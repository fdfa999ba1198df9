#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 55
# A guest panics with its window half plugged, and a crash kernel reads all of its memory: what it had filled is in the
# dump, no block that is not plugged is touched, and the crash kernel changes none. Then the machine boots as ever.
# Each block is a slot here, so that an access to any other is one that is counted.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/kexec.bash"

MiB=$((1 << 20))
plugged=$((450 * MiB))
for guest in ${KEXEC_GUESTS:-6.12}; do
	m=linux_${guest//./_}
	loaded "$m" 2 "$guest" "$(usual_window 'slot-size = /bits/ 64 <0x200000>;')" crashkernel=192M
	run "$m"
	check "$m: boots" booted "$m"
	check "$m: grows" "$SLUICE" mem "$m" 768MiB
	# The header of the dump has all memory of now, so also what is unplugged next.
	check "$m: loads a crash kernel" guest "$m" 60 'guest-tool kexec panic /next/vmlinuz /next/initramfs "$(sed "s/crashkernel=[^ ]*//" /proc/cmdline) nr_cpus=1 reset_devices"'
	check "$m: shrinks" "$SLUICE" mem "$m" 450MiB
	# More than is free beside the window.
	check "$m: is filled" guest "$m" 90 'rm -r /next; guest-tool fill 300 3 && guest-tool verify'
	send "$m" 'echo c >/proc/sysrq-trigger'
	check "$m: the crash kernel runs" booted "$m" 2
	check "$m: it has the dump" guest "$m" 60 '[ -s /proc/vmcore ] && grep -w reset_devices /proc/cmdline'
	check "$m: reads all of it, and finds what was filled" guest "$m" 180 'guest-tool vmcore 300 3'
	check "$m: no access strayed" no_strays "$m"
	check "$m: plugged is as it was" is "$m" $plugged
	send "$m" 'reboot -f'
	check "$m: boots anew" booted "$m" 3
	check "$m: gets what was asked for" until_true 60 is "$m" $plugged
	send "$m" 'poweroff -f'
	check "$m: powers off" ended "$m" 60 0
	rm "$work/initramfs-$m"
done
done_testing
