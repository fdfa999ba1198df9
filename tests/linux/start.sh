#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 10
# A machine without devices asks for nothing at its start that it does not need: by its system calls.

. "$(dirname "$0")/lib.bash"

ram='0x0 0x8000000'
bare off off 1
dtc -q -o "$work/off.dtb" "$work/off.dts"
check 'powers-off' timeout 60 strace -f -o "$work/calls" "$SLUICE" run "$work/off.dtb"
# times MOST PATTERN: so many calls at most are of this kind.
times() {
	local count
	count=$(grep -cE "$2" "$work/calls")
	[ "$count" -le "$1" ] || { echo "$count times, not $1:"; grep -E "$2" "$work/calls"; false; }
}
check 'its-calls-were-seen' grep -q 'KVM_RUN' "$work/calls"
check 'one-vm-is-made' times 1 'KVM_CREATE_VM'
check 'the-address-space-is-not-searched' times 1 'MAP_NORESERVE'
check 'nothing-is-asked-of-fresh-memory' times 0 'mincore\('
check 'libraries-but-the-c-library-are-not-loaded' times 1 'openat\(.*\.so[.0-9]*", .* = [0-9]'
check 'no-event-is-made-that-nobody-hears' times 0 'libjansson|/dev/urandom'

done_testing
