#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: virt-gicv3 virt-gicv2
# cpus: 2
# seconds: 150
# with: firmware
# Debian 12's and 13's UEFI (edk2) as the machine's firmware: its shell, its variables over resets and restarts, a flash from
# a template and an erased one, Linux from a disk by systemd-boot, which grows and shrinks; Secure Boot refuses what nobody
# signed. On a host with GICv2 Debian 13's alone.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/firmware.bash"

ram='0x0 0x20000000'
linux_disk "$work/disk"

variable='hello -guid 11111111-2222-3333-4444-555555555555'

releases='13 12'
! grep -q a15-gic /proc/device-tree/intc*/compatible || releases=13
for release in $releases; do
	name=uefi$release
	code=AAVMF_CODE.no-secboot.fd
	[ $release = 13 ] || code=AAVMF_CODE.fd
	firmware_tree $name $release/$code "sluice,flash = \"vars$release\"; sluice,flash-template = \"$firmware/$release/AAVMF_VARS.fd\";" "$(usual_window)"
	check "$release-is-checked" eval "$SLUICE check $work/$name.dts >$work/out && grep '^flash  *0x004000000 to 0x008000000, 64 MiB: .*vars$release' $work/out || { cat $work/out; false; }"
	run $name
	check "$release-shell" in_shell $name 1
	check "$release-sets-a-variable" sets $name "setvar $variable -bs -rt -nv =0x01020304"
	send $name $'reset\r'
	check "$release-is-reset" in_shell $name 2
	check "$release-kept-it" uefi $name 60 "setvar $variable" '04 03 02 01\|01 02 03 04'
	send $name $'reset -s\r'
	check "$release-powers-off" ended $name 60 0
	check "$release-says-little" eval "! grep -v 'the guest stores to its firmware at 0x[0-9a-f]*, which is read-only: ignored' $work/$name.err"
	run $name
	check "$release-restarts" in_shell $name 1
	check "$release-kept-it-over-the-restart" uefi $name 60 "setvar $variable" '04 03 02 01\|01 02 03 04'
	send $name $'reset -s\r'
	check "$release-powers-off-again" ended $name 60 0
	# With a disk, and a flash in which the shell does not come first.
	sed -i "s|chosen {|disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; }; &|; s|\"vars$release\"|\"disk$release\"|" "$work/$name.dts"
	run $name
	check "$release-boots-linux" booted $name 1 200
	check "$release-by-efi" guest $name 60 'dmesg | grep "efi: EFI v2"'
	check "$release-grows-and-shrinks" grows_and_shrinks $name
	check "$release-sets-a-variable-from-linux" guest $name 60 'mount -t efivarfs efivarfs /sys/firmware/efi/efivars && cd /sys/firmware/efi/efivars &&
		printf "\\007\\000\\000\\000from linux" >said-11111111-2222-3333-4444-555555555555 && cd /'
	send $name 'reboot -f'
	check "$release-boots-linux-again" booted $name 2 200
	check "$release-kept-linux-variable" guest $name 60 'mount -t efivarfs efivarfs /sys/firmware/efi/efivars && grep "from linux" /sys/firmware/efi/efivars/said-*'
	send $name 'poweroff -f'
	check "$release-linux-powers-off" ended $name 60 0
done

# An erased flash of 1 MiB, which it formats, and the smallest of its files.
firmware_tree erased 13/QEMU_EFI.fd 'sluice,flash = "erased";'
run erased
check "erased-shell" in_shell erased 1
check "erased-sets-a-variable" sets erased "setvar $variable -bs -rt -nv =0x01020304"
send erased $'reset\r'
check "erased-is-reset" in_shell erased 2
check "erased-kept-it" uefi erased 60 "setvar $variable" '04 03 02 01\|01 02 03 04'
send erased $'reset -s\r'
check "erased-powers-off" ended erased 60 0

firmware_tree secure 13/AAVMF_CODE.secboot.fd "sluice,flash = \"secure\"; sluice,flash-template = \"$firmware/13/AAVMF_VARS.ms.fd\";" \
	'disk0 { compatible = "sluice,virtio-blk"; file = "disk"; };'
run secure
check "secure-boot-refuses" await 150 text 'Access Denied' "$work/secure.out"
check "secure-boot-starts-nothing" eval "! grep 'guest: Linux\|Booting' $work/secure.out"
kill -9 "${pid[secure]}"
wait "${pid[secure]}" 2>/dev/null
unset "pid[secure]"
done_testing
