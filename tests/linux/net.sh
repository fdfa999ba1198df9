#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 3072
# timeout: 400
# A network card on a tap interface: its address and MTU, TCP both ways with every byte compared, frames of 64 KiB cut
# by the other side, the cable pulled, memory that comes and goes meanwhile, and a reboot.

. "$(dirname "$0")/lib.bash"

ram='0x0 0x10000000'
card() { echo "net0 { compatible = \"sluice,virtio-net\"; tap = \"$1\"; ${2:-} };"; }
tree net 2 6.12 "$(usual_window) $(card tap0 'local-mac-address = [02 53 4c 55 00 01]; mtu = <1400>;')"
run net
# Where there is none, it is made, and goes with the machine.
check "makes-its-interface" until_true 60 ip addr add 10.9.0.1/24 dev tap0
ip link set tap0 mtu 1400 up
check "boots" booted net
check "has-its-mac" guest net 60 'grep -x 02:53:4c:55:00:01 /sys/class/net/eth0/address'
check "has-its-mtu" guest net 60 'grep -x 1400 /sys/class/net/eth0/mtu'
check "comes-up" guest net 60 'ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && until ping -c 1 -W 1 10.9.0.1; do :; done'

# The host's file comes to the guest, and goes back; both say what it is.
head -c 16M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
server() { socat -u "$1" "$2" & pid[server]=$!; }
receives() {
	server "OPEN:$work/data" TCP-LISTEN:7001,reuseaddr
	[ "$(guest net 200 'until nc 10.9.0.1 7001 </dev/null >/tmp/data 2>/dev/null && [ -s /tmp/data ]; do sleep 0.2; done; sha256sum </tmp/data')" = "$sum" ]
}
sends() {
	rm -f "$work/back"
	server TCP-LISTEN:7002,reuseaddr "OPEN:$work/back,creat"
	guest net 200 'until nc 10.9.0.1 7002 </tmp/data 2>/dev/null; do sleep 0.2; done' || return
	wait "${pid[server]}"
	[ "$(sha256sum <"$work/back")" = "$sum" ]
}
check "receives" receives
check "sends" sends

# The cable.
link() { qmp net "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net0\", \"up\": $1}}" | grep -q return; }
check "cable-out" link false
check "guest-sees-it" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do sleep 0.1; done'
check "cable-in" link true
check "goes-on" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done; until ping -c 1 -W 1 10.9.0.1; do :; done'
check "no-such-card" eval "qmp net '{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net1\", \"up\": true}}' | grep DeviceNotFound"

# While memory comes and goes.
send net "while :; do nc 10.9.0.1 7003 </tmp/data && break; sleep 0.2; done; sha256sum </tmp/data"
check "grows" "$SLUICE" mem net 512MiB
check "shrinks" "$SLUICE" mem net 0
server TCP-LISTEN:7003,reuseaddr "OPEN:$work/back2,creat"
arrives() { wait "${pid[server]}"; [ "$(sha256sum <"$work/back2")" = "$sum" ]; }
check "arrives-whole" arrives

send net 'reboot -f'
check "boots-again" booted net 2
check "comes-up-again" guest net 60 'ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && until ping -c 1 -W 1 10.9.0.1; do :; done'
send net 'poweroff -f'
check "powers-off" ended net 60 0

tree wrong 1 6.12 "$(card lo)"
check "no-tap-is-refused" eval '! "$SLUICE" check "$work/wrong.dts" 2>"$work/wrong.err" && grep "/net0: tap: lo is no tap interface" "$work/wrong.err"'
done_testing
