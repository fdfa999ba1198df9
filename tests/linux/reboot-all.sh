#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# timeout: 600
# all
# reboot.sh on each host, ten times; linux/grow reboots a guest on each, once.
REBOOTS=10 exec "$(dirname "$0")/reboot.sh"
