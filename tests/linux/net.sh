#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 65
# A network card on a tap interface: its address and MTU, TCP both ways with every byte compared, frames of 64 KiB cut
# by the other side, the cable pulled, memory that comes and goes meanwhile, and a reboot. Then one on passt: address by
# DHCP, TCP both ways and by a forwarded port, both families, the host's loopback out of reach, a reboot, and each of
# passt and Sluice killed.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"

ip link set lo up
ram='0x0 0x10000000'
card() { echo "net0 { compatible = \"sluice,virtio-net\"; $1; ${2:-} };"; }
tree net 2 6.12 "$(usual_window) $(card 'tap = "tap0"' 'local-mac-address = [02 53 4c 55 00 01]; mtu = <1400>;')"
run net
# Where there is none, it is made, and goes with the machine.
check "makes-its-interface" until_true 60 ip addr add 10.9.0.1/24 dev tap0
ip link set tap0 mtu 1400 up
check "boots" booted net
check "has-its-mac" guest net 60 'grep -x 02:53:4c:55:00:01 /sys/class/net/eth0/address'
check "has-its-mtu" guest net 60 'grep -x 1400 /sys/class/net/eth0/mtu'
check "comes-up" guest net 60 'ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && until ping -c 1 -W 1 10.9.0.1; do :; done'

# The host's file comes to the guest, and the guest sends it back; both say what it is.
head -c 16M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
# receives NAME ADDRESS, sends NAME ADDRESS: of a guest, and where the host is for it. The receiver does not close its
# own direction first: passt before 2024 drops such a connection.
receives() {
	server "OPEN:$work/data" TCP-LISTEN:7001,reuseaddr
	[ "$(guest "$1" 200 "[ -p /tmp/open ] || mkfifo /tmp/open; until nc $2 7001 <>/tmp/open >/tmp/data 2>/dev/null && [ -s /tmp/data ]; do sleep 0.2; done; sha256sum </tmp/data")" = "$sum" ]
}
sends() {
	rm -f "$work/back"
	server TCP-LISTEN:7002,reuseaddr "OPEN:$work/back,creat"
	guest "$1" 200 "until nc $2 7002 </tmp/data 2>/dev/null; do sleep 0.2; done" || return
	wait "${pid[server]}"
	[ "$(sha256sum <"$work/back")" = "$sum" ]
}
check "receives" receives net 10.9.0.1
check "sends" sends net 10.9.0.1

# The cable.
link() { qmp "${2:-net}" "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net0\", \"up\": $1}}" | grep -q return; }
check "cable-out" link false
check "guest-sees-it" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do sleep 0.1; done'
check "cable-in" link true
check "goes-on" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done; until ping -c 1 -W 1 10.9.0.1; do :; done'
check "no-such-card" eval "qmp net '{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net1\", \"up\": true}}' | grep DeviceNotFound"

# While memory comes and goes.
send net "while :; do nc 10.9.0.1 7003 </tmp/data && break; sleep 0.2; done; sha256sum </tmp/data"
check "grows" "$SLUICE" mem net 512MiB
check "shrinks" shrinks net
server TCP-LISTEN:7003,reuseaddr "OPEN:$work/back2,creat"
arrives() { wait "${pid[server]}"; [ "$(sha256sum <"$work/back2")" = "$sum" ]; }
check "arrives-whole" arrives

send net 'reboot -f'
check "boots-again" booted net 2
check "comes-up-again" guest net 60 'ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && until ping -c 1 -W 1 10.9.0.1; do :; done'
send net 'poweroff -f'
check "powers-off" ended net 60 0

check "has-a-network" network_for_passt
truncate -s 4M "$work/data"
sum=$(sha256sum <"$work/data")
child() { passt=$(pgrep -x -P "${pid[passt]}" passt); }
tree passt 1 6.12 "$(card passt 'forward-tcp = "127.0.0.1/2222:22,::1/2223:22"; forward-udp = "127.0.0.1/5300:53,::1/5301:53"; speed = <2500>;')"
run passt
check "passt-starts" until_true 60 child
kill -9 "${pid[passt]}"
check "passt-ends-when-sluice-is-killed" await 60 end "$passt"
run passt
check "passt-boots" booted passt
dhcp='printf "#!/bin/sh\nip addr add \$ip/\$mask dev eth0; ip route add default via \$router; ip link set eth0 mtu \$mtu\n" >/tmp/dhcp; chmod +x /tmp/dhcp
	ip link set eth0 up && udhcpc -i eth0 -q -n -t 20 -T 1 -s /tmp/dhcp && ip addr show dev eth0 && ip route'
check "passt-gives-an-address" eval 'guest passt 60 "$dhcp" | grep -e "inet 10.7.0.2/24" -e "mtu 65520"'
check "passt-receives" receives passt 10.8.0.1
check "passt-sends" sends passt 10.8.0.1
guest passt 60 '(while :; do nc -l -p 22 -e cat; done) >/dev/null 2>&1 & true'
check "passt-forwards" until_true 60 forwarded
check "passt-says-its-speed" guest passt 60 'grep -x 2500 /sys/class/net/eth0/speed && grep -x full /sys/class/net/eth0/duplex'
# By the other family.
check "passt-has-an-address-of-ipv6" guest passt 60 'until ip -6 addr show dev eth0 scope global | grep inet6; do sleep 0.2; done'
check "passt-forwards-ipv6" until_true 60 forwarded ::1 2223
# The gateway would be the host's loopback, as the other address shows it to be served.
server OPEN:/etc/passwd TCP-LISTEN:7003,reuseaddr,fork
check "passt-keeps-loopback" guest passt 60 'until nc 10.8.0.1 7003 <>/tmp/open | grep root; do sleep 0.2; done; ! nc -w 3 10.7.0.1 7003 <>/tmp/open | grep root'
kill "${pid[server]}"
send passt 'reboot -f'
check "passt-boots-again" booted passt 2
check "passt-gives-an-address-again" eval 'guest passt 60 "$dhcp" | grep "inet 10.7.0.2/24"'
child && kill -9 "$passt"
check "passt-gone-is-logged" until_line 60 'net0: passt has ended (signal 9): the cable is out' "$work/passt.err"
check "passt-comes-again" until_line 60 'net0: passt runs again: the cable is in' "$work/passt.err"
check "passt-cable-is-in" guest passt 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done'
check "passt-gives-an-address-once-more" eval 'guest passt 60 "ip addr flush dev eth0; $dhcp" | grep "inet 10.7.0.2/24"'
guest passt 60 '(while :; do nc -l -p 22 -e cat; done) >/dev/null 2>&1 & true'
check "passt-forwards-again" until_true 60 forwarded
send passt 'poweroff -f'
check "passt-powers-off" ended passt 60 0

tree wrong 1 6.12 "$(card 'tap = "lo"')"
check "no-tap-is-refused" eval '! "$SLUICE" check "$work/wrong.dts" 2>"$work/wrong.err" && grep "/net0: tap: lo is no tap interface" "$work/wrong.err"'
tree without 1 6.12 "$(card passt)"
dtc -q -O dtb -o "$work/without.dtb" "$work/without.dts"
check "no-passt-is-refused" eval '! PATH=$work "$SLUICE" check "$work/without.dtb" 2>"$work/without.err" && grep "/net0: passt: there is no passt: apt install passt" "$work/without.err"'
done_testing
