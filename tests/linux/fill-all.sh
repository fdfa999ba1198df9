#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# machines: nested
# memory: 9216
# all
# timeout: 5000
# Each machine of dts/ that this host can run fills its window, the README's too. 256 GiB are 4 GiB of page arrays.
FILL_ALL=1 FILL_TIMEOUT=1500 exec "$(dirname "$0")/fill.sh"
