#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpu: cortex-a72
# seconds: 70
# A Linux guest whose process stores where nothing is plugged: the process dies, not the guest, and Sluice says so, at a
# bounded rate. With stray-access = "stop" the machine ends.

. "$(dirname "$0")/lib.bash"

# Half a memory block of Linux's is plugged, and its driver taken away, so that /dev/mem lets one at the window:
# slot 0 is open, its upper half unplugged.
policy() { echo "options { sluice { compatible = \"sluice,options\"; stray-access = \"$1\"; }; };"; }
half_a_slot="$(usual_window 'requested-size = /bits/ 64 <0x4000000>;')"
half_plugged() { map_json "$1" | jq -e '.[0] | .plugged == 67108864 and (."open-slots" | length == 1 and .[0].size == 134217728)'; }
driver_goes() { guest "$1" 60 'cd /sys/bus/virtio/drivers/virtio_mem && echo virtio0 >unbind && ! grep -q "System RAM (virtio_mem)" /proc/iomem'; }
exposed_is_plugged() { map_json "$1" | jq -e '.[0] | .plugged == 67108864 and .exposed == .plugged'; }
plugged=0x103ffff0c unplugged=0x104000000 closed=0x108000000
args='iomem=relaxed memhp_default_state=offline'

tree stray 2 6.12 "$half_a_slot" "$args"
run stray
check "boots" booted stray
check "half-a-slot-plugged" until_true 60 half_plugged stray
check "driver-goes" driver_goes stray
check "fills-its-own" guest stray 60 'guest-tool fill 64 9'
check "stores-where-plugged" guest stray 60 "devmem $plugged 32 0x12345678 && [ \$(devmem $plugged) = 0x12345678 ]"
# dies NAME ADDRESS COMMAND WHERE: the process gets a bus error, and the log has the address and what is there.
dies() {
	guest "$1" 60 "$3; [ \$? -eq 135 ]" || return
	until_line 60 "^sluice: warning: vCPU [01]: stray .* at $2, vmem0: $4; external abort injected$" "$work/$1.err" || { cat "$work/$1.err"; return 1; }
}
check "store-in-an-open-slot" dies stray $unplugged "devmem $unplugged 32 1" 'unplugged block of an open slot'
check "store-in-a-closed-slot" dies stray $closed "devmem $closed 32 1" 'closed slot'
check "load-in-a-closed-slot" dies stray 0x108000100 'devmem 0x108000100 32' 'closed slot'
check "load-in-an-open-slot-is-zero" guest stray 60 "[ \$(devmem $unplugged) = 0x00000000 ]"
check "hundred-more" guest stray 60 'for i in $(seq 100); do devmem 0x104000004 32 1; [ $? -eq 135 ] || exit 1; done'
check "no-more-than-a-few-lines" eval "n=\$(grep -c 'stray' $work/stray.err); [ \$n -ge 4 ] && [ \$n -le 40 ] || { echo \$n; false; }"
check "nothing-exposed" exposed_is_plugged stray
check "plugged-is-intact" guest stray 60 "[ \$(devmem $plugged) = 0x12345678 ]"
check "memory-is-intact" guest stray 60 'guest-tool verify && guest-tool release'
send stray 'reboot -f'
check "boots-again" booted stray 2
send stray 'poweroff -f'
check "powers-off" ended stray 60 0

tree stops 1 6.12 "$half_a_slot $(policy stop)" "$args"
run stops
check "stops-boots" booted stops
check "stops-half-plugged" until_true 60 half_plugged stops
check "stops-driver-goes" driver_goes stops
send stops "devmem $unplugged 32 1"
check "stops" ended stops 60 3
check "stops-says-why" grep -x "sluice: stopped: vCPU 0: stray access at $unplugged, vmem0: unplugged block of an open slot" "$work/stops.err"
done_testing
