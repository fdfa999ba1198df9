#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# iperf3 between a Linux guest and its host, one stream of TCP over a tap interface, served by the monitor and by the
# host's kernel (vhost), and over passt: the speed, and the CPU time and exits of each MiB. On Sluice and on QEMU
# (virtio-net-pci) in turn, each with three cards and a passt of its own; medians of $ROUNDS (3). Not from the host to the guest
# over passt: Debian 12's spends its time waiting then, at 10 to 40 Mbit/s with either monitor.

. "$TOP/tests/bench/io.bash"
. "$TOP/tests/linux/network.bash"
needs "$io"

mib=${MIB:-512}
tree sluice 1 6.12 "aliases { virtio0 = \"/io\"; virtio1 = \"/tap\"; virtio2 = \"/vhost\"; virtio3 = \"/passt\"; };
	io { compatible = \"sluice,virtio-blk\"; file = \"$io_disk\"; read-only; };
	tap { compatible = \"sluice,virtio-net\"; tap = \"sluice1\"; local-mac-address = [02 00 00 00 01 01]; };
	vhost { compatible = \"sluice,virtio-net\"; tap = \"sluice2\"; vhost; local-mac-address = [02 00 00 00 01 02]; };
	passt { compatible = \"sluice,virtio-net\"; passt; local-mac-address = [02 00 00 00 01 03]; };"
must network_for_passt
run sluice
must until_true 60 pgrep -x -P "${pid[sluice]}" passt
helper[sluice]=$(pgrep -x -P "${pid[sluice]}" passt)
# It makes its socket as another user.
chmod 711 "$work"
mkdir -m 777 "$work/passt"
passt --foreground --quiet --no-map-gw --tcp-ports none --udp-ports none --socket "$work/passt/socket" >"$work/passt.err" 2>&1 & pid[passt]=$!
helper[qemu]=$!
must until_true 60 [ -S "$work/passt/socket" ]
# card N NETDEV
card() { echo -netdev "$2,id=net$1" -device "virtio-net-pci,netdev=net$1,romfile=,mac=02:00:00:00:02:0$1"; }
tap() { card "$1" "tap,ifname=qemu$1,script=no,downscript=no,vhost=$2"; }
# shellcheck disable=SC2046
run_qemu qemu -smp 1 -m 512M -kernel "$GUESTS/6.12/vmlinuz" -initrd "$GUESTS/6.12/initramfs" \
	-append "console=ttyAMA0 quiet guest.plain" $(tap 1 off) $(tap 2 on) $(card 3 "stream,server=off,addr.type=unix,addr.path=$work/passt/socket") \
	-drive "if=none,id=io,format=raw,readonly=on,file.locking=off,file=$io_disk" -device virtio-blk-pci,drive=io

# The third number of an address is the monitor's and the card's.
declare -A net=([sluice]=1 [qemu]=2)
# named NAME N: words of the guest's shell that make $card its card N.
named() { echo "card=\$(basename \$(dirname \$(grep -l 02:00:00:00:0${net[$1]}:0$2 /sys/class/net/*/address)))"; }
# shellcheck disable=SC2016
dhcp='printf "#!/bin/sh\nip addr add \$ip/\$mask dev \$interface; ip route add default via \$router; ip link set \$interface mtu \$mtu\n" >/tmp/dhcp
	chmod +x /tmp/dhcp; ip link set $card up && udhcpc -i $card -q -n -t 20 -T 1 -s /tmp/dhcp && ip addr show dev $card | grep "inet 10.7.0.2/24"'
for name in sluice qemu; do
	must booted $name
	must own_group $name
	must mounts_io $name vda
	for i in 1 2; do
		must until_true 60 ip addr add "10.9.${net[$name]}$i.1/24" dev "$name$i"
		must ip link set "$name$i" up
		must guest $name 60 "$(named $name $i)
			ip addr add 10.9.${net[$name]}$i.2/24 dev \$card && ip link set \$card up && until ping -c 1 -W 1 10.9.${net[$name]}$i.1; do :; done"
	done
	must guest $name 60 "$(named $name 3); $dhcp"
done
"$io/iperf3" -s --forceflush >"$work/server" 2>&1 & pid[server]=$!
must until_line 60 listening "$work/server"

# In the guest the network of a card on a tap interface is that of the monitor that it runs on.
client="$io/iperf3 -f k -i 0 -c"
tap1="\$(ip -4 -o addr | sed -n 's/.* \(10\.9\.[12]1\)\.2.*/\1/p').1" tap2=${tap1/]1/]2}
mbit() { awk '/receiver/ { print int($7 / 1000) }' <<<"$1"; }
# stream WHAT ADDRESS MIB [OPTION]
stream() { measure "$1" "$3" "$client $2 ${4:-} -n $3M | grep receiver" "$client $2 ${4:-} -n 1K | grep receiver" mbit; }
for name in sluice qemu; do must spend $name "$client $tap1 -n 1K"; done # its pages are there from now on
for ((round = 0; round < rounds; round++)); do
	stream out "$tap1" "$mib"
	stream in "$tap1" "$mib" -R
	stream vhost-out "$tap2" "$mib"
	stream vhost-in "$tap2" "$mib" -R
	stream passt-out 10.8.0.1 "$mib"
done
heading 'iperf3 in a guest, a MiB'
row out 'guest to host' Mbit/s
row in 'host to guest' Mbit/s
row vhost-out 'guest to host, vhost' Mbit/s
row vhost-in 'host to guest, vhost' Mbit/s
row passt-out 'guest to host, passt' Mbit/s
power_off
for name in server passt network; do
	{ kill "${pid[$name]}"; wait "${pid[$name]}"; } 2>/dev/null
	unset "pid[$name]"
done
