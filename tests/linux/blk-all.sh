#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# memory: 3072
# timeout: 1800
# all
# linux/blk-hostile on other kernels, with fifty kills of each machine in place of a few.

BLK_KILLS=50 . "$(dirname "$0")/blk-hostile.sh"
