#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# timeout: 1200
# all
# kexec.sh and kdump.sh with the other guest kernels.
export KEXEC_GUESTS='6.1 7.3'
"$(dirname "$0")/kexec.sh"
"$(dirname "$0")/kdump.sh"
