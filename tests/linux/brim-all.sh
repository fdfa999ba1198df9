#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# all
# timeout: 900
# brim.sh, and on until the guest has no memory left: the figures that tests/bench/RESULTS.md has beside the estimates.

BRIM_MEMORY=${BRIM_MEMORY:-256} BRIM_FORCE=yes BRIM_FILL=1500 exec "$(dirname "$0")/brim.sh"
