#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: virt-gicv2 ampere raspi4 host-16k nested
# memory: 3072
# timeout: 1800
# all
# The whole of the main job with each guest kernel on one vCPU and on 32 (8 where the GIC is a GICv2), on each kind of host.
HOSTS_ALL=1 exec "$(dirname "$0")/hosts.sh"
