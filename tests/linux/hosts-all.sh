#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: virt-gicv2 ampere raspi4 host-16k nested
# memory: 3072
# timeout: 1800
# all
# The whole of the main job with each guest kernel on one vCPU and on eight, and the machines of dts/ with their overlays,
# on each kind of host: four to six minutes each.
HOSTS_ALL=1 exec "$(dirname "$0")/hosts.sh"
