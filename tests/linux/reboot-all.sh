#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# memory: 4096
# timeout: 600
# all
# reboot.sh on the other hosts; linux/grow reboots a guest on each.
exec "$(dirname "$0")/reboot.sh"
