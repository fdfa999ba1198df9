#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 2
# seconds: 1500
# timeout: 10800
# with: firmware
# all
# Sluice is killed a hundred times each while U-Boot saves its environment and while UEFI sets variables, at moments that
# differ. At the next start U-Boot has its environment as it was before or after, or says that its checksum is wrong and takes
# its default; UEFI has each variable as it was before or after.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/firmware.bash"

times=${KILLS:-100}
ram='0x0 0x10000000'
# kill_after MS NAME
kill_after() {
	local s
	printf -v s '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
	read -r -t "$s" -u "$pause"
	kill -9 "${pid[$2]}"
	wait "${pid[$2]}" 2>/dev/null
	unset "pid[$2]"
}
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

firmware_tree uboot 13/u-boot.bin 'sluice,flash = "env";'
run uboot
check "u-boot-comes-up" at_prompt uboot 1
check "u-boot-sets" uboot uboot 60 'setenv n 0'
since=$(now_ms)
check "u-boot-saves" uboot uboot 60 saveenv
took=$(($(now_ms) - since))
kill_after 0 uboot
echo "# to save its environment takes U-Boot $took ms"
# killed I: what was there is I - 1, or an I before that if saving was in vain. Old, new and default are counted.
old=0 new=0 default=0 has=0
killed() {
	local said
	run uboot
	at_prompt uboot 1 || return
	if grep -q 'bad CRC, using default environment' "$work/uboot.out"; then
		default=$((default + 1))
		has=
	else
		uboot uboot 60 'printenv n' || return
		said=$(sed -n 's/^n=//p' "$work/said")
		if [ "$said" = "$has" ]; then
			old=$((old + 1))
		elif [ "$said" = $(($1 - 1)) ]; then
			new=$((new + 1))
		else
			echo "n is '$said', neither '$has' nor $(($1 - 1))"
			return 1
		fi
		has=$said
	fi
	uboot uboot 60 "setenv n $1" || return
	send uboot saveenv
	kill_after $((took * $1 / times + RANDOM % 50)) uboot
}
fails=0
for ((i = 1; i <= times; i++)); do killed $i >"$work/killed" 2>&1 || { fails=$((fails + 1)); cat "$work/killed"; gone uboot || kill_after 0 uboot; }; done
echo "# of $times: $old old, $new new, $default default"
check "u-boot-finds-old-or-new-or-says-so" [ $fails = 0 ]
check "u-boot-was-hit-in-between" [ $default -gt 0 ]

firmware_tree uefi 13/AAVMF_CODE.no-secboot.fd "sluice,flash = \"vars\"; sluice,flash-template = \"$firmware/13/AAVMF_VARS.fd\";"
variable='-guid 11111111-2222-3333-4444-555555555555'
run uefi
check "uefi-comes-up" in_shell uefi 1
since=$(now_ms)
check "uefi-sets" sets uefi "setvar n $variable -bs -rt -nv =L\"v0\"" "setvar m $variable -bs -rt -nv =L\"w\""
took=$(($(now_ms) - since))
kill_after 0 uefi
echo "# to set two variables takes UEFI $took ms"
old=0 new=0 has=0
killed() {
	local said
	run uefi
	in_shell uefi 1 || return
	uefi uefi 60 "setvar m $variable" '77 00' || return # the one that nobody touches
	uefi uefi 60 "setvar n $variable" '76 00' || return
	said=$(sed 's/\x1b\[[0-9;?=]*[a-zA-Z]//g' "$work/uefi.out" | tr -d '\r' | sed -n 's/^76 00 \([0-9 ]*\).*/\1/p' | tail -n 1 | sed 's/3\(.\) 00 */\1/g')
	if [ "$said" = "$has" ]; then
		old=$((old + 1))
	elif [ "$said" = $(($1 - 1)) ]; then
		new=$((new + 1))
	else
		echo "n is '$said', neither '$has' nor $(($1 - 1))"
		return 1
	fi
	has=$said
	printf '%s\r' "setvar n $variable -bs -rt -nv =L\"v$1\"" >&"$input_uefi"
	kill_after $((took * 2 * $1 / times + RANDOM % 50)) uefi
}
fails=0
for ((i = 1; i <= times; i++)); do killed $i >"$work/killed" 2>&1 || { fails=$((fails + 1)); cat "$work/killed"; gone uefi || kill_after 0 uefi; }; done
echo "# of $times: $old old, $new new"
check "uefi-finds-old-or-new" [ $fails = 0 ]
check "uefi-both" [ $old -gt 0 -a $new -gt 0 ]
done_testing
