#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From the start of the monitor's process to a bare-metal guest's first byte on the console (it is among the guest's first
# instructions), and to the end after its power-off; and, of an idle Linux guest of 512 MiB, what the process holds beside
# the guest's memory. On Sluice and on QEMU in turn, medians of $ROUNDS (11).

. "$TOP/tests/bench/beside.bash"

hello=$BUILD/tests/guests/bare/guest-hello
tree start 1 none
cp "$hello" "$work/hello"
sed -i "s|vmlinuz-none|hello|; /sluice,initrd/d" "$work/start.dts"
dtc -q -o "$work/start.dtb" "$work/start.dts"
cp "$BUILD/tests/bench/start-time" "$work/"
"$work/start-time" "${ROUNDS:-11}" source "$SLUICE" run "$work/start.dts" -- binary "$SLUICE" run "$work/start.dtb" -- \
	qemu "${qemu[@]}" "${virt[@]}" -m 512M -kernel "$hello" >"$work/times" 2>"$work/times.err" || { cat "$work/times.err" >&2; exit 1; }

# beside NAME: KiB outside the guest's memory, which is one mapping, or parts of it that all are larger than any other.
beside() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = 0 } /^Size:/ { guest = $2 >= 64 * 1024 } /^Rss:/ && !guest { kib += $2 } END { print kib }' "/proc/${pid[$1]}/smaps"
}
idle() {
	must booted "$1"
	sleep 3
	beside "$1" >"$work/$1.beside"
	send "$1" 'poweroff -f'
	must ended "$1" 60 0
}
tree sluice 1 6.12
run sluice
idle sluice
run_qemu qemu -m 512M -kernel "$GUESTS/6.12/vmlinuz" -initrd "$GUESTS/6.12/initramfs" -append "console=ttyAMA0 quiet guest.plain"
idle qemu

host_line
printf '\n| monitor | first byte | ended | resident beside the memory of an idle Linux guest |\n|---|---|---|---|\n'
# row LABEL COMMAND MACHINE
row() { awk -v label="$1" -v name="$2" -v kib="$(cat "$work/$3.beside")" '$1 == name { printf "| %s | %.0f ms | %.0f ms | %s KiB |\n", label, $2, $3, kib }' "$work/times"; }
row 'Sluice, from a .dts' source sluice
row 'Sluice, from a .dtb' binary sluice
row QEMU qemu qemu
