# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of Linux guests share: TAP points, machines as small trees, and a guest's shell
# driven over its console. Every wait has a deadline and ends as soon as what it waits for is there.

set -u
work=$(mktemp -d)
point=0
declare -A pid=()

# However a script ends, its machines end. Where a point failed, or the script was ended before its plan, its small files
# (trees, consoles, messages, events) go to the folder $KEEP, if set.
failed=0 planned=''
cleanup() {
	local p
	if [ -n "${KEEP:-}" ] && { [ $failed -gt 0 ] || [ -z "$planned" ]; }; then
		mkdir -p "$KEEP"
		find "$work" -maxdepth 3 -type f -size -1024k ! -path "*/files/*" -exec cp -t "$KEEP" {} + 2>/dev/null
	fi
	for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 143' TERM

# check NAME COMMAND...: one TAP point. Where it fails, what it printed follows; where it was long, for how long.
check() {
	local name=$1 since=$SECONDS
	shift
	point=$((point + 1))
	if "$@" >"$work/check.out" 2>&1; then
		echo "ok $point - $name"
	else
		failed=$((failed + 1))
		echo "not ok $point - $name"
		{ echo "$*"; cat "$work/check.out"; } | sed 's/^/# /'
	fi
	[ $((SECONDS - since)) -lt 3 ] || echo "# took $((SECONDS - since)) s"
}

# done_testing: the plan, last.
done_testing() {
	planned=yes
	echo "1..$point"
}

# await SECONDS line COUNT PATTERN FILE | text PATTERN FILE | answer MARK FILE | file PATH | end PID: until it is there, by one process
# (await.c says what each is); its status, 124 when the time is over. $while_waiting, if set, is called each second.
while_waiting=:
await() {
	local end=$((SECONDS + $1)) step=$1 rc
	shift
	[ "$while_waiting" = : ] || step=1
	while :; do
		rc=0
		"$BUILD/tests/linux/await" "$step" "$@" || rc=$?
		[ $rc -eq 124 ] && [ $SECONDS -lt $end ] || return $rc
		$while_waiting
	done
}
# until_line SECONDS PATTERN FILE
until_line() { await "$1" line 1 "$2" "$3"; }
# until_socket SECONDS NAME: the machine's control socket is there.
until_socket() { await "$1" file "$(socket "$2")"; }

# until_true SECONDS COMMAND...: for what await cannot see. Tries at once, then ever more rarely, up to twice a second;
# each try costs an emulated host a program's start and more. Reading from a pipe that nobody writes to is a sleep that
# starts no program.
exec {pause}<> <(:)
until_true() {
	local end=$((SECONDS + $1)) ms=100
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		$while_waiting
		read -r -t "0.$ms" -u "$pause"
		[ $ms -ge 400 ] || ms=$((ms + 100))
	done
}

# Half of what a kernel executes as it boots, and no test needs: it tests its ciphers and how random its jitter is, and
# reads certificates and the types of its BPF functions.
quick='cryptomgr.notests initcall_blacklist=jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init'
# tree NAME CPUS KERNEL [NODES [BOOTARGS]]: a machine of $ram (512 MiB) in $work/NAME.dts, its folder holding kernel
# and initramfs. NODES go into the root.
ram='0x0 0x20000000'
tree() {
	local i reg cpus='' name=$1 guest=$3
	for ((i = 0; i < $2; i++)); do
		printf -v reg %x $((i / 16 << 8 | i % 16)) # as KVM numbers them
		cpus+="cpu@$reg { device_type = \"cpu\"; reg = <0x$reg>; }; "
	done
	cat >"$work/$name.dts" <<-EOF
		/dts-v1/;
		/ {
			compatible = "sluice,machine";
			#address-cells = <2>;
			#size-cells = <2>;
			cpus { #address-cells = <1>; #size-cells = <0>; $cpus };
			memory@40000000 { device_type = "memory"; reg = <0x0 0x40000000 $ram>; };
			chosen {
				bootargs = "console=ttyAMA0 quiet $quick guest.plain memhp_default_state=online_movable ${5:-}";
				sluice,kernel = "vmlinuz-$guest";
				sluice,initrd = "initramfs-$guest";
			};
			${4:-}
		};
	EOF
	[ "$guest" != none ] || return 0
	[ -e "$work/vmlinuz-$guest" ] || cp "$GUESTS/$guest/vmlinuz" "$work/vmlinuz-$guest"
	[ -e "$work/initramfs-$guest" ] || cp "$GUESTS/$guest/initramfs" "$work/initramfs-$guest"
}

# with_files NAME KERNEL FOLDER: the guest NAME finds what is in FOLDER in its root, too.
with_files() {
	(cat "$work/initramfs-$2" && cd "$3" && find . | cpio -o -H newc 2>"$work/cpio.log") >"$work/initramfs-$1"
	sed -i "s/initramfs-$2/initramfs-$1/" "$work/$1.dts"
}
# copy_program PROGRAM FOLDER: into FOLDER/bin, with its libraries where it searches for them.
copy_program() {
	mkdir -p "$2/bin"
	cp "$1" "$2/bin/"
	(cd / && LD_TRACE_LOADED_OBJECTS=1 "$1" | grep -o '/[^ ]*' | xargs cp -L --parents -t "$2")
}

# window LABEL ADDRESS SIZE [PROPERTIES]: the nodes of a window and its device, two numbers of hex cells each
# ("0x1 0x0"). Give all windows of a machine in one call of `windows`.
window_region() { echo "$1: $1-window@$4 { reg = <$2 $3>; no-map; };"; }
window_device() { echo "$1 { compatible = \"sluice,virtio-mem\"; memory-region = <&$1>; ${2:-} };"; }
regions() { echo "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; $* };"; }

# window_of BYTES [PROPERTIES]: a machine's only window, at 4 GiB, device vmem0; the usual one is of 4 GiB.
window_of() {
	regions "$(window_region vmem0 '0x1 0x0' "$(printf '0x%x 0x%x' $(($1 >> 32)) $(($1 & 0xffffffff)))" 100000000)"
	window_device vmem0 "${2:-}"
}
usual_window() { window_of $((4 << 30)) "${1:-}"; }

# fresh NAME: an input to write to, and nothing yet in its output, before anybody waits for it.
fresh() {
	rm -f "$work/$1.in"
	mkfifo "$work/$1.in"
	: >"$work/$1.out"
}

# run NAME [OPTION...]: starts $work/NAME.dts, its console's input open for `guest`.
run() {
	local name=$1
	shift
	fresh "$name"
	"$SLUICE" run "$work/$name.dts" "$@" <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
	pid[$name]=$!
	exec {fd}>"$work/$name.in"
	eval "input_$name=$fd"
}

# attach NAME COMMAND...: `sluice console`, or another command, with its input open.
attach() {
	local name=$1
	shift
	fresh "$name"
	"$@" <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
	pid[$name]=$!
	exec {fd}>"$work/$name.in"
	eval "input_$name=$fd"
}

# booted NAME [COUNT [SECONDS]]: the guest has said its line COUNT times.
booted() {
	if ! await "${3:-120}" line "${2:-1}" 'guest: Linux [0-9]' "$work/$1.out"; then
		tail -n 20 "$work/$1.out" "$work/$1.err"
		return 1
	fi
}

# guest NAME SECONDS COMMAND: runs a command in the guest's shell; its output and its status.
guest_serial=0
guest() {
	local name=$1 seconds=$2 fd=input_$1 mark rc=0
	guest_serial=$((guest_serial + 1))
	mark="@$$-$guest_serial-$RANDOM"
	echo "echo $mark; { $3; } 2>&1; echo $mark:\$?" >&"${!fd}"
	await "$seconds" answer "$mark" "$work/$name.out" || rc=$?
	[ $rc -ne 124 ] || {
		echo "the guest did not finish '$3' in $seconds s"
		tail -n 20 "$work/$name.out" "$work/$name.err"
	}
	return $rc
}

# shrinks NAME[/DEVICE]: its guest unplugs all of the window. If it does not: prints the window's map, and what the
# guest's kernel is busy with. Linux retries for ever to offline a block with a page that is pinned.
shrinks() {
	local name=${1%/*}
	! "$SLUICE" mem "$1" 0 || return 0
	"$SLUICE" map "$name"
	tail -n 20 "$work/$name.err"
	guest "$name" 60 'head -n 5 /proc/meminfo; grep -e compact -e migrate -e isolated /proc/vmstat; echo w >/proc/sysrq-trigger; echo l >/proc/sysrq-trigger
		for p in $(grep -l "(kworker.*) [DR]" /proc/[0-9]*/stat); do cat ${p%stat}comm ${p%stat}stack; done; dmesg | tail -n 150'
	return 1
}

# send NAME LINE: a line to the guest's shell that gives no answer.
send() {
	local fd=input_$1
	echo "$2" >&"${!fd}"
}

# ended NAME SECONDS STATUS: the machine ends with this status.
gone() { ! kill -0 "${pid[$1]}" 2>/dev/null; }
ended() {
	local status fd=input_$1
	await "$2" end "${pid[$1]}" || {
		echo "still running"
		tail -n 20 "$work/$1.out" "$work/$1.err"
		return 1
	}
	wait "${pid[$1]}"
	status=$?
	unset "pid[$1]"
	eval "exec ${!fd}>&-"
	[ "$status" -eq "$3" ] || {
		echo "exit status $status, not $3"
		tail -n 20 "$work/$1.err"
		return 1
	}
}

# What `sluice map` says of the (first) window: number NAME plugged|exposed|requested|usable|resident in bytes.
map_json() { qmp "$1" '{"execute":"x-sluice-query-map"}' | jq -c '.return'; }
# qmp NAME COMMAND...: the answers of a machine's control socket, without its greeting and events.
# Root's are in /run, whatever the environment says.
socket() { echo "$([ "$EUID" -eq 0 ] && echo /run || echo "$XDG_RUNTIME_DIR")/sluice/$1.sock"; }
qmp() {
	local name=$1
	shift
	printf '%s\n' '{"execute":"qmp_capabilities"}' "$@" |
		socat -t 10 - "UNIX-CONNECT:$(socket "$name")" | jq -c 'select(has("return") or has("error"))' | tail -n "$#"
}

# resident NAME: the host memory that the machine's process holds, in MiB.
resident() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/${pid[$1]}/status"; }
# descriptors NAME
descriptors() { find "/proc/${pid[$1]}/fd" -mindepth 1 | wc -l; }

# watch NAME: from now on the events of a machine go to $work/NAME.events, one a line, until it ends.
watch() {
	(echo '{"execute":"qmp_capabilities"}' && exec sleep 600) > >(exec socat -t 1 - "UNIX-CONNECT:$(socket "$1")" >"$work/$1.events" 2>&1) &
	pid[$1-watch]=$!
	until_line 60 return "$work/$1.events"
}
# seen NAME JQ: one of the events fits.
seen() { grep '"event"' "$work/$1.events" | jq -se "any(.[]; $2)"; }
unwatch() { kill "${pid[$1-watch]}"; unset "pid[$1-watch]"; }

# bare NAME GUEST CPUS [NODES [BOOTARGS]]: a machine of $ram for a bare-metal guest of tests/guests/bare.
bare() {
	tree "$1" "$3" none "${4:-}"
	# A machine that runs may be reading it: it is not written again.
	[ -e "$work/$2" ] || cp "$BUILD/tests/guests/bare/guest-$2" "$work/$2" || exit 1
	sed -i "s/vmlinuz-none/$2/; /sluice,initrd/d; s/bootargs = .*/bootargs = \"$2${5:+ $5}\";/" "$work/$1.dts"
}

# points NAME: the guest's TAP points in $work/NAME.out become this test's; one that left before its plan is a failure.
points() {
	local line planned seen=0
	while read -r line; do
		case $line in
		'ok '* | 'not ok '*)
			point=$((point + 1)) seen=$((seen + 1))
			[[ $line != not* ]] || failed=$((failed + 1))
			echo "${line%% [0-9]*} $point - $1: ${line#* - }"
			;;
		'1..'*) planned=${line#1..} ;;
		'Bail out!'*) echo "# $line" ;;
		esac
	done < <(tr -d '\r' <"$work/$1.out")
	check "$1: came to its end" eval "[ '${planned:-none}' = $seen ] || { tail -n 20 $work/$1.out $work/$1.err; false; }"
}

# forward NAME SECONDS [OPTION...]: runs a bare-metal guest to its end; its points are this test's, $status is Sluice's.
forward() {
	local name=$1
	timeout "$2" "$SLUICE" run "$work/$name.dts" "${@:3}" </dev/null >"$work/$name.out" 2>"$work/$name.err"
	status=$?
	points "$name"
}
