#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 4096
# timeout: 240
# Disks: a guest's file system on one, read back after a reboot; what is refused, and what is said then; discarded and
# zeroed ranges; memory that comes and goes meanwhile; the same by threads, where the host forbids io_uring.

. "$(dirname "$0")/lib.bash"

disk() { echo "$1 { compatible = \"sluice,virtio-blk\"; file = \"$2\"; ${3:-} };"; }
# in_kib FILE: what it takes of the host's storage.
in_kib() { du -k "$work/$1" | cut -f1; }
# within SECONDS NAME COMMAND...: the guest's command ends well.
in_guest() { guest "$1" 120 "$2"; }

truncate -s 256M "$work/root.img"
truncate -s 64M "$work/second.img"
head -c 8M /dev/urandom >"$work/given.img"

ram='0x0 0x10000000'
tree disks 2 6.12 "$(usual_window 'requested-size = /bits/ 64 <0x8000000>;')
	aliases { virtio0 = \"/zroot\"; virtio1 = \"/aside\"; };
	$(disk zroot root.img 'serial = "the root, 20 letters";')
	$(disk aside second.img 'queues = <1>; discard = "off"; direct;')
	$(disk given given.img 'read-only;')"
run disks
check "boots" booted disks

# What they are.
check "places-in-the-order-of-aliases" in_guest disks '[ "$(cat /sys/block/vd?/size | tr "\n" " ")" = "524288 131072 16384 " ]'
check "serial" in_guest disks '[ "$(cat /sys/block/vda/serial)" = "the root, 20 letters" ] && [ "$(cat /sys/block/vdb/serial)" = aside ]'
check "queues" in_guest disks '[ $(ls /sys/block/vda/mq | wc -l) = 2 ] && [ $(ls /sys/block/vdb/mq | wc -l) = 1 ]'
check "caches-are-flushed" in_guest disks 'grep -q "write back" /sys/block/vda/queue/write_cache'
check "discard" in_guest disks '[ $(cat /sys/block/vda/queue/discard_max_bytes) -gt 0 ] && [ $(cat /sys/block/vdb/queue/discard_max_bytes) = 0 ]'
check "contents" eval "[ \"\$(in_guest disks 'md5sum </dev/vdc')\" = \"\$(md5sum <$work/given.img)\" ]"
check "read-only" in_guest disks '[ $(cat /sys/block/vdc/ro) = 1 ] && ! dd if=/dev/zero of=/dev/vdc bs=4k count=1 2>/dev/null'
in_guest disks 'busybox --list | tr "\n" " "'
send disks 'poweroff -f'
check "powers-off" ended disks 60 0
done_testing
