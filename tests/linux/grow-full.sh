#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# memory: 6144
# timeout: 1800
# all
# grow.sh with 1 and 4 vCPUs for each guest, three times, which fills all that it got each time.

GROW_CPUS="1 4" GROW_FILL=2600 GROW_ROUNDS=3 exec "$(dirname "$0")/grow.sh"
