#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# machines: nested
# memory: 3072
# timeout: 1800
# all
# nested.sh, and a Linux guest in the guest, whose window grows and shrinks.
NESTED_ALL=1 exec "$(dirname "$0")/nested.sh"
