#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12
# seconds: 60
# A machine that its owner stops and continues, hundreds of times while it writes a disk and three cards bring a file (one on
# a tap, one served by the host's kernel, one on passt): nothing is lost. Its clock and its watchdog stop meanwhile, and what begins in
# its memory waits. A reset in a pause, and a stray access and a watchdog that paused it and are continued; sluice stop.

[ -n "${own_network:-}" ] || exec env own_network=yes unshare -n "$0"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"

check "has-a-network" network_for_passt
ram='0x0 0x10000000'
vhost=''
[ ! -c /dev/vhost-net ] || vhost='net1 { compatible = "sluice,virtio-net"; tap = "tap1"; vhost; };'
truncate -s 64M "$work/disk"
tree pause 2 6.12 "$(usual_window) options { sluice { compatible = \"sluice,options\"; stray-access = \"pause\"; }; };
	disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; };
	net0 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; }; $vhost
	net2 { compatible = \"sluice,virtio-net\"; passt; };
	dog { compatible = \"sluice,watchdog\"; action = \"pause\"; };" iomem=relaxed
run pause
commands() { qmp pause "{\"execute\":\"$1\"}" | jq -e '.return == {}'; }
status_is() { qmp pause '{"execute":"query-status"}' | jq -e ".return.status == \"$1\""; }
for i in 0 ${vhost:+1}; do
	check "makes-tap$i" until_true 60 ip addr add "10.9.$i.1/24" dev "tap$i"
	ip link set "tap$i" up
done
check "boots" booted pause
check "watched" watch pause

check "cards-come-up" guest pause 60 "for i in 0 ${vhost:+1}; do ip addr add 10.9.\$i.2/24 dev eth\$i && ip link set eth\$i up; done
	for i in 0 ${vhost:+1}; do until ping -c 1 -W 1 10.9.\$i.1; do :; done; done
	last=eth${vhost:+2}; [ \$last != eth ] || last=eth1
	ip addr add 10.7.0.2/24 dev \$last && ip link set \$last up && ip route add 10.8.0.1 via 10.7.0.1 dev \$last"

# ---- Time ----

# up: what the guest's clock shows, in ms. stopped_for SECONDS: that it shows less of them than half.
up() { guest pause 60 "awk '{ print int(\$1 * 1000) }' /proc/uptime"; }
stopped_for() {
	local before after since
	before=$(up)
	since=${EPOCHREALTIME/./}
	commands stop && sleep "$1" && status_is paused && commands cont || return
	after=$(up)
	since=$(((${EPOCHREALTIME/./} - since) / 1000))
	echo "the host's $since ms, the guest's $((after - before))"
	[ $((since - (after - before))) -ge $(($1 * 900)) ]
}
check "its-clock-stops" stopped_for 10
check "stop-is-reported" until_true 60 seen pause '.event == "STOP"'
check "resume-is-reported" until_true 60 seen pause '.event == "RESUME"'
check "no-stall-is-seen" guest pause 60 '! dmesg | grep -i -e "stall" -e "lockup" -e "clocksource.*unstable"'
# Fed each second, it bites when it was not for three.
check "watchdog-is-armed" guest pause 60 'watchdog -F -T 3 -t 1 /dev/watchdog >/dev/null 2>&1 & feeder=$!; sleep 1; kill -0 $feeder'
check "its-watchdog-sleeps" stopped_for 8
bitten() { seen pause '.event == "WATCHDOG"'; }
check "and-does-not-bite" eval '! bitten'

# ---- Nothing begins in a pause ----

check "stops" commands stop
check "stops-twice" commands stop
check "is-asked-for-memory" eval "$SLUICE mem pause 128MiB --timeout 0"
plugged() { qmp pause '{"execute":"query-memory-devices"}' | jq '.return[0].data.size'; }
# What was taken from the interfaces.
packets() { awk '/tap/ { print $1, $11 }' /proc/net/dev | grep .; }
before=$(packets)
echo "# $before"
for i in 0 ${vhost:+1}; do ping -c 3 -i 0.2 -W 1 "10.9.$i.2" >"$work/ping" 2>&1; done
check "plugs-nothing" [ "$(plugged)" = 0 ]
check "takes-no-packet" eval 'packets && [ "$(packets)" = "$before" ]'
check "continues" commands cont
check "continues-twice" commands cont
check "takes-them-now" until_true 60 eval '[ "$(packets)" != "$before" ]'
check "plugs-now" until_true 60 eval '[ "$(plugged)" = $((128 << 20)) ]'

# ---- Nothing is lost ----

head -c 4M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
for i in 0 ${vhost:+1} 2; do server "OPEN:$work/data" "TCP-LISTEN:700$i,reuseaddr"; done
check "begins" guest pause 60 "cd /tmp; for i in 0 ${vhost:+1}; do (nc 10.9.\$i.1 700\$i </dev/null >data\$i; echo >came\$i) & done
	mkfifo open; (nc 10.8.0.1 7002 <>open >data2; echo >came2) & # as passt before 2024 wants it (net.sh)
	(for n in \$(seq 6); do dd if=/dev/urandom of=part bs=1M count=2 2>/dev/null; dd if=part of=/dev/vda bs=64k seek=\$((32 * n)) conv=fsync 2>/dev/null
	dd if=/dev/vda bs=64k skip=\$((32 * n)) count=32 2>/dev/null | cmp - part || echo \$n >lost; done; echo >written) & echo begun"
# In thirty bursts, so that the guest gets on in between.
storm() {
	local n
	for ((n = 0; n < 10; n++)); do printf '{"execute":"stop"}{"execute":"cont"}'; done >"$work/burst"
	{
		echo '{"execute":"qmp_capabilities"}'
		for ((n = 0; n < 30; n++)); do cat "$work/burst"; sleep 0.2; done
	} | socat -t 60 - "UNIX-CONNECT:$(socket pause)" | grep -c '"return"' | grep -x 601
}
check "stops-and-continues" storm
check "the-disk-lost-nothing" guest pause 200 'until [ -e /tmp/written ]; do sleep 0.2; done; [ ! -e /tmp/lost ]'
for i in 0 ${vhost:+1} 2; do
	check "card-$i-lost-nothing" eval "[ \"\$(guest pause 200 'until [ -e /tmp/came$i ]; do sleep 0.2; done; sha256sum </tmp/data$i')\" = '$sum' ]"
done

# ---- Resets, strays, the watchdog ----

check "stops-again" "$SLUICE" pause pause
stop_of_paused() { [ "$("$SLUICE" stop pause 2>&1)" = "sluice: $(socket pause): the machine is paused, so its guest cannot power off: let it go on (sluice resume), or end it (--now)" ]; }
check "a-paused-guest-cannot-power-off" stop_of_paused
check "is-listed" eval "$SLUICE list | tee $work/list | grep -E '^pause +paused +384 MiB +4.25 GiB' || { cat $work/list; false; }"
check "resets" "$SLUICE" reset pause
check "reset-is-reported" until_true 60 seen pause '.event == "RESET"'
check "stays-paused" eval "sleep 1; status_is paused && [ \"\$(grep -c 'guest: Linux' $work/pause.out)\" = 1 ]"
check "boots-when-continued" eval "$SLUICE resume pause && booted pause 2"
check "strays" eval "send pause 'devmem 0x80000000 32; echo died \$?'; until_line 60 'stray load at 0x80000000.*' '$work/pause.err'"
check "is-paused-by-it" until_true 60 status_is paused
check "goes-on-without-it" eval "commands cont && until_line 60 '^died 135' $work/pause.out"
check "and-does-more" guest pause 60 'true'
check "starves-its-watchdog" guest pause 60 'watchdog -F -T 2 -t 60 /dev/watchdog >/dev/null 2>&1 & echo begun'
check "which-pauses-it" until_true 100 status_is paused
check "continues-after-it" eval "commands cont && guest pause 60 true"
check "stops-by-its-button" "$SLUICE" stop pause --timeout 100
check "powers-off" ended pause 60 0
unwatch pause

# A guest without a driver for the button.
bare deaf again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x200000>;')"
run deaf
check "a-guest-waits" until_line 60 'off or again?' "$work/deaf.out"
stopped() { local rc=0; "$SLUICE" stop deaf "$@" || rc=$?; [ $rc -eq "$expected" ]; }
expected=124
check "is-ended-in-time" stopped --timeout 1
check "has-ended" ended deaf 60 0
run deaf
check "a-guest-waits-again" until_line 60 'off or again?' "$work/deaf.out"
expected=0
check "is-ended-at-once" stopped --now
check "has-ended-again" ended deaf 60 0
done_testing
