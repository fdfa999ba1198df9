#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 45
# Console and signals: the ways to end a machine and the exit status of each, standard input of every kind, and a
# terminal that is as it was however the machine ended.

. "$(dirname "$0")/lib.bash"

tree guest 1 6.12

speaks() { [ -S "$(socket guest)" ] && qmp guest '{"execute":"query-status"}' | jq -e .return.running; }

# Standard input of each kind, and each signal that presses the button.
# starts REDIRECTION: runs it with such an input, and SIGINT as from a terminal: a script's background jobs ignore it.
starts() {
	: >"$work/guest.out" # before anybody waits for what it says
	eval "env --default-signal=INT \"\$SLUICE\" run $work/guest.dts $1 >$work/guest.out 2>$work/guest.err &"
	pid[guest]=$!
	# shellcheck disable=SC2034 # for `ended`
	exec {input_guest}>/dev/null
}
starts '</dev/null'
check "stdin-null" booted guest
kill -TERM "${pid[guest]}"
check "TERM-presses-the-button" ended guest 60 0
starts '<&-'
check "stdin-closed" booted guest
kill -INT "${pid[guest]}"
check "INT-presses-the-button" ended guest 60 0
# What comes before Linux listens may be lost.
{ for _ in $(seq 40); do echo; done; echo 'echo read to the end'; } >"$work/lines"
starts "<$work/lines"
check "stdin-file" booted guest
check "stdin-file-is-read" until_line 60 'read to the end$' "$work/guest.out"
kill -HUP "${pid[guest]}"
check "HUP-presses-the-button" ended guest 60 0
# As under nohup.
trap '' HUP
starts '</dev/null'
trap - HUP
check "boots-under-nohup" booted guest
kill -HUP "${pid[guest]}"
kill -TERM "${pid[guest]}" # had the first counted, this would be the second, and end it with 124
check "nohup-is-left-alone" ended guest 60 0

# A guest that does not mind the button.
run guest --shutdown-timeout 600
check "stdin-pipe" booted guest
check "goes-deaf" guest guest 60 'for p in $(pidof guest-tool); do [ "$p" = 1 ] || kill "$p"; done'
watch guest
kill -TERM "${pid[guest]}"
check "TERM-is-reported" until_true 60 seen guest '.event == "POWERDOWN"'
check "deaf-to-the-first" guest guest 60 true
kill -TERM "${pid[guest]}"
check "second-TERM-ends" ended guest 60 124
unwatch guest
check "no-socket-left" eval "[ ! -e $(socket guest) ]"
# Nor does one that still boots, or is not even loaded.
run guest --shutdown-timeout 1
until_socket 60 guest
kill -TERM "${pid[guest]}"
check "shutdown-timeout-ends" ended guest 60 124
check "no-socket-left-either" eval "[ ! -e $(socket guest) ]"
check "button-is-logged" grep -x 'sluice: power button pressed: the guest is to power off within --shutdown-timeout; .*' "$work/guest.err"
check "says-why" grep -x 'sluice: the guest did not power off within --shutdown-timeout: ended' "$work/guest.err"

# A terminal. `terminal OPTION...` runs the machine on one; what it was before and after, and the exit status, are in
# files, and `guest tty` works as with a pipe.
cat >"$work/on-terminal" <<-'EOF'
	#!/bin/bash
	stty -g >"$WORK/before"
	bash -c 'echo $$ >"$WORK/sluice.pid"; exec "$SLUICE" run "$WORK/guest.dts" '"$OPTIONS" 2>"$WORK/tty.err"
	echo $? >"$WORK/status"
	stty -g >"$WORK/after.new"
	mv "$WORK/after.new" "$WORK/after"
EOF
chmod +x "$work/on-terminal"
export WORK=$work SLUICE
terminal() {
	rm -f "$work"/{before,after,status,sluice.pid,tty.in,tty.out}
	mkfifo "$work/tty.in"
	OPTIONS=$* socat - "EXEC:$work/on-terminal,pty,setsid,ctty,stderr" <"$work/tty.in" >"$work/tty.out" 2>"$work/socat.err" &
	pid[tty]=$!
	exec {input_tty}>"$work/tty.in"
}
keys() { printf "$1" >&"$input_tty"; }
# restored STATUS: within 20 s it ended with this, and the terminal is as it was.
restored() {
	await 60 file "$work/after" || { echo 'still running'; tail -n 5 "$work/tty.out" "$work/tty.err"; return 1; }
	wait "${pid[tty]}"
	unset "pid[tty]"
	exec {input_tty}>&-
	[ "$(cat "$work/status")" = "$1" ] || { echo "status $(cat "$work/status")"; cat "$work/tty.err"; return 1; }
	cmp "$work/before" "$work/after"
}
terminal
check "terminal-boots" booted tty
check "shell-answers" guest tty 60 true
# Said by what Ctrl-C is to end: until the guest's shell has made its job the terminal's own, Ctrl-C is the shell's.
keys 'sh -c "echo asleep; exec sleep 600"\n'
until_line 60 '^asleep\|# asleep' "$work/tty.out"
keys '\003'
check "ctrl-c-is-the-guests" guest tty 60 'echo still here'
keys '\001h'
check "ctrl-a-h-helps" until_line 60 'Ctrl-A x  leave' "$work/tty.out"
keys '\001p'
check "ctrl-a-p-presses-the-button" restored 0
terminal
check "speaks" until_true 60 speaks
keys '\001x'
check "ctrl-a-x-leaves" restored 0
since=$SECONDS
terminal --timeout 3
check "timeout-restores" restored 124
check "not-before-its-time" eval "[ $((SECONDS - since)) -ge 2 ]"
terminal
check "speaks-again" until_true 60 speaks
kill -SEGV "$(cat "$work/sluice.pid")"
check "crash-restores" restored 139
sed -i 's/vmlinuz-6.12/none/' "$work/guest.dts"
terminal
check "bad-input-restores" restored 1

# The command line.
# usage STATUS ARGUMENT...: what is one's fault goes to standard error, the reason first and in a line where more is said, with
# status 2; usage that was asked for to standard output.
usage() {
	local rc=0 good=out other=err text='^Usage: sluice'
	"$SLUICE" "${@:2}" >"$work/out" 2>"$work/err" </dev/null || rc=$?
	[ "$1" -eq 0 ] || good=err other=out text='^`sluice .*--help` says '
	[ $rc -eq "$1" ] && [ ! -s "$work/$other" ] && grep -q -- "$text" "$work/$good" || { echo "status $rc"; head "$work/out" "$work/err"; return 1; }
}
check "usage-none" usage 2
check "usage-no-command" usage 2 fly
check "usage-run" usage 2 run
check "usage-run-two" usage 2 run "$work/guest.dts" "$work/guest.dts"
check "usage-run-option" usage 2 run --fast "$work/guest.dts"
check "usage-run-timeout" usage 2 run --timeout soon "$work/guest.dts"
check "usage-run-value" usage 2 run "$work/guest.dts" --name
check "usage-check" usage 2 check
mapfile -t seventeen < <(for _ in $(seq 17); do printf '%s\n' --overlay "$work/guest.dts"; done)
check "usage-check-seventeen-overlays" usage 2 check "$work/guest.dts" "${seventeen[@]}"
check "usage-run-seventeen-overlays" usage 2 run "$work/guest.dts" "${seventeen[@]}"
check "usage-mem" usage 2 mem
check "usage-mem-timeout" usage 2 mem guest 1GiB --timeout -1
check "usage-map" usage 2 map a b
check "usage-console" usage 2 console
check "usage-console-three" usage 2 console a b c
check "usage-run-console" usage 2 run "$work/guest.dts" --console tty
for command in '' run check show console mem balloon resize map slots doctor; do
	for option in --help -h; do
		# shellcheck disable=SC2086
		check "help-${command:-all}$option" usage 0 $command $option
	done
done
check "version" eval "$SLUICE --version | grep -Ex 'sluice [0-9]+\.[0-9]+\.[0-9]+'"
done_testing
