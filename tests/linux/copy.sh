#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12
# seconds: 60
# The gate's log against a real guest: a copier (copier.c) copies the guest's memory while it runs, then only pages that
# KVM's log or the gate's names, and finds its copy complete while a disk, a card, the console, random bytes, the balloon
# and the window all write or change memory. A copier that ignores the gate's log finds at once what is missing.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"
SLUICE=$BUILD/tests/linux/copier
export COPIER_REPORT=$work/report

ram='0x0 0xc000000'
head -c 24M /dev/urandom >"$work/disk"
head -c 4M /dev/urandom >"$work/data"
tree copy 2 6.12 "$(usual_window)
	disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; };
	net0 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; };
	rng { compatible = \"sluice,virtio-rng\"; };
	balloon { compatible = \"sluice,virtio-balloon\"; };"

cp "$work/copy.dts" "$work/forgets.dts"
COPIER_FORGETS=yes run forgets
check "one-that-forgets-notices" ended forgets 120 99
check "which-page-it-missed" grep 'was written, and is in no log' "$COPIER_REPORT"
rm -f "$COPIER_REPORT"

# compared: the comparisons so far. once_more: there are two more than there were, so one began after what came before.
compared() { grep -c '^compared' "$COPIER_REPORT"; }
once_more() {
	local before
	before=$(compared)
	until_true 100 eval "[ \$(compared) -ge $((before + 2)) ]" || { cat "$COPIER_REPORT" "$work/copy.err"; false; }
}
# devices_wrote MIB: so much at least came from devices alone.
devices_wrote() {
	local pages
	pages=$(sed -n '$s/.*by devices alone: \([0-9]*\).*/\1/p' "$COPIER_REPORT")
	echo "devices alone have written $pages pages"
	[ "$pages" -ge $(($1 * 256)) ]
}

run copy
check "boots" booted copy
check "its-boot-is-copied" once_more
check "made-tap" until_true 60 ip addr add 10.9.0.1/24 dev tap0
ip link set tap0 up
# Its page cache takes the disk: pages that nobody but the disk writes to.
check "reads-a-disk" guest copy 120 'cat /dev/vda | sha256sum | grep -q '"$(sha256sum <"$work/disk" | cut -c 1-64)"
check "that-is-copied" once_more
check "the-disk-wrote" devices_wrote 8
check "writes-a-disk" guest copy 120 'dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync'
server "OPEN:$work/data" "TCP-LISTEN:7000,reuseaddr"
check "brings-a-file" guest copy 120 'ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && cd /tmp && nc 10.9.0.1 7000 </dev/null >data;
	sha256sum <data | grep -q '"$(sha256sum <"$work/data" | cut -c 1-64)"
check "takes-random-bytes" guest copy 60 'dd if=/dev/hwrng of=/dev/null bs=4k count=64'
check "that-is-copied-too" once_more
check "grows" "$SLUICE" mem copy 128MiB
check "reads-it-anew" guest copy 120 'echo 3 >/proc/sys/vm/drop_caches; cat /dev/vda >/dev/null'
check "growth-is-copied" once_more
check "inflates" "$SLUICE" balloon copy 280MiB
check "what-it-gave-is-copied" once_more
check "deflates" "$SLUICE" balloon copy 320MiB
check "shrinks" shrinks copy
check "what-went-is-copied" once_more
check "grows-again" "$SLUICE" mem copy 64MiB
check "what-came-back-is-copied" once_more
send copy 'poweroff -f'
check "powers-off" ended copy 60 0
sed 's/^/# /' "$COPIER_REPORT" | tail -n 3
done_testing
