#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# all
# debian
# memory: 3072
# timeout: 2400
# A Debian guest with systemd, from dts/debian.dts, and each device used by Debian's own programs (eleven to seventeen
# minutes in an emulated host). From power-on: a login on the PL011, disks, a card on passt and one on tap with vhost,
# the clock, /dev/hwrng, a named port, sockets, the balloon, memory that comes and goes under stress-ng, reboot, a
# watchdog that is left unfed, and the power button. Then a machine whose NoCloud disk cloud-init honours, to its poweroff.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"

check "has-a-network" network_for_passt
head -c 1M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
socat -U TCP-LISTEN:7001,reuseaddr,fork OPEN:"$work/data" &
pid[server]=$!

cp "$TOP"/dts/{debian.dts,common.dtsi,cloud-init.dtso} "$GUESTS/6.12/vmlinuz" /opt/debian/initramfs "$work/"
dd if=/opt/debian/root.img of=/dev/disk/own bs=1M 2>/dev/null
ln -s /dev/disk/own "$work/root.img"
cat >"$work/more.dtso" <<-'END'
	/dts-v1/;
	/plugin/;
	&{/} {
		disk1 { compatible = "sluice,virtio-blk"; file = "data"; read-only; };
		net1 { compatible = "sluice,virtio-net"; tap = "card"; vhost; };
		console0 { compatible = "sluice,virtio-console"; ports = "agent"; };
		vsock0 { compatible = "sluice,virtio-vsock"; cid = <7>; };
	};
END
# in_guest SECONDS COMMAND
in_guest() { guest debian "$@"; }
logins() { [ "$(grep -acE '(debian|seeded) login:' "$work/debian.out")" -ge "$1" ]; }
prompts() { [ "$(grep -acE 'root@(debian|seeded)' "$work/debian.out")" -ge "$1" ]; }
# login COUNT: at its COUNTth login root logs in, and goes on in a plain shell.
login() {
	until_true 600 eval "logins $1 || gone debian" && logins "$1" && send debian root && until_true 200 prompts "$1" ||
		{ tail -n 30 "$work/debian.out" "$work/debian.err"; return 1; }
	send debian 'exec env PS1= sh -c "stty -echo -onlcr; exec sh"'
	in_guest 60 'dmesg -n 1' # the console is the test's
}
run debian --overlay "$work/more.dtso"
check "makes-its-interface" until_true 60 ip addr add 10.9.0.1/24 dev card
ip link set card up
check "login" login 1
watch debian
check "systemd" in_guest 60 'grep -x systemd /proc/1/comm'
check "all-is-well" in_guest 300 'systemctl is-system-running --wait || { systemctl --failed; false; }'
check "no-cloud-init-without-its-disk" in_guest 60 '[ -e /run/cloud-init/disabled ] && ! systemctl show -p ActiveEnterTimestamp "cloud-*.service" | grep =.'

# ---- Disks ----

check "root-is-the-disk" in_guest 60 '[ "$(findmnt -no SOURCE /)" = /dev/vda ] && touch /root/was-here'
check "disk-reads" eval "in_guest 60 'sha256sum </dev/disk/by-id/virtio-disk1' | grep -x '$sum'"
check "disk-is-read-only" in_guest 60 '! dd if=/dev/zero of=/dev/disk/by-id/virtio-disk1 bs=4096 count=1'

# ---- Networks ----

address='until ip -4 addr show eth0 | grep "inet 10.7.0.2/24"; do sleep 0.5; done'
check "address" in_guest 120 "$address"
fetches() { [ "$(in_guest 120 "socat -u TCP:$1:7001 - | sha256sum")" = "$sum" ]; }
check "network" fetches 10.8.0.1
send debian 'socat TCP-LISTEN:22,reuseaddr,fork EXEC:cat &'
check "forwarded-port" until_true 60 forwarded
send debian 'printf "[Match]\nName=eth1\n[Network]\nAddress=10.9.0.2/24\n" >/etc/systemd/network/card.network; networkctl reload'
check "card-on-tap" in_guest 120 'until ip -4 addr show eth1 | grep "inet 10.9.0.2/24"; do sleep 0.5; done'
check "card-receives" fetches 10.9.0.1
# sends FROM TO: a server of the host's at FROM gets what the guest sends TO it.
sends() {
	rm -f "$work/back"
	socat -u "$1" "OPEN:$work/back,creat" & pid[back]=$!
	in_guest 120 "until socat -u /dev/disk/by-id/virtio-disk1 $2; do sleep 0.2; done" || return
	wait "${pid[back]}"
	[ "$(sha256sum <"$work/back")" = "$sum" ]
}
check "card-sends" sends TCP-LISTEN:7002,reuseaddr TCP:10.9.0.1:7002
workers() { [ "$(cat /proc/"${pid[debian]}"/task/*/comm | grep -c '^vhost-')" -eq 2 ]; }
check "card-and-sockets-have-workers" workers

# ---- Clock, random numbers, named port, sockets ----

clock() {
	local before after now
	before=$(date +%s)
	now=$(in_guest 60 'date +%s') || return
	after=$(date +%s)
	echo "host $before to $after, guest $now"
	[ "$now" -ge $((before - 2)) ] && [ "$now" -le $((after + 2)) ]
}
check "clock" clock
check "clock-is-the-pl031" in_guest 60 'grep rtc-pl031 /sys/class/rtc/rtc0/name'
# README's way to the host's time, which goes on by an hour as if the host had slept, or had not known it before. Afterwards
# it is the host's again.
follows() {
	local lines
	lines=$(sed -n '/^refclock PHC/,/^makestep/s/$/\\n/p' "$TOP/README.md" | tr -d '\n')
	in_guest 60 "printf '$lines' >/etc/chrony/conf.d/kvm.conf; systemctl restart chrony" || return
	until_true 200 clock || return
	date -s "@$(($(date +%s) + $1))"
	until_true 200 clock
}
check "chrony-follows-the-host" follows 3600
check "chrony-follows-it-back" follows -3600
check "hwrng" eval '[ "$(in_guest 60 "head -c 4096 /dev/hwrng | wc -c")" = 4096 ]'
attach agent "$SLUICE" console debian agent
send debian 'until grep -m 1 . /dev/virtio-ports/agent >/tmp/heard; do sleep 0.2; done &'
port_opens() { seen debian '.event == "VSERPORT_CHANGE" and .data.open'; }
check "port-opens" until_true 60 port_opens
send agent 'from the host'
check "port-takes" in_guest 60 'until grep -x "from the host" /tmp/heard; do sleep 0.2; done'
check "port-gives" eval "in_guest 60 'echo from the guest >/dev/virtio-ports/agent' && until_line 60 'from the guest' $work/agent.out"
send agent $'\035'
check "port-detaches" ended agent 60 0
to_guest() {
	send debian 'socat -u VSOCK-LISTEN:9 - | sha256sum >/tmp/came &'
	until_true 60 socat -u "OPEN:$work/data" VSOCK-CONNECT:7:9
	in_guest 60 "until grep -x '$sum' /tmp/came; do sleep 0.2; done"
}
check "vsock-to-the-guest" to_guest
check "vsock-from-the-guest" sends VSOCK-LISTEN:10 VSOCK-CONNECT:2:10

# ---- Memory ----

# stress BYTES: what it stores it reads again, all the time.
stress() { in_guest 100 "stress-ng --vm 1 --vm-bytes $1 --vm-keep --verify -t 0 >/tmp/stress 2>&1 & stress=\$!; until grep dispatching /tmp/stress; do sleep 0.2; done"; }
stress_ends() { in_guest 200 'kill -INT $stress; wait $stress; cat /tmp/stress; grep "passed: 1: vm" /tmp/stress'; }
resident_is() {
	local now
	now=$(resident debian)
	echo "resident $now MiB"
	test "$now" "$@"
}
in_guest 60 'echo 3 >/proc/sys/vm/drop_caches'
least=$(resident debian)
check "stress-takes-memory" eval "stress 192M && until_true 100 resident_is -ge $((least + 150))"
full=$(resident debian)
check "freed-is-reported" eval "stress_ends && until_true 100 resident_is -le $((full - 150))"
check "balloon-inflates" eval "'$SLUICE' balloon debian 384MiB && in_guest 60 'awk \"/^balloon_inflate / { n = \\\$2 } END { exit n < 32768 }\" /proc/vmstat'"
check "balloon-deflates" eval "'$SLUICE' balloon debian 512MiB && in_guest 60 'awk \"/^balloon_deflate / { n = \\\$2 } END { exit n < 32768 }\" /proc/vmstat'"
memtotal() { in_guest 60 "awk '/^MemTotal/ { print int(\$2 / 1024) }' /proc/meminfo"; }
check "stress" stress 128M
small=$(memtotal)
check "grows" "$SLUICE" mem debian 512MiB
check "is-larger" eval '[ "$(memtotal)" -ge $((small + 500)) ]'
check "shrinks" "$SLUICE" mem debian 0
check "is-small-again" eval '[ "$(memtotal)" -eq "$small" ]'
check "stress-was-content" stress_ends

# ---- Reboot, watchdog, power button ----

send debian reboot
check "login-again" login 2
check "root-is-kept" in_guest 60 'ls /root/was-here'
check "address-again" in_guest 120 "$address"
check "card-again" fetches 10.9.0.1
check "grows-again" eval "'$SLUICE' mem debian 256MiB && '$SLUICE' mem debian 0"
bitten() { seen debian '.event == "WATCHDOG" and .data.action == "reset"'; }
check "watchdog-sleeps" eval '! bitten'
check "watchdog-is-armed" in_guest 60 'sync; wdctl --settimeout 4 && exec 9>/dev/watchdog && grep -x active /sys/class/watchdog/watchdog0/state'
check "watchdog-bites" until_true 100 bitten
check "login-after-its-reset" login 3
check "root-is-kept-again" in_guest 60 'ls /root/was-here'
qmp debian '{"execute": "system_powerdown"}' >"$work/button"
check "power-button" ended debian 300 0
unwatch debian

# ---- cloud-init ----

cat >"$work/user-data" <<-'END'
	#cloud-config
	hostname: seeded
	users:
	  - name: worker
	    gecos: Seeded Worker
	write_files:
	  - path: /etc/seeded
	    content: written
	runcmd:
	  - [sh, -c, 'cat /etc/seeded >/root/commanded']
END
echo 'instance-id: first' >"$work/meta-data"
check "makes-a-disk" eval "cd $work && mformat -C -i seed.img -T 2880 -v CIDATA :: && mcopy -i seed.img user-data meta-data ::"
run debian --overlay "$work/cloud-init.dtso"
check "cloud-init-finishes" until_line 900 'Cloud-init v.* finished at .* Datasource DataSourceNoCloud \[seed=/dev/vd' "$work/debian.out"
check "seeded-login" login 1
check "its-hostname" in_guest 60 '[ "$(hostname)" = seeded ]'
check "its-user" in_guest 60 'getent passwd worker | grep "Seeded Worker"'
check "its-file" in_guest 60 'grep -x written /etc/seeded'
check "its-command" in_guest 60 'grep -x written /root/commanded'
send debian poweroff
check "poweroff" ended debian 300 0
done_testing
