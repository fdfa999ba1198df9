#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 2
# seconds: 170
# with: firmware
# Debian 12's and 13's U-Boot as the machine's firmware: its prompt, its environment over resets and restarts, disks and
# network cards, Linux by booti, by extlinux and by its own EFI, which grows and shrinks; reset and power off.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/firmware.bash"

ram='0x0 0x20000000'
linux_disk "$work/disk"
for release in 13 12; do
	name=uboot$release
	firmware_tree $name $release/u-boot.bin "sluice,flash = \"env$release\";" "$(usual_window)
		disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; };
		net0 { compatible = \"sluice,virtio-net\"; tap = \"tap$release\"; };"
	check "$release-is-checked" eval "$SLUICE check $work/$name.dts >$work/out && grep '^firmware .*/u-boot.bin, entered at 0x000000000' $work/out && grep '^flash  *0x004000000 to 0x004100000, 1 MiB: .*env$release' $work/out || { cat $work/out; false; }"
	check "$release-check-makes-no-flash" [ ! -e "$work/env$release" ]
	run $name
	check "$release-makes-tap" until_true 60 ip addr add 10.9.$release.1/24 dev tap$release
	ip link set tap$release up
	check "$release-prompt" at_prompt $name 1
	check "$release-sees-its-flash" eval "uboot $name 60 flinfo && grep 'CFI conformant flash (32 x 16)  Size: 1 MB in 4 Sectors' $work/said || { cat $work/said; false; }"
	check "$release-sets" uboot $name 60 'setenv hello world'
	check "$release-saves" eval "uboot $name 60 saveenv && grep OK $work/said || { cat $work/said; false; }"
	check "$release-changes-without-saving" uboot $name 60 'setenv hello nobody'
	send $name reset
	check "$release-is-reset" at_prompt $name 2
	check "$release-kept-what-it-saved" eval "uboot $name 60 'printenv hello' && grep -x hello=world $work/said || { cat $work/said; false; }"
	check "$release-sees-its-disk" eval "uboot $name 60 'virtio scan; virtio info' && grep -i 'SLUC\|Device 0' $work/said || { cat $work/said; false; }"
	check "$release-reads-its-disk" eval "uboot $name 60 'ls virtio 0:1 /' && grep -i vmlinuz $work/said || { cat $work/said; false; }"
	check "$release-speaks" uboot $name 60 "setenv ipaddr 10.9.$release.2; setenv netmask 255.255.255.0; ping 10.9.$release.1"
	check "$release-loads" uboot $name 120 'load virtio 0:1 ${kernel_addr_r} /vmlinuz && load virtio 0:1 ${ramdisk_addr_r} /initramfs'
	uboot $name 60 "setenv bootargs 'console=ttyAMA0 quiet $quick guest.plain memhp_default_state=online_movable'"
	send $name 'booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} 0x40000000'
	check "$release-booti" booted $name
	check "$release-booti-grows-and-shrinks" grows_and_shrinks $name
	send $name 'reboot -f'
	# This time nobody stops it.
	check "$release-extlinux" booted $name 2 200
	check "$release-extlinux-grows-and-shrinks" grows_and_shrinks $name
	send $name 'reboot -f'
	check "$release-prompt-again" at_prompt $name 4
	# Its own EFI.
	check "$release-loads-a-boot-loader" uboot $name 60 'load virtio 0:1 ${kernel_addr_r} /EFI/BOOT/BOOTAA64.EFI'
	send $name 'bootefi ${kernel_addr_r} 0x40000000'
	check "$release-efi" booted $name 3 200
	check "$release-efi-grows-and-shrinks" grows_and_shrinks $name
	send $name 'reboot -f'
	check "$release-prompt-after-efi" at_prompt $name 5
	send $name poweroff
	check "$release-powers-off" ended $name 60 0
	check "$release-says-little" eval "! grep -v 'the guest stores to its firmware at 0xed0, which is read-only: ignored' $work/$name.err"
	# Another process, the same flash.
	run $name
	check "$release-restarts" at_prompt $name 1
	check "$release-kept-it-over-the-restart" eval "uboot $name 60 'printenv hello' && grep -x hello=world $work/said || { cat $work/said; false; }"
	kill -9 "${pid[$name]}"
	wait "${pid[$name]}" 2>/dev/null
	unset "pid[$name]"
	# A script, found by itself.
	boot_disk "$work/scripted$release" 64
	put "$work/scripted$release" "$firmware/fit/boot.scr" /boot.scr
	firmware_tree script$release $release/u-boot.bin "sluice,flash = \"none$release\";" "disk0 { compatible = \"sluice,virtio-blk\"; file = \"scripted$release\"; };"
	run script$release
	check "$release-script" until_line 100 '^the script says hello' "$work/script$release.out"
	check "$release-script-powers-off" ended script$release 60 0
done
done_testing
