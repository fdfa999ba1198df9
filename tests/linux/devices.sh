#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 95
# The small devices: the watchdog's actions with bare-metal guests; then the host's random numbers, named ports, the
# balloon and the watchdog as a Linux guest's drivers see them.

. "$(dirname "$0")/lib.bash"

bitten() { until_true 60 seen "$1" ".event == \"WATCHDOG\" and .data.action == \"$2\""; }
never_bitten() { ! seen "$1" '.event == "WATCHDOG"'; }
# quits NAME: it is ended from outside, and its guest no longer takes a CPU.
quits() {
	qmp "$1" '{"execute":"quit"}' >/dev/null
	check "$1-ends" ended "$1" 60 0
	unwatch "$1"
}
# dog NAME ACTION BOOTARGS [NODES]: a guest that will be bitten, and what its control socket reports.
dog() {
	bare "$1" watchdog 1 "watchdog { compatible = \"sluice,watchdog\"; action = \"$2\"; }; ${4:-}" "$3"
	run "$1"
	check "$1-comes-to-arm-it" await 60 text 'arm it?' "$work/$1.out"
	watch "$1"
	send "$1" arm
}
linux_ram=$ram ram='0x0 0x4000000'
dog still event 'stage=500 stray=0x80000000' 'options { sluice { compatible = "sluice,options"; stray-access = "pause"; }; };'
check "still-is-paused" until_true 60 seen still '.event == "STOP"'
paused_at=$SECONDS
dog reset reset stage=300
check "reset-is-reported" bitten reset reset
check "reset-happens" await 60 line 2 'arm it?' "$work/reset.out"
quits reset
dog poweroff power-off stage=300
check "power-off-is-reported" bitten poweroff poweroff
check "power-off-happens" ended poweroff 60 3
unwatch poweroff
check "power-off-says-why" grep -x 'sluice: stopped: the guest did not feed its watchdog' "$work/poweroff.err"
dog pause pause stage=300
check "pause-is-reported" bitten pause pause
check "pause-happens" eval "qmp pause '{\"execute\":\"query-status\"}' | jq -e '.return.status == \"paused\"'"
quits pause
# Fed for longer than it waits.
dog event event 'stage=500 feeds=12'
check "event-is-reported" bitten event none
check "event-not-while-it-is-fed" grep -q 'fed 12 times' "$work/event.out"
send event go
check "event-is-all" ended event 60 0
unwatch event
points event
sleep $((paused_at + 2 > SECONDS ? paused_at + 2 - SECONDS : 0)) # both stages and half as much again
check "still-has-no-time" never_bitten still
quits still
ram=$linux_ram

tree linux 1 6.12 'rng0 { compatible = "sluice,virtio-rng"; }; watchdog { compatible = "sluice,watchdog"; };
	console0 { compatible = "sluice,virtio-console"; ports = "term", "agent", "log=file:said"; terminal; };
	console1 { compatible = "sluice,virtio-console"; ports = "other=file:other"; };
	balloon0 { compatible = "sluice,virtio-balloon"; statistics-interval-sec = <1>; };
	disk0 { compatible = "sluice,virtio-blk"; file = "disk"; read-only; };'"$(usual_window)"
truncate -s 256M "$work/disk"
run linux
check "boots" booted linux
# A guest that reads registers stays in the guest.
[ -d /sys/kernel/debug/kvm ] || mount -t debugfs debugfs /sys/kernel/debug
register_exits() { cat /sys/kernel/debug/kvm/"${pid[$1]}"-*/mmio_exit_user; }
# reads_registers NAME: 2000 times; how many exits that takes, with those for what is said on the console, is in $exits.
reads_registers() {
	exits=$(register_exits "$1")
	check "$1-reads-registers" eval "[ \"\$(guest $1 60 'for i in \$(seq 2000); do read s </sys/bus/virtio/devices/virtio0/status; done; echo \$s')\" = 0x0000000f ]"
	exits=$(($(register_exits "$1") - exits))
	echo "# $exits exits"
}
reads_registers linux
check "registers-are-read-without-exits" [ "$exits" -lt 1000 ]
check "rng-is-the-guests" guest linux 60 'grep -x virtio_rng.0 /sys/class/misc/hw_random/rng_current'
check "rng-gives" eval "[ \"\$(guest linux 60 'head -c 65536 /dev/hwrng | wc -c')\" = 65536 ]"
draw() { guest linux 60 'head -c 32 /dev/hwrng | sha256sum'; }
drawn=("$(draw)" "$(draw)")
watch linux
# A port is /dev/vport0pN where there is no udev; with nobody at the other end its input is at its end.
check "ports-have-names" guest linux 60 'for p in term agent log other; do ln -s "$(dirname $(grep -lx $p /sys/class/virtio-ports/*/name) | sed "s,.*/,/dev/,")" /dev/$p || exit; done'
sum=$(guest linux 60 'head -c 500000 /dev/urandom >/bytes; sha256sum </bytes')
same() { [ "$(tail -c 500000 "$1" | sha256sum)" = "$sum" ]; }
check "port-to-a-file" eval "guest linux 60 'cat /bytes >/dev/log' && until_true 60 same $work/said"
check "port-of-another-console" eval "guest linux 60 'echo by the other >/dev/other' && until_line 60 '^by the other' $work/other && ! grep 'by the other' $work/said"
check "port-of-nobody-is-at-its-end" eval "[ \"\$(guest linux 60 'cat /dev/agent | wc -c')\" = 0 ]"
check "no-such-port" eval "! $SLUICE console linux agnet 2>$work/err && grep -q 'the machine has: agent, log, other, term' $work/err"
# Opened by a guest that waits for a client; then a slow client, and one that is not.
port() { until_true 60 seen linux ".event == \"VSERPORT_CHANGE\" and .data == {\"id\": \"agent\", \"open\": $1}"; }
send linux 'head -c 5000000 /dev/zero >/dev/agent &'
check "port-opens" port true
attach deaf socat -u - "UNIX-CONNECT:$(socket linux | sed "s/.sock$/+agent.port/")"
check "nobody-else-waits" eval "guest linux 60 'sleep 2; pidof head' && $SLUICE slots linux"
attach reader "$SLUICE" console linux agent
check "the-next-client-gets-the-rest" guest linux 60 'until ! pidof head; do sleep 0.1; done'
check "port-closes" port false
kill "${pid[deaf]}"
unset "pid[deaf]"
check "port-gives-all" eval "guest linux 60 'cat /bytes >/dev/agent' && until_true 60 same $work/reader.out"
send linux 'cat /dev/agent'
send reader 'there'
check "port-takes" until_line 60 "there\$" "$work/linux.out"
send reader $'\035'
check "detaching-ends-its-input" eval "ended reader 60 0 && guest linux 60 true"
attach term "$SLUICE" console linux term
send term 'typed here'
check "terminal-takes" eval "guest linux 60 'head -n 1 </dev/hvc0' | grep -x 'typed here'"
# Its size is that of the terminal, by a message here, and as a client that attaches there sends it.
size() { guest linux 60 "until stty size </dev/hvc0 | grep -x '$1'; do sleep 0.1; done"; }
send_size() { qmp linux "{\"execute\": \"x-sluice-console-size\", \"arguments\": {\"port\": \"term\", \"columns\": $1, \"rows\": $2}}" >/dev/null; }
check "terminal-has-a-size" eval "send_size 132 50 && size '50 132'"
printf '#!/bin/bash\nstty rows 40 cols 90\nexec %q console linux term\n' "$SLUICE" >"$work/on-terminal"
chmod +x "$work/on-terminal"
attach sized socat - "EXEC:$work/on-terminal,pty,setsid,ctty,stderr"
check "terminal-has-the-size-of-its-client" size '40 90'
send sized $'\035'
check "terminal-detaches" ended sized 60 0
attach term "$SLUICE" console linux term
check "terminal-gives" eval "guest linux 60 'echo said here >/dev/hvc0' && until_line 60 'said here' $work/term.out"
# Pages that a guest frees are freed here a while later; those that the balloon takes of its page cache, at once.
below() { [ "$(resident linux)" -lt "$1" ]; }
check "memory-is-used" guest linux 120 'guest-tool fill 256 7 && guest-tool verify'
used=$(resident linux)
check "freed-is-reported" eval "guest linux 60 'guest-tool release' && until_true 120 below $((used - 200))"
check "page-cache-is-used" eval "guest linux 120 'cat /dev/vda >/dev/null' && ! below 330"
check "balloon-inflates" eval "$SLUICE balloon linux 256MiB && until_true 60 seen linux '.event == \"BALLOON_CHANGE\" and .data.actual == 268435456'"
check "balloon-is-the-hosts" below 300
# All of it was freed, but for what the guest gave meanwhile, and the guest says what it has left.
check "what-went-back-is-counted" eval 'qmp linux "{\"execute\":\"query-balloon\"}" | jq -e ".return | .\"x-sluice-memory\" - .actual - .\"x-sluice-given-back\" | . >= 0 and . < 1048576"'
available() { qmp linux '{"execute":"qom-get","arguments":{"path":"balloon0","property":"guest-stats"}}' | jq -e ".return.stats.\"stat-available-memory\" | . > 1048576 and . < $1 * 1048576"; }
check "statistics-come" until_true 60 available 256
# Beside a window: what is plugged comes on top, and can be unplugged while the balloon holds its own.
check "window-beside-a-balloon" eval "$SLUICE mem linux 256MiB && $SLUICE balloon linux | grep '768 MiB *512 MiB *512 MiB *[0-9]'"
check "it-keeps-its-size-when-that-goes" eval "$SLUICE mem linux 0 && $SLUICE balloon linux | grep '512 MiB *256 MiB *256 MiB *[0-9]'"
# In need of more than it has the guest takes pages out, which is an event; some seconds later it is asked for them again.
# MemAvailable is its guess: it fills memory on until that has come.
events=$(wc -l <"$work/linux.events")
gave() { tail -n "+$((events + 1))" "$work/linux.events" | grep '"event"' | jq -se 'any(.[]; .event == "BALLOON_CHANGE" and .data.actual > 268435456)'; }
takes_it_in_need() {
	local i
	guest linux 200 'n=$(awk "/MemAvailable/ { print int(\$2 / 1024) + 8 }" /proc/meminfo); mkdir /t; mount -t tmpfs -o size=1g t /t && dd if=/dev/zero of=/t/all bs=1M count=$n && [ "$(wc -c </t/all)" = $((n << 20)) ]' || return
	for ((i = 0; i < 20; i++)); do
		! until_true 3 gave || return 0
		guest linux 200 'n=$(wc -c </t/all); dd if=/dev/zero bs=1M count=8 >>/t/all && [ "$(wc -c </t/all)" = $((n + (8 << 20))) ]' || return
	done
	false
}
check "guest-takes-it-in-need" takes_it_in_need
check "balloon-gave-some" gave
guest linux 60 'umount /t'
check "balloon-deflates" eval "$SLUICE balloon linux 512MiB && $SLUICE balloon linux | grep '512 MiB *512 MiB *512 MiB'"
# Fed for longer than it waits, then no more.
check "watchdog-is-there" guest linux 60 'grep -x sp805-wdt /sys/class/watchdog/watchdog0/identity'
send linux 'watchdog -T 4 -t 1 /dev/watchdog'
check "watchdog-is-fed" eval "guest linux 60 'sleep 6; pidof watchdog' && never_bitten linux"
send linux 'killall -STOP watchdog'
check "watchdog-bites" bitten linux reset
check "watchdog-resets" booted linux 2
check "watchdog-says-so" eval "[ \$(grep -cx 'sluice: warning: watchdog: the guest did not feed its watchdog: reset' $work/linux.err) = 1 ]"
check "watchdog-is-off-again" guest linux 60 '[ "$(cat /sys/class/watchdog/watchdog0/state)" = inactive ]'
drawn+=("$(draw)")
check "rng-never-repeats" eval "[ $(printf '%s\n' "${drawn[@]}" | grep -cE '^[0-9a-f]{64}') = 3 ] && [ $(printf '%s\n' "${drawn[@]}" | sort -u | wc -l) = 3 ]"
send linux 'poweroff -f'
check "powers-off" ended linux 60 0
unwatch linux

# Where KVM has no read-only slots each read of a register is an exit, and that is all the difference.
tree exits 1 6.12 'rng0 { compatible = "sluice,virtio-rng"; }; disk0 { compatible = "sluice,virtio-blk"; file = "disk"; read-only; };'
LD_PRELOAD=$BUILD/tests/kvm/no-readonly-memory.so run exits
check "exits-boots" booted exits
reads_registers exits
check "exits-are-what-reads-take" [ "$exits" -ge 2000 ]
check "exits-has-its-devices" guest exits 60 '[ "$(head -c 256 /dev/hwrng | wc -c)" = 256 ] && cmp -n 1048576 /dev/vda /dev/zero'
send exits 'poweroff -f'
check "exits-powers-off" ended exits 60 0
done_testing
