#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# timeout: 60
# The host itself, without which no other test means anything: it has /dev/kvm and a way to each guest kernel.

point=0
check() {
	local name=$1
	shift
	point=$((point + 1))
	if "$@"; then echo "ok $point - $name"; else echo "not ok $point - $name"; fi
}

echo 1..5
check "kvm-device" test -c /dev/kvm
for v in 6.1 6.12 6.12-16k 7.3; do
	check "guest-kernel-$v" eval '[ "$(head -c 60 "$GUESTS/$v/vmlinuz" | tail -c 4)" = "$(printf "ARM\x64")" ] && [ -s "$GUESTS/$v/initramfs" ]'
done
