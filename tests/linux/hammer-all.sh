#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# timeout: 300
# all
# hammer.sh on the host between its two.
exec "$(dirname "$0")/hammer.sh"
