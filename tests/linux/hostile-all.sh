#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# memory: 6144
# timeout: 1800
# all
# Every combination of slots, stray reads and backings.
HOSTILE_ALL=1 exec "$(dirname "$0")/hostile.sh"
