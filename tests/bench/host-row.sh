#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What this host is, and a Linux guest with one CPU and 256 MiB in it: the row that toolchain/reports/hosts-table asks for, but
# for its name. The guest grows by 1 GiB, or by 256 MiB where the host has less than 2 GiB. With the environment of
# tests/linux; 1, and no whole row, where a part of it was not seen.

. "$(dirname "$0")/../linux/lib.bash"

"$SLUICE" doctor >"$work/doctor" || exit 1
says() { grep -o "$1" "$work/doctor" | head -n 1; }
grow=1024
[ "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)" -ge 2048 ] || grow=256
ram='0x0 0x10000000'
tree row 1 6.12 "$(usual_window)"
# Tenths of a second since the host's boot.
now() { awk '{ print int($1 * 10) }' /proc/uptime; }
begin=$(now)
run row
booted row >&2 || exit 1
boot=$(($(now) - begin))
# The guest's RAM is larger than anything else that is mapped.
beside=$(awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = 0 } /^Size:/ { guest = $2 >= 64 * 1024 } /^Rss:/ && !guest { kib += $2 } END { print kib }' \
	"/proc/${pid[row]}/smaps")
grown=$("$SLUICE" mem row "${grow}MiB" | tail -n 1) || exit 1
map_json row >"$work/map"
features=$(sed -n "s/.*guests' CPUs have //p" "$work/doctor" | sed 's/ (.*//')
! grep -q 'with nested' "$work/doctor" || features+=', EL2'
printf '%s | %s | %s | %s MiB | %s | %s | %s s | %s s (%s MiB) | %s MiB | %s KiB |\n' "$(uname -r)" "$(says 'GICv[23]')" "$(says '[0-9]* KiB pages' | sed 's/ pages//')" \
	"$(jq '.[0]."block-size" / 1048576' "$work/map")" "$(says '[0-9]* bits')" "$features" "$((boot / 10)).$((boot % 10))" \
	"$(sed 's/.*, \([0-9.]*\) s$/\1/' <<<"$grown")" $grow "$(jq '.[0].exposed / 1048576' "$work/map")" "$beside"
"$SLUICE" mem row 0 >/dev/null && kill "${pid[row]}" && ended row 60 0 >&2
