#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# all
# debian-uefi
# memory: 3072
# timeout: 7200
# A Debian 13 on a disk for UEFI, which Debian's own tools have made (toolchain/inputs/debian-uefi): by Debian 13's and 12's UEFI
# with Secure Boot the signed shim, GRUB and kernel, and nothing that nobody signed in their places; without it the same, then
# systemd-boot, once bootctl has made its boot entry; systemd-boot by U-Boot's EFI. Each comes to its login, grows and
# shrinks, reboots and powers off.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/firmware.bash"

dd if=/opt/debian-uefi/disk.img of=/dev/disk/own bs=1M conv=sparse 2>"$work/dd"
ln -s /dev/disk/own "$work/disk"
cpus=2
mcopy -n -i "$work/disk@@1M" ::/EFI/BOOT/BOOTAA64.EFI "$work/shim.efi"

# machine NAME CODE VARIABLES: with the disk, and a flash of its own.
machine() {
	firmware_tree "$1" "$2" "sluice,flash = \"flash-$1\"; ${3:+sluice,flash-template = \"$firmware/$3\";}" \
		"$(usual_window) disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; };"
}
logins() { [ "$(grep -ac 'debian login:' "$work/$1.out")" -ge "$2" ]; }
prompts() { [ "$(grep -ac 'root@debian' "$work/$1.out")" -ge "$2" ]; }
# login NAME COUNT: at its COUNTth login root logs in, and goes on in a plain shell.
login() {
	until_true 900 eval "logins $1 $2 || gone $1" && logins "$1" "$2" && send "$1" root && until_true 200 prompts "$1" "$2" ||
		{ tail -n 30 "$work/$1.out" "$work/$1.err"; return 1; }
	send "$1" 'exec env PS1= sh -c "stty -echo -onlcr; exec sh"'
	guest "$1" 60 'dmesg -n 1' # the console is the test's
}
# system NAME COUNT on|off LOADER: the COUNTth time that it is up: whether its boot was secure, and by what it came.
secure='[ "$(od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*)" -eq 1 ] && mokutil --sb-state | grep "SecureBoot enabled" && dmesg | grep "[Ss]ecure boot enabled"'
declare -A by=(
	[grub]='ls /sys/firmware/efi/efivars/MokListRT-* && ! grep -a s.y.s.t.e.m.d /sys/firmware/efi/efivars/LoaderInfo-*'
	[systemd-boot]='grep -a s.y.s.t.e.m.d /sys/firmware/efi/efivars/LoaderInfo-*'
)
system() {
	check "$1-login-$2" login "$1" "$2"
	if [ "$3" = on ]; then
		check "$1-is-secure-$2" guest "$1" 60 "$secure"
	else
		check "$1-is-not-secure-$2" guest "$1" 60 "! { $secure; }"
	fi
	check "$1-by-$4-$2" guest "$1" 100 "${by[$4]}"
	check "$1-all-is-well-$2" guest "$1" 300 'systemctl is-system-running --wait || { systemctl --failed; false; }'
	check "$1-grows-and-shrinks-$2" grows_and_shrinks "$1"
}
# entry NAME LABEL: the boot entry that was taken.
entry() { guest "$1" 60 "efibootmgr; efibootmgr | grep -i \"^\$(efibootmgr | sed -n 's/^BootCurrent: /Boot/p')\* $2\""; }
# off NAME
off() {
	send "$1" poweroff
	check "$1-powers-off" ended "$1" 300 0
}
# refuses NAME LOADER FILE KIND...: with an unsigned loader as LOADER of EFI/debian and FILE of EFI/BOOT the console comes to show
# what await.c calls KIND... (shim draws a box, without line ends, and waits for a key), and nothing starts.
refuses() {
	local file files=("/EFI/debian/$2" "/EFI/BOOT/$3")
	for file in "${files[@]}"; do
		mcopy -n -i "$work/disk@@1M" "::$file" "$work/$(basename "$file").kept"
		put "$work/disk" "$firmware/systemd-bootaa64.efi" "$file"
	done
	run "$1"
	check "$1-refuses-an-unsigned-$2" await 300 "${@:4}" "$work/$1.out"
	check "$1-starts-nothing" eval "! grep -a 'GNU GRUB\|EFI stub\|Booting' $work/$1.out"
	kill -9 "${pid[$1]}"
	wait "${pid[$1]}" 2>/dev/null
	unset "pid[$1]"
	for file in "${files[@]}"; do put "$work/disk" "$work/$(basename "$file").kept" "$file"; done
}

for release in 13 12; do
	name=secure$release
	code=AAVMF_CODE.secboot.fd
	[ $release = 13 ] || code=AAVMF_CODE.ms.fd
	machine $name $release/$code $release/AAVMF_VARS.ms.fd
	run $name
	system $name 1 on grub
	check "$name-grub-installs" guest $name 200 grub-install
	send $name reboot
	system $name 2 on grub
	check "$name-by-its-entry" entry $name debian
	off $name
	refuses $name grubaa64.efi grubaa64.efi text 'Verification failed: (0x1A) Security Violation'
	refuses $name shimaa64.efi BOOTAA64.EFI line 2 'Access Denied'
	run $name
	check "$name-starts-the-signed-ones-again" login $name 1
	check "$name-by-its-entry-again" entry $name debian
	off $name
done
# plain NAME [OVERLAY...]
plain() {
	put "$work/disk" "$work/shim.efi" /EFI/BOOT/BOOTAA64.EFI # bootctl puts its own there too
	run "$@"
	system "$1" 1 off grub
	check "$1-bootctl-installs" guest "$1" 100 'bootctl install'
	send "$1" reboot
	system "$1" 2 off systemd-boot
	check "$1-by-its-entry" entry "$1" 'Linux Boot Manager'
	off "$1"
}
machine plain12 12/AAVMF_CODE.fd 12/AAVMF_VARS.fd
plain plain12
# As README has it, of the overlays.
cp "$TOP"/dts/overlays/* "$work/"
ln -s disk "$work/disk.img"
sed -i "s|/usr/share/AAVMF|$firmware/13|" "$work/uefi.dtso"
plain base --overlay "$work/uefi.dtso" --overlay "$work/disk.dtso" --overlay "$work/window.dtso"

# U-Boot's EFI takes what is in EFI/BOOT.
machine uboot13 13/u-boot.bin
run uboot13
for n in 1 2; do
	system uboot13 $n off systemd-boot
	check "uboot13-is-u-boot-$n" guest uboot13 60 'dmesg | grep "efi: EFI v.* by Das U-Boot"'
	[ $n = 2 ] || send uboot13 reboot
done
off uboot13
done_testing
