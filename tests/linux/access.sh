#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# timeout: 120
# What one access of a guest does, wherever it goes, on the host's own KVM.
exec "$BUILD/tests/kvm/test-access"
