# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# fio, iperf3 and socat for hosts and their guests, on the disk of toolchain/inputs/guest-io: a host that has it mounts it at
# /opt/guest-io, and so does a guest that is given the same disk, the second of its disks or the first.

io=/opt/guest-io
io_disk=$(awk -v at=$io '$2 == at { print $1 }' /proc/mounts)

# mounts_io NAME DEVICE: the guest has them too.
mounts_io() { guest "$1" 120 "mkdir -p $io && mount -t squashfs -o ro /dev/$2 $io"; }
