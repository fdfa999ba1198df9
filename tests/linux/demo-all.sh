#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# timeout: 900
# all
# Each way in which the demonstration can fail.
DEMO_ALL=1 exec "$(dirname "$0")/demo.sh"
