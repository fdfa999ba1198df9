#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 35
# A console on each back end, and `sluice console`: attached to a Linux guest from a terminal and from pipes, detached,
# taken over, and by a client that never reads.

. "$(dirname "$0")/lib.bash"

# Output alone, with a guest that says one line.
linux_ram=$ram ram='0x0 0x4000000'
bare hello hello 1
hello() { "$SLUICE" run "$work/hello.dts" "$@" </dev/null >"$work/hello.out" 2>"$work/hello.err"; }
said() { grep -q '^ok 1 - hello from hello' "$1"; }
check "stdio-by-default" eval "hello && said $work/hello.out"
check "null" eval "hello --console null && [ ! -s $work/hello.out ]"
check "file" eval "hello --console file:$work/log && hello --console file:$work/log && [ \$(grep -c '^ok 1 - hello' $work/log) = 2 ] && [ ! -s $work/hello.out ]"
bare hello hello 1 'options { sluice { compatible = "sluice,options"; console = "file:by-tree"; }; };'
check "by-the-tree-from-its-folder" eval "(cd / && hello) && said $work/by-tree"
check "the-command-line-has-it" eval "hello --console stdio && said $work/hello.out"
no_such() { ! hello --console "$1" && grep -q "$2" "$work/hello.err"; }
check "no-such-back-end" no_such tty 'none of "stdio"'
check "no-such-folder" no_such "file:$work/nowhere/log" "No such file"
check "nobody-runs" eval "! $SLUICE console nobody 2>$work/err && grep -q 'no machine runs there' $work/err"
ram=$linux_ram

# A Linux guest on a terminal of its own, which nobody has open: it holds 4 KiB (the ring after it: unit/console-backends). Its
# shell is driven by attaching: NAME.out is what an attached one sees.
tree guest 1 6.12
run guest --console pty
until_socket 60 guest
attach first "$SLUICE" console guest
check "the-client-sees-the-boot" booted first
check "the-guest-answers" guest first 60 'echo answer'
check "nothing-on-standard-output" eval "[ ! -s $work/guest.out ]"

# The newest takes over.
attach second "$SLUICE" console --control "$(socket guest)"
check "the-first-is-notified" until_line 60 'taken over by process' "$work/first.out"
check "and-ends" ended first 60 0
check "the-second-sees-what-was" booted second
check "and-is-answered" guest second 60 'echo answer'
send second $'\035'
check "detaches" ended second 60 0

attach third "$SLUICE" console guest
check "is-attached-again" guest third 60 true
check "pty-that-nobody-reads" guest third 200 'yes "one line of very much that is said" | head -n 160; echo all'
check "pty-is-named" until_line 60 '^sluice: the console is /dev/pts/' "$work/guest.err"
exec {opened}<>"$(sed -n 's/^sluice: the console is //p' "$work/guest.err")"
echo 'echo $((6 * 7)) typed at the terminal' >&$opened
check "pty-has-the-guest" until_line 60 '42 typed at the terminal' "$work/third.out"

# On a terminal: Ctrl-] gives it back as it was.
cat >"$work/on-terminal" <<-'EOS'
	#!/bin/bash
	stty -g >"$WORK/before"
	"$SLUICE" console guest
	echo $? >"$WORK/status"
	stty -g >"$WORK/after.new"
	mv "$WORK/after.new" "$WORK/after"
EOS
chmod +x "$work/on-terminal"
export WORK=$work SLUICE
attach terminal socat - "EXEC:$work/on-terminal,pty,setsid,ctty,stderr"
check "a-terminal-attaches" guest terminal 60 true
send terminal $'\035'
check "a-terminal-detaches" await 60 file "$work/after"
check "a-terminal-is-as-it-was" eval "[ \$(cat $work/status) = 0 ] && cmp $work/before $work/after"

check "it-had-taken-over" ended third 60 0
echo 'poweroff -f' >&$opened
check "powers-off" ended guest 60 0
exec {opened}>&-
console=$(socket guest | sed 's/sock$/console/')
check "no-socket-left" eval "[ ! -e $console ]"

# A socket at a path of its own: a client that leaves is replaced by the next.
ram='0x0 0x4000000'
bare again again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')"
run again --console "socket:$work/own"
await 60 file "$work/own"
for life in 1 2; do
	attach own socat - "UNIX-CONNECT:$work/own"
	check "own-socket-$life" until_true 60 eval "[ \$(grep -c 'off or again' $work/own.out) = $life ]"
	send own again
	until_true 60 eval "[ \$(grep -c 'off or again' $work/own.out) = $((life + 1)) ]"
	kill "${pid[own]}"
	unset "pid[own]"
done
check "own-socket-by-the-way" eval "echo off | $SLUICE console again >$work/way"
check "an-attached-client-ends-with-it" ended again 60 0
check "no-own-socket-left" eval "[ ! -e $work/own ]"
done_testing
