#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# memory: 4096
# timeout: 14400
# fresh
# all
# README.md's two commands in a new user's arm64 Debian, with nothing done before: what it lacks they install, build and
# run there, on this host's /dev/kvm. Emulated, it takes an hour or two: compilers run here.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/fresh.bash"

check "a-fresh-debian" fresh_debian
# says LINE COMMAND: it ends well, and some line of what it prints is that.
says() { in_fresh "cd /home/user/sluice; $2" | tee /dev/fd/2 | grep -qx "$1"; }
set -o pipefail
check "demo" says 'All of it was seen: \([0-9]*\) of \1 checks\.' toolchain/demo
check "test-of-units" says '[1-9][0-9]* passed, 0 failed, [0-9]* skipped' 'toolchain/test unit/gcc/window'
check "test-of-guests" says '[1-9][0-9]* passed, 0 failed, [0-9]* skipped' 'toolchain/test linux/driver@'
done_testing
