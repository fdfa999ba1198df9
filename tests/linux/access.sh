#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# cpu@6.1: cortex-a72
# more-hosts: 6.12
# cpus: 1
# seconds: 15
# What one access of a guest does, wherever it goes, on the host's own KVM; and what the host provides and reclaims.
"$BUILD/tests/kvm/test-access"
access=$?
echo 40 >/proc/sys/vm/nr_hugepages
"$BUILD/tests/kvm/test-backing" && exit $access
