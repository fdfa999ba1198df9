#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# iperf3 between a Linux guest and its host, one stream of TCP over a tap interface, served by the monitor and by the
# host's kernel (vhost): the speed, and the CPU time and exits of each MiB. On Sluice and on QEMU (virtio-net-pci) in
# turn, each with two cards; medians of $ROUNDS (3).

. "$TOP/tests/bench/io.bash"

mib=${MIB:-512}
tree sluice 2 6.12 "aliases { virtio0 = \"/io\"; virtio1 = \"/tap\"; virtio2 = \"/vhost\"; };
	io { compatible = \"sluice,virtio-blk\"; file = \"$io_disk\"; read-only; };
	tap { compatible = \"sluice,virtio-net\"; tap = \"sluice1\"; local-mac-address = [02 00 00 00 01 01]; };
	vhost { compatible = \"sluice,virtio-net\"; tap = \"sluice2\"; vhost; local-mac-address = [02 00 00 00 01 02]; };"
run sluice
# card N NETDEV-OPTION...
card() { echo -netdev "tap,id=tap$1,ifname=qemu$1,script=no,downscript=no,$2" -device "virtio-net-pci,netdev=tap$1,romfile=,mac=02:00:00:00:02:0$1"; }
# shellcheck disable=SC2046
run_qemu qemu -smp 2 -m 512M -kernel "$GUESTS/6.12/vmlinuz" -initrd "$GUESTS/6.12/initramfs" \
	-append "console=ttyAMA0 quiet guest.plain" $(card 1 vhost=off) $(card 2 vhost=on) \
	-drive "if=none,id=io,format=raw,readonly=on,file.locking=off,file=$io_disk" -device virtio-blk-pci,drive=io

# The third number of an address is the monitor's and the card's.
declare -A net=([sluice]=1 [qemu]=2)
for name in sluice qemu; do
	must booted $name
	must mounts_io $name vda
	for i in 1 2; do
		must until_true 60 ip addr add "10.9.${net[$name]}$i.1/24" dev "$name$i"
		must ip link set "$name$i" up
		must guest $name 60 "card=\$(basename \$(dirname \$(grep -l 02:00:00:00:0${net[$name]}:0$i /sys/class/net/*/address)));
			ip addr add 10.9.${net[$name]}$i.2/24 dev \$card && ip link set \$card up && until ping -c 1 -W 1 10.9.${net[$name]}$i.1; do :; done"
	done
done
"$io/iperf3" -s --forceflush >"$work/server" 2>&1 & pid[server]=$!
must until_true 60 grep -q listening "$work/server"

# In the guest $1 is the card; its network is that of the monitor that it runs on.
client="$io/iperf3 -f k -i 0 -c \$(ip -4 -o addr | sed -n 's/.* \(10\.9\.[12]CARD\)\.2.*/\1/p').1"
mbit() { awk '/receiver/ { print int($7 / 1000) }' <<<"$1"; }
# stream WHAT CARD [OPTION]
stream() { measure "$1" "$mib" "${client/CARD/$2} ${3:-} -n ${mib}M | grep receiver" "${client/CARD/$2} ${3:-} -n 1K | grep receiver" mbit; }
for name in sluice qemu; do must spend $name "${client/CARD/1} -n 1K"; done # its pages are there from now on
for ((round = 0; round < rounds; round++)); do
	stream out 1
	stream in 1 -R
	stream vhost-out 2
	stream vhost-in 2 -R
done
kill "${pid[server]}"
unset 'pid[server]'
heading 'iperf3 in a guest of two CPUs, a MiB'
row out 'guest to host' Mbit/s
row in 'host to guest' Mbit/s
row vhost-out 'guest to host, vhost' Mbit/s
row vhost-in 'host to guest, vhost' Mbit/s
power_off
