# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What benchmarks that run Sluice beside QEMU share, besides tests/linux/lib.bash: the same machine on QEMU, with its QMP
# socket where Sluice's would be, so that run, guest, qmp and ended are the same for both; and medians. Benchmarks end
# with 77 (skipped) where QEMU or a usable /dev/kvm is not there.

. "$TOP/tests/linux/lib.bash"

qemu=(qemu-system-aarch64)
[ ! -d /opt/qemu-arm64 ] || qemu=(/opt/qemu-arm64/lib/ld-linux-aarch64.so.1 --library-path /opt/qemu-arm64/lib /opt/qemu-arm64/qemu-system-aarch64)
if [ ! -w /dev/kvm ] || ! "${qemu[@]}" --version >"$work/version" 2>&1; then
	echo "skipped: no usable /dev/kvm, or no qemu-system-aarch64"
	exit 77
fi
mkdir -p "$(dirname "$(socket x)")"

# The least that QEMU needs for a machine like Sluice's; what is not named has its default.
virt=(-M virt,accel=kvm,gic-version=host,highmem-ecam=off -cpu host -nodefaults -nographic -nic none -serial stdio -no-reboot)

# A machine's usual window, as usual_window makes it for Sluice. $1: on or off, QEMU's dynamic-memslots; $2: bytes
# requested.
qemu_window() {
	echo -object memory-backend-ram,id=m,size=4G,reserve=off \
		-device "virtio-mem-pci,id=vmem0,memdev=m,block-size=2M,dynamic-memslots=$1,requested-size=$2"
}

# run_qemu NAME ARGUMENT...: as run.
run_qemu() {
	local name=$1
	shift
	rm -f "$work/$name.in"
	mkfifo "$work/$name.in"
	"${qemu[@]}" "${virt[@]}" -qmp "unix:$(socket "$name"),server=on,wait=off" "$@" <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
	pid[$name]=$!
	exec {fd}>"$work/$name.in"
	eval "input_$name=$fd"
}

# must COMMAND...: a benchmark that cannot go on says why, and has failed.
must() {
	"$@" >"$work/must" && return
	{ echo "failed: $*"; cat "$work/must"; tail -n 20 "$work"/*.err; } >&2
	exit 1
}

# median NUMBER...
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# The host, and both monitors, for the line above a table.
host_line() {
	echo "Host: Linux $(uname -r | sed 's/[-+].*//') on $(uname -m), $(nproc) CPUs;" \
		"QEMU $(sed -n 's/.*version \([0-9.]*\).*/\1/p' "$work/version")"
}
