#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the start and the end of a machine take that has one CPU, 128 MiB and no devices, and whose guest powers off by its
# first instructions: from before the process is made until it has been waited for, in a host whose clock counts
# instructions; its system calls, of all threads; and what the process of an idle Linux guest of dts/minimal.dts holds
# beside the guest's memory. Of the program as it is shipped, of it with each of the libraries that it may come to need
# loaded at its start, and of the static one. Medians of $ROUNDS (21).

. "$TOP/tests/linux/lib.bash"

[ -w /dev/kvm ] || { echo "skipped: no usable /dev/kvm"; exit 77; }
static=$BUILD/board/sluice-static libraries=/usr/lib/aarch64-linux-gnu
cp "$BUILD/tests/bench/start-time" "$SLUICE" "$work/"
cp "$static" "$work/sluice-static"
ram='0x0 0x8000000'
bare off off 1
dtc -q -o "$work/off.dtb" "$work/off.dts"
sync

row_names=(dynamic jansson zlib liburing static)
declare -A label=([dynamic]='dynamic' [static]='static' [jansson]='dynamic, jansson loaded as well'
	[zlib]='dynamic, zlib loaded as well' [liburing]='dynamic, liburing loaded as well')
declare -A preload=([jansson]=libjansson.so.4 [zlib]=libz.so.1 [liburing]=liburing.so.2)
# A library that is not on this host has no row.
rows=()
for name in "${row_names[@]}"; do
	[ -n "${preload[$name]:-}" ] && [ ! -e "$libraries/${preload[$name]}" ] || rows+=("$name")
done

# program NAME: the words that start it.
program() {
	local file=sluice
	[ "$1" != static ] || file=sluice-static
	[ -z "${preload[$1]:-}" ] || echo "LD_PRELOAD=$libraries/${preload[$1]}"
	echo "$work/$file"
}

commands=()
for name in "${rows[@]}"; do
	mapfile -t words < <(program "$name")
	commands+=("$name" "${words[@]}" run "$work/off.dtb" -- "$name-version" "${words[@]}" --version --)
done
"$work/start-time" "${ROUNDS:-21}" "${commands[@]}" true "$(type -P true)" >"$work/times" || exit 1

# calls NAME: system calls from the start to the end.
calls() {
	mapfile -t words < <(program "$1")
	env "${words[@]::${#words[@]}-1}" strace -f -o "$work/$1.calls" "${words[@]: -1}" run "$work/off.dtb" >&2 || exit 1
	grep -c '^[0-9]* *[a-z_0-9]*(' "$work/$1.calls"
}
# beside NAME FIELD: KiB (the program lies in memory here, so that all of it would count as dirty: what is anonymous does not) outside the guest's memory, which is one mapping, or parts of it that all are larger than any other.
beside() {
	awk -v field="$2:" '/^[0-9a-f]+-[0-9a-f]+ / { guest = 0 } /^Size:/ { guest = $2 >= 64 * 1024 } $1 == field && !guest { kib += $2 } END { print kib }' \
		"/proc/${pid[$1]}/smaps"
}
# idle NAME: of an idle Linux guest.
cp "$TOP/dts/minimal.dts" "$TOP/dts/common.dtsi" "$GUESTS/6.12/initramfs" "$GUESTS/6.12/vmlinuz" "$work/"
declare -A memory=()
idle() {
	SLUICE=$(program "$1" | tail -n 1)
	run minimal
	booted minimal >&2 || exit 1
	sleep 15 # until it has settled (board/cli/run.c)
	memory[$1]="$(beside minimal Anonymous) KiB | $(beside minimal Rss) KiB"
	kill "${pid[minimal]}"
	ended minimal 60 0 >&2 || exit 1
}
idle dynamic
idle static

echo "Host: Linux $(uname -r | sed 's/[-+].*//') on $(uname -m), $(nproc) CPUs; the clock counts instructions: a million is 1 ms"
printf '\n| program | start to end | of it `sluice --version` | system calls | private and written, beside an idle guest | resident |\n|---|---|---|---|---|---|\n'
time_of() { awk -v name="$1" '$1 == name { print $3 }' "$work/times"; }
for name in "${rows[@]}"; do
	echo "| ${label[$name]} | $(time_of "$name") ms | $(time_of "$name-version") ms | $(calls "$name") | ${memory[$name]:- | } |"
done
echo "| \`true\` | $(time_of true) ms | | | | |"
