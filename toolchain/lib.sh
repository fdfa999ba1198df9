# SPDX-License-Identifier: Apache-2.0
# What the toolchain's scripts share: where the cache is, messages, locks, stamps and waiting. Sourced, never run.
# Everything that is downloaded or built lives under $cache, made under a temporary name and renamed when whole, so
# that an interrupted run leaves nothing half done.
# shellcheck shell=bash

set -Eeuo pipefail
# Nothing fails in silence: what said itself what failed is left at that.
trap 'case $BASH_COMMAND in busy* | return* | *"toolchain/"*) ;; *) say "$me: line $LINENO: failed: $BASH_COMMAND" ;; esac' ERR
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${SLUICE_CACHE:-$top/.cache}
mkdir -p "$cache/tmp"
cache=$(cd "$cache" && pwd)
me=$(basename "$0")
kernel_versions=(6.1 6.12 6.12-16k 7.3)
export LC_ALL=C.UTF-8
# The distribution's own tools, whatever else this machine has; depmod and others are in sbin.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH

# However a script ends, what it started ends with it: busy's command, its temporary folder, and what its own finish()
# knows of.
busy_pid='' busy_log='' tmp=''
leave() {
	[ -z "$busy_pid" ] || { kill -- "-$busy_pid" 2>/dev/null || :; rm -f "$busy_log"; }
	if declare -F finish >/dev/null; then finish; fi
	[ -z "$tmp" ] || rm -rf "$tmp"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A script that says nothing else of itself shows its head for -h and --help.
case ${1:-} in
-h | --help) grep -q -e '--help)' "$0" || { sed -n '3,$!d; /^#/!q; s/^# \{0,1\}//p' "$0"; exit 0; } ;;
esac

say() { printf '%s\n' "$*" >&2; }
# die WHAT-FAILED [WHAT-TO-DO]
die() { printf '%s: %s\n' "$me" "$1" >&2; [ $# -lt 2 ] || printf '  %s\n' "${@:2}" >&2; exit 1; }

# key WORD|FILE...: one checksum over words and over the contents of the files among them.
key() { for w in "$@"; do if [ -f "$w" ]; then cat "$w"; else printf '%s\n' "$w"; fi; done | sha256sum | cut -c1-32; }
# fresh STAMP KEY: whether STAMP was made from the same inputs.
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# lock NAME: until the script ends, no other run of the same step in this cache.
lock() {
	local fd
	exec {fd}>"$cache/tmp/lock-$1"
	flock -w 2 "$fd" && return
	say "$me: another run is at it, waiting for it"
	flock "$fd"
}

# tmpdir: a new folder that is removed when the script ends; the ones of dead runs are removed as well.
tmpdir() {
	local old
	for old in "$cache/tmp/$me".*; do
		[ ! -d "$old" ] || [ -d "/proc/${old##*.}" ] || rm -rf "$old"
	done
	tmp=$cache/tmp/$me.$$
	rm -rf "$tmp"
	mkdir -p "$tmp"
}

# busy LABEL COMMAND...: runs COMMAND with its output in a log, and shows that it goes on: one moving line on a
# terminal, a line every five seconds elsewhere. busy_note, if set, is a command that prints how far it is. A failure
# ends the script (call it bare: after "||" a function given to it would go on past its own errors). Its time goes into
# the file $SLUICE_TIMES, if set, for toolchain/reports/test-times.
busy() {
	local label=$1 start=$SECONDS t=0 rc=0 erase=''
	shift
	busy_log=$(mktemp "$cache/tmp/log.XXXXXX")
	[ ! -t 2 ] || erase=$'\r\e[K'
	[ -n "$erase" ] || say "$label"
	set -m
	"$@" >"$busy_log" 2>&1 </dev/null &
	busy_pid=$!
	set +m
	while kill -0 "$busy_pid" 2>/dev/null; do
		[ -z "$erase" ] || printf '%s%s %s%ds' "$erase" "$label" "$(${busy_note:-:})" $((SECONDS - start)) >&2
		sleep 0.2
		[ -n "$erase" ] || [ $((++t % 25)) -ne 0 ] || say "  ... $(${busy_note:-:})$((SECONDS - start))s"
	done
	wait "$busy_pid" || rc=$?
	busy_pid=''
	[ -z "${SLUICE_TIMES:-}" ] || printf 'part\t%s\t%d\t%s\n' "$me" $((SECONDS - start)) "$label" >>"$SLUICE_TIMES"
	[ -z "$erase" ] || printf '%s%s%s\n' "$erase" "$label" \
		"$([ $((SECONDS - start)) -lt 2 ] || echo " ($((SECONDS - start))s)")" >&2
	if [ "$rc" -ne 0 ]; then
		# A compiler's first complaint if there is one, else the end.
		{ grep -m 1 -A 40 '^FAILED: ' "$busy_log" || tail -n 20 "$busy_log"; } | cut -c1-400 | sed 's/^/  | /' >&2
		say "$me: failed: $label" "(the whole log: $busy_log)"
	else
		rm -f "$busy_log"
	fi
	return "$rc"
}

# megabytes BYTES
megabytes() { echo "$((($1 + 500000) / 1000000)) MB"; }

# unpack DEB FOLDER [TAR-ARGUMENT...]: the files of a package, links in FOLDER that replace folders left as they are.
unpack() {
	local deb=$1 to=$2
	shift 2
	dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$to" "$@"
}

# squash FOLDER FILE [ARGUMENT...]: a disk of FOLDER, not compressed, so that a host reads it straight from this machine's page cache.
squash() { mksquashfs "$1" "$2" -quiet -no-progress -noappend -all-root -noI -noD -noF -noX "${@:3}"; }

# mirror: that of the release that this machine runs, as apt names it.
mirror() {
	apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)' |
		awk '$1 == "Packages" && $2 == "main" && $3 ~ /^(bookworm|trixie|oldstable|stable)$/ { print $4; exit }'
}

# direct: whether this machine is an arm64 host itself.
direct() { [ "$(uname -m)" = aarch64 ] && [ -c /dev/kvm ]; }
# prepare_here VERSION...: what an emulated host has, on this one: the guests' kernels in cache/guests, and in the array
# `here` the words before a command that give it the environment.
prepare_here() {
	local v
	"$top/toolchain/initramfs" guest "$@"
	for v in "$@"; do
		mkdir -p "$cache/guests/$v"
		ln -sfn "$cache/kernels/$v"/vmlinuz* "$cache/guests/$v/"
		ln -sfn "$cache/kernels/$v/initramfs-guest" "$cache/guests/$v/initramfs"
	done
	here=(env "TOP=$top" "GUESTS=$cache/guests" "BUILD=$cache/build-arm64"
		"SLUICE=$(find "$cache/build-arm64" -name sluice -type f | head -n 1)")
}
