#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# timeout: 300
# all
# stray.sh on the other hosts; linux/access makes each kind of access on each.
exec "$(dirname "$0")/stray.sh"
