#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# all
# debian
# memory: 3072
# timeout: 1200
# A Debian guest with systemd, from dts/debian.dts (some five minutes in an emulated host): to a login on the PL011, its
# root on a disk, the network through passt, the clock, /dev/hwrng, memory that comes and goes under stress-ng, reboot and
# poweroff.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"

ip link set lo up
socat -u TUN:10.7.0.2/24,tun-type=tap,up OPEN:/dev/null &
pid[tap]=$!
check "has-a-network" until_true 20 ip route add default via 10.7.0.1
ip addr add 10.8.0.1/32 dev lo
head -c 1M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
socat -U TCP-LISTEN:7001,reuseaddr,fork OPEN:"$work/data" &
pid[server]=$!

cp "$TOP/dts/debian.dts" "$TOP/dts/common.dtsi" "$GUESTS/6.12/vmlinuz" /opt/debian/initramfs "$work/"
dd if=/opt/debian/root.img of=/dev/disk/own bs=1M 2>/dev/null
ln -s /dev/disk/own "$work/root.img"
run debian
logins() { [ "$(grep -c 'debian login:' "$work/debian.out")" -ge "$1" ]; }
# login COUNT: at its COUNTth login root logs in, and goes on in a plain shell.
login() {
	until_true 400 logins "$1" || { tail -n 30 "$work/debian.out"; return 1; }
	send debian root
	until_true 100 eval "[ \$(grep -c 'root@debian' $work/debian.out) -ge $1 ]" || { tail -n 30 "$work/debian.out"; return 1; }
	send debian 'exec env PS1= sh -c "stty -echo -onlcr; exec sh"'
	guest debian 60 'dmesg -n 1' # the console is the test's
}
check "login" login 1
check "systemd" guest debian 60 'grep -x systemd /proc/1/comm'
check "root-is-the-disk" guest debian 60 '[ "$(findmnt -no SOURCE /)" = /dev/vda ] && touch /root/was-here'
check "address" guest debian 120 'until ip -4 addr | grep "inet 10.7.0.2/24"; do sleep 0.5; done'
check "network" eval "[ \"\$(guest debian 120 'bash -c \"exec 3<>/dev/tcp/10.8.0.1/7001; cat <&3 | sha256sum\"')\" = '$sum' ]"
clock() {
	local before after now
	before=$(date +%s)
	now=$(guest debian 60 'date +%s') || return
	after=$(date +%s)
	echo "host $before to $after, guest $now"
	[ "$now" -ge $((before - 2)) ] && [ "$now" -le $((after + 2)) ]
}
check "clock" clock
check "hwrng" eval '[ "$(guest debian 60 "head -c 4096 /dev/hwrng | wc -c")" = 4096 ]'

# What it stores it reads again, all the time.
check "stress" guest debian 60 'stress-ng --vm 1 --vm-bytes 128M --verify -t 0 >/tmp/stress 2>&1 & stress=$!; until grep dispatching /tmp/stress; do sleep 0.2; done'
memtotal() { guest debian 60 "awk '/^MemTotal/ { print int(\$2 / 1024) }' /proc/meminfo"; }
small=$(memtotal)
check "grows" "$SLUICE" mem debian 512MiB
check "is-larger" eval '[ "$(memtotal)" -ge $((small + 500)) ]'
check "shrinks" "$SLUICE" mem debian 0
check "is-small-again" eval '[ "$(memtotal)" -eq "$small" ]'
check "stress-was-content" guest debian 100 'kill -INT $stress; wait $stress; cat /tmp/stress; grep "passed: 1: vm" /tmp/stress'

send debian reboot
check "login-again" login 2
check "root-is-kept" guest debian 60 'ls /root/was-here'
check "address-again" guest debian 120 'until ip -4 addr | grep "inet 10.7.0.2/24"; do sleep 0.5; done'
send debian poweroff
check "poweroff" ended debian 300 0
done_testing
