#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The Debian guest of toolchain/debian, from the start of the monitor's process to the login prompt on its PL011: how long,
# and what was spent until then; then, once it does nothing more, what the process holds beside the guest's memory. Each on
# a fresh copy of the same disk with the same kernel, on Sluice (dts/debian.dts, without its network) and on QEMU
# (virtio-blk-pci, virtio-mem-pci, virtio-rng-pci) in turn; medians of $ROUNDS (3).

. "$TOP/tests/bench/io.bash"
needs /opt/debian

fresh_disk() { cp --sparse=always /opt/debian/root.img "$work/root.img"; }
# The passt of dts/debian.dts would be a process that QEMU has not; it has rows of its own in the bench of the network.
sed '/^\tnet0 {$/,/^\t};$/d' "$TOP/dts/debian.dts" >"$work/sluice.dts"
cp "$TOP/dts/common.dtsi" "$GUESTS/6.12/vmlinuz" /opt/debian/initramfs "$work/"
arguments=$(sed -n 's/.*bootargs = "\(.*\)";/\1/p' "$work/sluice.dts")
start() {
	if [ "$1" = sluice ]; then
		run sluice
	else
		# shellcheck disable=SC2046
		run_qemu qemu -smp 2 -m 512M,maxmem=8G,slots=1 $(qemu_window on 0) -kernel "$work/vmlinuz" -initrd "$work/initramfs" -append "$arguments" \
			-drive "if=none,id=root,format=raw,cache=writeback,aio=io_uring,file=$work/root.img" -device virtio-blk-pci,drive=root -device virtio-rng-pci
	fi
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# KiB outside the guest's memory, as in start.sh.
beside_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = 0 } /^Size:/ { guest = $2 >= 64 * 1024 } /^Rss:/ && !guest { kib += $2 } END { print kib }' "/proc/${pid[$1]}/smaps"
}
declare -A took spent_us alone exited held
for ((round = 0; round < rounds; round++)); do
	for name in sluice qemu; do
		fresh_disk
		begun=$(now_ms)
		start $name
		must own_group $name
		must await 900 text 'debian login:' "$work/$name.out"
		took[$name]+=" $(($(now_ms) - begun))"
		mapfile -t spent < <(counters $name)
		spent_us[$name]+=" $((spent[0] / 1000))"
		alone[$name]+=" $(((spent[0] - spent[1]) / 1000))"
		exited[$name]+=" ${spent[2]}"
		sleep 10
		held[$name]+=" $(beside_kib $name)"
		echo "$name:${took[$name]} /${spent_us[$name]} /${alone[$name]} /${exited[$name]} /${held[$name]}" >&2
		must qmp $name '{"execute": "quit"}'
		must ended $name 60 0
	done
done
host_line
printf '\n| monitor | login prompt | CPU time until then | beside vCPUs | exits | then resident beside the memory of the guest |\n|---|---|---|---|---|---|\n'
for name in sluice qemu; do
	# shellcheck disable=SC2046,SC2086
	printf '| %s | %d ms | %d ms | %d ms | %d | %d KiB |\n' "$([ $name = sluice ] && echo Sluice || echo QEMU)" $(median ${took[$name]}) \
		$(median ${spent_us[$name]}) $(median ${alone[$name]}) $(median ${exited[$name]}) $(median ${held[$name]})
done
