#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 20
# cpu: cortex-a72
# The caches of the tree are the guest's, on a host whose CPUs have a second level. Where a host's CPUs need no cleaning
# to the point of unification (CTR_EL0.IDC), KVM names one level only, and Linux heeds no more of the tree.

. "$(dirname "$0")/lib.bash"

ram='0x0 0x10000000'
tree caches 2 6.12
sed -i 's/cpu@0 { /l2: l2-cache { compatible = "cache"; cache-level = <2>; cache-unified; cache-size = <0x80000>; };\
	&next-level-cache = <\&l2>; /; s/cpu@1 { /&next-level-cache = <\&l2>; /' "$work/caches.dts"
run caches
check "boots" booted caches
check "has-the-tree's-caches" guest caches 60 'cd /sys/devices/system/cpu/cpu0/cache; grep . index*/*; cd index2; [ "$(cat size shared_cpu_list | tr "\n" " ")" = "512K 0-1 " ]'
send caches 'poweroff -f'
check "powers-off" ended caches 60 0
done_testing
