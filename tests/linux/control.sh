#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 60
# The control socket of a real machine, spoken to as any QMP client would: every command, every event, and what
# `sluice mem` says of a guest that follows, that dawdles and that cannot.

. "$(dirname "$0")/lib.bash"

MiB=$((1 << 20)) GiB=$((1 << 30))
tree control 2 6.12 "$(usual_window)"
# answers COMMAND JQ [ARGUMENTS]: what the command returns fits.
answers() { qmp control "{\"execute\":\"$1\"${3:+,\"arguments\":$3}}" >"$work/answer" && jq -e "$2" "$work/answer" >"$work/verdict" || { cat "$work/answer"; return 1; }; }
property() { echo "{\"path\":\"${3:-/machine/peripheral/vmem0}\",\"property\":\"$1\"${2:+,\"value\":$2}}"; }
# raw LINE...: all that comes for these lines, the greeting first.
raw() { printf '%s\n' "$@" | socat -t 5 - "UNIX-CONNECT:$(socket control)"; }
# mem STATUS TEXT ARGUMENT...: `sluice mem control ARGUMENT...` ends so, its output and errors having TEXT.
mem() {
	local status=$1 text=$2 rc=0
	shift 2
	"$SLUICE" mem control "$@" >"$work/mem" 2>&1 || rc=$?
	[ $rc -eq "$status" ] && grep -q -- "$text" "$work/mem" || { echo "status $rc"; cat "$work/mem"; return 1; }
}
onlining() { guest control 60 "echo $1 >/sys/devices/system/memory/auto_online_blocks"; }

run control
check "listens" until_socket 60 control
check "is-its-owners" eval "[ \$(stat -c %a $(socket control)) = 600 ] && [ \$(stat -c %a \$(dirname $(socket control))) = 700 ]"
check "greets" eval "raw | head -n 1 | jq -e '.QMP | has(\"version\") and .capabilities == []'"
check "boots" booted control
check "watched" watch control

# Commands.
check "commands" answers query-commands '[.return[].name] - ["balloon","block_resize","cont","stop","query-balloon","qmp_capabilities","qom-get","qom-list","qom-set","query-commands","query-memory-devices","query-status","query-version","quit","set_link","system_powerdown","system_reset","x-sluice-query-memory","x-sluice-console-size","x-sluice-query-loop","x-sluice-query-map","x-sluice-query-slots","x-sluice-query-strays"] == [] and (.return | length) >= 13'
check "version" answers query-version '.return | .qemu.major >= 0 and (.package | test("sluice"))'
check "status" answers query-status '.return == {running: true, status: "running"}'
check "memory-devices" answers query-memory-devices ".return == [{type: \"virtio-mem\", data: {id: \"vmem0\", memaddr: (4 * $GiB), \"requested-size\": 0, size: 0, \"max-size\": (4 * $GiB), \"block-size\": (2 * $MiB), node: 0, memdev: \"/objects/vmem0\"}}]"
check "map" answers x-sluice-query-map '.return[0] | .id == "vmem0" and .plugged == 0 and .exposed == 0 and ."open-slots" == []'
check "get" answers qom-get ".return == 2 * $MiB" "$(property block-size)"
check "get-by-id" answers qom-get ".return == 4 * $GiB" "$(property memaddr '' vmem0)"
check "lists-its-values" answers qom-list '[.return[].name] == ["type","requested-size","size","block-size","region-size","usable-region-size","memaddr"]' '{"path":"/machine/peripheral/vmem0"}'
check "before-capabilities" eval "raw '{\"execute\":\"query-status\"}' | tail -n 1 | jq -e '.error.class == \"CommandNotFound\"'"
check "unknown-command" answers fly '.error.class == "CommandNotFound"'
check "unknown-device" answers qom-set '.error.class == "DeviceNotFound"' "$(property requested-size 0 /machine/peripheral/vmem1)"
check "unknown-property" answers qom-get '.error.desc | test("size-requested")' "$(property size-requested)"
check "unknown-argument" answers query-status '.error.class == "GenericError"' '{"loud":true}'
check "no-multiple" answers qom-set '.error.desc | test("multiples of .block-size. \\(0x200000\\)")' "$(property requested-size 1048576)"
check "beyond-the-window" answers qom-set '.error.desc | test("cannot exceed")' "$(property requested-size $((8 * GiB)))"
check "negative" answers qom-set '.error.class == "GenericError"' "$(property requested-size -2097152)"
check "text-for-number" answers qom-set '.error.class == "GenericError"' "$(property requested-size '"2M"')"
check "read-only" answers qom-set '.error.desc | test("not writable")' "$(property size $MiB)"
check "no-json" eval "raw '{\"execute\":\"qmp_capabilities\"}' 'hello' '{\"execute\":\"query-status\"}' | jq -se 'length == 4 and .[2].error and .[3].return.running'"
check "nothing-has-changed" answers query-memory-devices '.return[0].data | ."requested-size" == 0 and .size == 0'

# Growth and its events.
check "set" answers qom-set '.return == {}' "$(property requested-size $((256 * MiB)))"
check "size-is-reported" until_true 60 seen control ".event == \"MEMORY_DEVICE_SIZE_CHANGE\" and .data == {id: \"vmem0\", size: (256 * $MiB), \"qom-path\": \"/machine/peripheral/vmem0\"} and .timestamp.seconds > 0"
check "get-size" answers qom-get ".return == 256 * $MiB" "$(property size)"
check "mem-waits" mem 0 '^vmem0: 512 MiB plugged (256 MiB before), [0-9.]* s$' 512MiB
check "mem-shows-progress" grep -q '^vmem0: [0-9.]* [MG]iB plugged, 512 MiB requested$' "$work/mem"
check "mem-on-a-terminal" eval "socat -t 120 -T 120 - 'EXEC:$SLUICE mem control 256MiB,pty' </dev/null >$work/bar && grep -aq 'vmem0  \[#*\.*\]  [0-9.]* MiB plugged, 256 MiB requested' $work/bar && grep -a '256 MiB plugged (512 MiB before)' $work/bar || { cat -v $work/bar; false; }"
check "mem-without-waiting" mem 0 '^vmem0: 512 MiB requested, 256 MiB plugged$' 512MiB --timeout 0
check "mem-shows" mem 0 '^vmem0 *512 MiB '
check "mem-no-size" mem 2 'much: is no size: ' much

# A guest that leaves new memory offline takes no more than some.
check "leaves-it-offline" onlining offline
"$SLUICE" mem control 4GiB >"$work/ctrl-c" 2>&1 &
waits=$!
check "mem-begins" until_line 60 'plugged, 4 GiB requested' "$work/ctrl-c"
kill -INT $waits
check "ctrl-c-ends-the-waiting" eval "wait $waits; [ \$? -eq 130 ] && grep '^vmem0: .* plugged; the request of 4 GiB stands, and the guest goes on$' $work/ctrl-c || { cat $work/ctrl-c; false; }"
check "the-request-stands" answers qom-get ".return == 4 * $GiB" "$(property requested-size)"
check "growth-stalls" mem 1 '^sluice: vmem0: nothing moved for 2 s: .* plugged, 4 GiB requested. The request stands. .*memhp_default_state=online_movable' 4GiB --timeout 2
check "still-exposed-is-plugged" eval "$SLUICE map control | grep 'exposed = plugged'"
check "onlines-again" onlining online_movable
check "shrinks" mem 0 '^vmem0: 0 plugged' 0

# A guest whose kernel uses what it got: pages of a ramfs cannot be moved.
check "gives-it-to-the-kernel" onlining online_kernel
check "grows" mem 0 '^vmem0: 256 MiB plugged (0 before)' 256MiB
check "uses-it" guest control 60 'mkdir /ram && mount -t ramfs ram /ram && for i in $(seq 50); do cat /bin/busybox; done >/ram/file && md5sum </ram/file >/sum'
check "shrinking-stalls" mem 1 '^sluice: vmem0: nothing moved for 3 s: .* plugged, 0 requested. The request stands. .* cannot be moved' 0 --timeout 3
stalled_at=$(qmp control "{\"execute\":\"qom-get\",\"arguments\":$(property size)}" | jq .return)
check "still-plugged" [ "$stalled_at" -ge 80000000 ]
check "nothing-is-lost" guest control 60 'md5sum </ram/file | cmp - /sum && rm /ram/file'
# Asked once more it tries at once: before its time to retry has come, which is a minute later.
check "asked-again" mem 0 requested 0 --timeout 0
check "shrinks-when-it-can" until_true 45 answers qom-get ".return <= $stalled_at - 50000000" "$(property size)"

# Resets; a second machine of that tree, which takes a name of its own.
check "system-reset" answers system_reset '.return == {}'
check "reset-is-reported" until_true 60 seen control '.event == "RESET" and .data == {guest: false, reason: "host-qmp-system-reset"}'
check "boots-again" booted control 2
send control 'reboot -f'
check "guests-reset-is-reported" until_true 60 seen control '.event == "RESET" and .data == {guest: true, reason: "guest-reset"}'
taken() {
	local rc=0
	timeout 60 "$SLUICE" run "$work/control.dts" </dev/null >"$work/taken.out" 2>&1 || rc=$?
	[ $rc -eq 1 ] && grep "$(socket control): a running machine has this control socket: .*--name NAME" "$work/taken.out" ||
		{ echo "status $rc"; cat "$work/taken.out"; return 1; }
}
check "its-name-is-taken" taken
second=control-too
"$SLUICE" run "$work/control.dts" --name $second </dev/null >"$work/second.out" 2>"$work/second.err" &
pid[second]=$!
# shellcheck disable=SC2034 # for `ended`
exec {input_second}>/dev/null
check "second-by-its-name" until_true 60 eval "qmp $second '{\"execute\":\"query-status\"}' | jq -e .return.running"
check "second-watched" watch "$second"
check "both-are-named" eval "$SLUICE map nobody 2>&1 | grep 'no machine runs there; running: $second, control$'"
qmp "$second" '{"execute":"quit"}' >"$work/answer"
check "quit-ends-it" ended second 60 0
check "quit-is-reported" until_true 60 seen "$second" '.event == "SHUTDOWN" and .data == {guest: false, reason: "host-qmp-quit"}'
unwatch "$second"
check "its-socket-is-gone" eval "[ ! -e $(socket "$second") ] && [ -S $(socket control) ]"

# The end.
check "boots-a-third-time" booted control 3
check "powerdown" answers system_powerdown '.return == {}'
check "powers-off" ended control 60 0
check "powerdown-is-reported" until_true 60 seen control '.event == "POWERDOWN"'
check "shutdown-is-reported" until_true 60 seen control '.event == "SHUTDOWN" and .data == {guest: true, reason: "guest-shutdown"}'
unwatch control
check "no-socket-left" eval "[ ! -e $(socket control) ]"
check "mem-finds-none" mem 1 'no machine runs there, nor any other' 1GiB
done_testing
