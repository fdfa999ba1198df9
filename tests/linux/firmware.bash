# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of firmware share: machines without a kernel, disks to boot from, U-Boot's prompt and UEFI's shell.

firmware=/opt/firmware

# firmware_tree NAME FILE CHOSEN [NODES]: a machine that FILE of $firmware starts, with more in /chosen.
firmware_tree() {
	tree "$1" "${cpus:-1}" none "${4:-}"
	sed -i "s|sluice,kernel = .*|sluice,firmware = \"$firmware/$2\"; $3|; /sluice,initrd/d; /bootargs = /d" "$work/$1.dts"
}

# boot_disk FILE MIB: a disk with one FAT partition, marked to be booted from and as UEFI's; put FILE FROM TO.
boot_disk() {
	truncate -s "$2M" "$1"
	# The partition's entry: bootable, type 0xef, from sector 2048 on.
	printf '\200\0\0\0\357\0\0\0\0\010\0\0' | dd of="$1" bs=1 seek=446 conv=notrunc 2>"$work/dd"
	printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((s = ($2 - 1) * 2048, s & 255)) $((s >> 8 & 255)) $((s >> 16 & 255)) $((s >> 24)))" |
		dd of="$1" bs=1 seek=458 conv=notrunc 2>"$work/dd"
	printf '\125\252' | dd of="$1" bs=1 seek=510 conv=notrunc 2>"$work/dd"
	mformat -i "$1@@1M" -T $((($2 - 1) * 2048)) -h 64 -s 32 -F ::
}
put() { mcopy -o -i "$1@@1M" "$2" "::$3"; }
folder() { mmd -i "$1@@1M" "::$2"; }

# linux_disk FILE: boots the guests' Linux by extlinux (U-Boot) and by systemd-boot (UEFI).
linux_disk() {
	local options="console=ttyAMA0 quiet $quick guest.plain memhp_default_state=online_movable"
	boot_disk "$1" 128
	put "$1" "$GUESTS/6.12/vmlinuz" /vmlinuz
	put "$1" "$GUESTS/6.12/initramfs" /initramfs
	folder "$1" /extlinux
	printf 'default l\ntimeout 1\nlabel l\n\tkernel /vmlinuz\n\tinitrd /initramfs\n\tappend %s\n' "$options" >"$work/extlinux.conf"
	put "$1" "$work/extlinux.conf" /extlinux/extlinux.conf
	folder "$1" /EFI
	folder "$1" /EFI/BOOT
	folder "$1" /loader
	folder "$1" /loader/entries
	put "$1" "$firmware/systemd-bootaa64.efi" /EFI/BOOT/BOOTAA64.EFI
	printf 'title Linux\nlinux /vmlinuz\ninitrd /initramfs\noptions %s\n' "$options" >"$work/linux.conf"
	put "$1" "$work/linux.conf" /loader/entries/linux.conf
	printf 'timeout 0\n' >"$work/loader.conf"
	put "$1" "$work/loader.conf" /loader/loader.conf
}

# at_prompt NAME COUNT: U-Boot came up for the COUNTth time, and its autoboot is stopped.
at_prompt() {
	await 100 line "$2" '^U-Boot 20' "$work/$1.out" || { tail -n 20 "$work/$1.out" "$work/$1.err"; return 1; }
	# Its countdown may not have begun: a key that comes before it stops it too.
	send "$1" ''
	send "$1" ''
	uboot "$1" 60 true
}
# uboot NAME SECONDS COMMAND: at the prompt; its status. What it printed is in $work/said.
uboot_serial=0
uboot() {
	local mark from
	uboot_serial=$((uboot_serial + 1))
	mark="@$uboot_serial@"
	from=$(wc -c <"$work/$1.out")
	send "$1" "$3; echo $mark\$?"
	await "$2" line 1 "^$mark[0-9]" "$work/$1.out" || { tail -n 20 "$work/$1.out" "$work/$1.err"; return 1; }
	tail -c +$((from + 1)) "$work/$1.out" | tr -d '\r' >"$work/said"
	grep -q "^${mark}0" "$work/said" || { cat "$work/said"; return 1; }
}

# in_shell NAME COUNT: the shell's prompt is there for the COUNTth time since this process runs.
in_shell() {
	await 150 line "$2" 'UEFI Interactive Shell' "$work/$1.out" || { tail -n 20 "$work/$1.out" "$work/$1.err"; return 1; }
	# Any key ends its countdown.
	send "$1" ''
	uefi "$1" 60 'echo here' '^here'
}
# uefi NAME SECONDS COMMAND PATTERN: what the command prints comes to have a line that fits.
uefi_serial=0
uefi() {
	local fd=input_$1 from
	from=$(wc -c <"$work/$1.out")
	printf '%s\r' "$3" >&"${!fd}"
	until_true "$2" eval "tail -c +$((from + 1)) '$work/$1.out' | sed 's/\x1b\[[0-9;?=]*[a-zA-Z]//g' | tr -d '\r' | grep -q '$4'" ||
		{ tail -c +$((from + 1)) "$work/$1.out"; cat "$work/$1.err"; return 1; }
}
# sets NAME COMMAND...: that print nothing of their own. The last one is over when it has returned.
sets() {
	local command name=$1
	shift
	for command in "$@"; do
		uefi_serial=$((uefi_serial + 1))
		printf '%s\r' "$command" >&"$(fd=input_$name; echo "${!fd}")"
		uefi "$name" 60 "echo done-$uefi_serial" "^done-$uefi_serial" || return
	done
}

# grows_and_shrinks NAME: the guest's Linux takes memory and gives it back, and knows of none that it does not have.
grows_and_shrinks() {
	local before
	before=$(guest "$1" 60 "awk '/MemTotal/ { print int(\$2 / 1024) }' /proc/meminfo")
	"$SLUICE" mem "$1" 256MiB || { guest "$1" 60 'dmesg | grep -i virtio_mem'; return 1; }
	guest "$1" 60 "awk -v before=$before '/MemTotal/ { now = int(\$2 / 1024); print before, now; exit now - before < 240 }' /proc/meminfo" &&
		guest "$1" 60 '! grep -A 1 "100000000-1ffffffff : reserved" /proc/iomem' && shrinks "$1"
}
