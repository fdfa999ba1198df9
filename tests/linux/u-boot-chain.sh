#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 2
# seconds: 60
# with: firmware
# A verified chain by stock U-Boot: the owner's key stands as /signature in the tree that U-Boot gets, its environment is
# in a flash that cannot be written and starts one FIT alone, and no key stops it. What that stops: an unsigned FIT, a
# changed one, the prompt, saveenv. What it does not stop, where the environment is the guest's: booti of any kernel.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/firmware.bash"

ram='0x0 0x10000000'
fit=$firmware/fit
boot_disk "$work/disk" 64
put "$work/disk" "$fit/signed.itb" /signed.itb
put "$work/disk" "$fit/unsigned.itb" /unsigned.itb
put "$work/disk" "$fit/changed.itb" /changed.itb
put "$work/disk" "$GUESTS/6.12/vmlinuz" /vmlinuz
disk='disk0 { compatible = "sluice,virtio-blk"; file = "disk"; };'

declare -A verdicts # U-Boot's, of each kind of image
for release in 13 12; do
	# At the prompt, which the environment of this one allows.
	name=open$release
	firmware_tree $name $release/u-boot.bin "sluice,flash = \"env$release\";" "$disk $(cat $fit/signature.dtsi)"
	check "$release-is-checked" "$SLUICE" check "$work/$name.dts"
	run $name
	check "$release-prompt" at_prompt $name 1
	for kind in unsigned changed; do
		check "$release-loads-the-$kind-one" uboot $name 60 "virtio scan; load virtio 0:1 0x44000000 /$kind.itb"
		check "$release-refuses-the-$kind-one" eval "! uboot $name 60 'bootm 0x44000000#conf - 0x40000000' >$work/out && grep -i 'Failed to verify required signature\|Bad hash value\|Bad Data Hash' $work/said && ! grep '^h.llo from bare metal' $work/said || { cat $work/said; false; }"
		verdicts[$kind]=refuses
		! grep -q '^h.llo from bare metal' "$work/said" || verdicts[$kind]=starts
	done
	check "$release-loads-the-signed-one" uboot $name 60 'load virtio 0:1 0x44000000 /signed.itb'
	send $name 'bootm 0x44000000#conf - 0x40000000'
	check "$release-starts-the-signed-one" until_line 60 '^hello from bare metal, with a tree' "$work/$name.out"
	verdicts[signed]=refuses
	! grep -q '^hello from bare metal' "$work/$name.out" || verdicts[signed]=starts
	check "$release-says-whose-it-is" grep 'sha256,rsa2048:dev+' "$work/$name.out"
	check "$release-ends" ended $name 60 0
	# What it is not: a plain kernel is nobody's to refuse, where somebody has the prompt or the environment.
	run $name
	check "$release-prompt-again" at_prompt $name 1
	check "$release-loads-a-kernel" uboot $name 60 'virtio scan; load virtio 0:1 ${kernel_addr_r} /vmlinuz'
	send $name 'booti ${kernel_addr_r} - 0x40000000'
	check "$release-booti-is-not-stopped" until_line 60 'Starting kernel' "$work/$name.out"
	kill -9 "${pid[$name]}"
	wait "${pid[$name]}" 2>/dev/null
	unset "pid[$name]"

	# What Sluice says of the same images, with the same key.
	for kind in unsigned changed signed; do
		verdict=refuses
		tree sluice$kind 1 none
		sed -i "s|sluice,kernel = .*|sluice,kernel = \"$fit/$kind.itb\";|; /sluice,initrd/d" "$work/sluice$kind.dts"
		! "$SLUICE" check "$work/sluice$kind.dts" --verify required --key $fit/control.dtb >"$work/out" 2>&1 || verdict=starts
		echo "# $kind: U-Boot of Debian $release ${verdicts[$kind]} it, Sluice $verdict it: $(tail -n 1 "$work/out" | cut -c 1-150)"
		check "$release-sluice-says-the-same-of-the-$kind-one" eval "[ $verdict = ${verdicts[$kind]} ] || { cat $work/out; false; }"
	done

	# The owner's environment, which nobody can write.
	name=locked$release
	firmware_tree $name $release/u-boot.bin "sluice,flash = \"$fit/environment\"; sluice,flash-read-only;" "$disk $(cat $fit/signature.dtsi)"
	put "$work/disk" "$fit/unsigned.itb" /system.itb
	run $name
	for ((i = 0; i < 3; i++)); do
		check "$release-resets-with-the-unsigned-one-$i" await 100 line $((i + 1)) 'Failed to verify required signature\|resetting' "$work/$name.out"
		for ((n = 0; n < 20; n++)); do send $name ''; done
	done
	check "$release-has-no-prompt" eval "! grep '^=>' $work/$name.out"
	kill -9 "${pid[$name]}"
	wait "${pid[$name]}" 2>/dev/null
	unset "pid[$name]"
	put "$work/disk" "$fit/signed.itb" /system.itb
	run $name
	check "$release-starts-the-owners" until_line 100 '^hello from bare metal, with a tree' "$work/$name.out"
	check "$release-which-ends" ended $name 60 0
done

# At the prompt of one that is not locked: nothing can be saved.
firmware_tree ro 13/u-boot.bin 'sluice,flash = "ro"; sluice,flash-read-only;'
cp "$work/env13" "$work/ro"
cp "$work/ro" "$work/before"
run ro
check "ro-prompt" at_prompt ro 1
# U-Boot may say OK all the same; the file tells.
uboot ro 100 'setenv hello world; saveenv' >"$work/out" 2>&1
grep -i 'error\|fail\|OK' "$work/said" | sed 's/^/# saveenv says: /'
check "ro-is-unchanged" cmp "$work/ro" "$work/before"
send ro poweroff
check "ro-ends" ended ro 60 0
done_testing
