#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 1
# seconds: 25
# Bad input gets its error and exit 1, nothing else: nothing on standard output, no core, no socket left behind. The
# error names the file, or the path in the tree and the property. `sluice check` says the same as `sluice run`.

. "$(dirname "$0")/lib.bash"

# Alone with its folder of sockets, and where a core would land.
chmod 711 "$work"
mkdir "$work/here"
cd "$work/here" || exit 1
ulimit -c unlimited
case $(cat /proc/sys/kernel/core_pattern) in core*) ;; *) echo '# a core would not land here' ;; esac

# quiet_about COMMAND...: runs it; exit 1, and errors of ours are all there is.
quiet_about() {
	local rc=0
	timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || rc=$?
	[ $rc -eq 1 ] || { echo "exit status $rc"; return 1; }
	[ ! -s "$work/out" ] || { echo "standard output: $(head -n 5 "$work/out")"; return 1; }
	! grep -v '^sluice: ' "$work/err" || { echo 'standard error has more than errors'; return 1; }
	[ -z "$(ls)" ] || { echo "left behind: $(ls)"; return 1; }
	[ -z "$(find /run/sluice "$work" -type s 2>/dev/null)" ] || { echo 'a socket is left behind'; return 1; }
}
# says TEXT: one line is TEXT, which may have * for what varies.
says() {
	local line
	while read -r line; do
		# shellcheck disable=SC2053
		[[ $line != "sluice: "$1 && $line != "sluice: $work/"*.dt?": "$1 ]] || return 0
	done <"$work/err"
	echo "not: $1"
	return 1
}
one_line() { [ "$(grep -cv '^sluice: warning: ' "$work/err")" -eq 1 ]; }
refused_by() {
	local text=$1
	shift
	quiet_about "$@" && says "$text" && one_line || { cat "$work/err"; return 1; }
}
# bad NAME FILE TEXT: both commands refuse FILE, with TEXT and no other error.
bad() {
	check "$1-run" refused_by "$3" "$SLUICE" run "$2"
	check "$1-check" refused_by "$3" "$SLUICE" check "$2"
}
# bad_tree NAME TEXT [NODES]: the same of a machine with those nodes.
bad_tree() {
	tree "$1" 1 6.12 "${3:-}"
	bad "$1" "$work/$1.dts" "$2"
}
# bad_window NAME TEXT ADDRESS SIZE UNIT [PROPERTIES [REGIONS]]: of one with that window, and more reserved ranges.
bad_window() {
	bad_tree "$1" "$2" "$(regions "$(window_region vmem0 "$3" "$4" "$5")" "${7:-}") $(window_device vmem0 "${6:-}")"
}
# with NAME SED: the machine "good" with a line changed.
with() { sed "$2" "$work/good.dts" >"$work/$1.dts"; }

tree good 1 6.12 "$(usual_window)"
check "good-to-begin-with" eval "$SLUICE check $work/good.dts >$work/out 2>$work/err || { cat $work/err; false; } && [ ! -s $work/err ]"

# Files.
bad no-such-file "$work/none.dts" "$work/none.dts: cannot open it: No such file or directory"
bad no-such-blob "$work/none.dtb" "$work/none.dtb: cannot open it: No such file or directory"
echo 'a shopping list' >"$work/list.txt"
bad not-a-tree "$work/list.txt" "$work/list.txt: not a tree: it is text *"
head -c 2000000 "$work/vmlinuz-6.12" >"$work/half"
bad not-a-tree-but-a-kernel "$work/half" "$work/half: not a tree: it is an arm64 kernel; *"
: >"$work/empty.dtb"
bad empty "$work/empty.dtb" "$work/empty.dtb: not a tree: it is empty"
bad a-folder "$work/here" "$work/here: it is a folder, not a tree"
dtc -q -I dts -O dtb -o "$work/good.dtb" "$work/good.dts"
head -c 600 "$work/good.dtb" >"$work/cut.dtb"
bad truncated "$work/cut.dtb" "$work/cut.dtb: is truncated: its tree is * bytes, the file has 600"
head -c 20 "$work/good.dtb" >"$work/stub.dtb"
bad truncated-header "$work/stub.dtb" "$work/stub.dtb: is truncated: it ends within the header of its tree"
{ head -c 300 "$work/good.dtb"; head -c 100 /dev/zero | tr '\0' '\377'; tail -c +401 "$work/good.dtb"; } >"$work/torn.dtb"
bad damaged "$work/torn.dtb" "$work/torn.dtb: *"
echo '/dts-v1/; / { compatible = ; };' >"$work/syntax.dts"
check "syntax-run" eval "! $SLUICE run $work/syntax.dts 2>$work/err && grep '^sluice: $work/syntax.dts: dtc: .*syntax error' $work/err"

# The window's place.
ram='0x0 0x40000000'
bad_window window-in-memory '/vmem0: memory-region: window 0x60000000+0x20000000 (512 MiB) overlaps /memory@40000000, *' \
	'0x0 0x60000000' '0x0 0x20000000' 60000000
bad_window window-across-memory '/vmem0: memory-region: window 0x60000000+0x100000000 (4 GiB) overlaps /memory@40000000, *' \
	'0x0 0x60000000' '0x1 0x0' 60000000
ram='0x0 0x20000000'
bad_window window-misaligned '/vmem0: memory-region: window 0x110000000+0x40000000 (1 GiB) is not aligned to 512 MiB: 0x120000000 is *' \
	'0x1 0x10000000' '0x0 0x40000000' 110000000
bad_window window-odd-size '/vmem0: memory-region: *0x40100000*' '0x1 0x0' '0x0 0x40100000' 100000000
bad_tree window-on-window '/vmem1: memory-region: window 0x120000000+0x100000000 (4 GiB) overlaps /reserved-memory/vmem0-window@100000000, *' "
	$(regions "$(window_region vmem0 '0x1 0x0' '0x1 0x0' 100000000)" "$(window_region vmem1 '0x1 0x20000000' '0x1 0x0' 120000000)")
	$(window_device vmem0) $(window_device vmem1)"
bad_window window-on-reserved '/vmem0: memory-region: window 0x100000000+0x40000000 (1 GiB) overlaps /reserved-memory/logo@13ff00000, *' \
	'0x1 0x0' '0x0 0x40000000' 100000000 '' 'logo@13ff00000 { reg = <0x1 0x3ff00000 0x0 0x200000>; };'
tree memreserve 1 6.12 "$(usual_window)"
sed -i 's|^/dts-v1/;|/dts-v1/; /memreserve/ 0x1ffffe000 0x4000;|' "$work/memreserve.dts"
bad window-on-memreserve "$work/memreserve.dts" \
	'/vmem0: memory-region: window 0x100000000+0x100000000 (4 GiB) overlaps /memreserve/, 0x1ffffe000+0x4000 (16 KiB)'
bad_window window-beyond-ipa '/vmem0: memory-region: window 0x10000000000000+0x40000000 (1 GiB) ends beyond what this host*bits*' \
	'0x100000 0x0' '0x0 0x40000000' 10000000000000
# The upper half of what guests can address, and 1 GiB.
half=$((1 << ($("$SLUICE" check "$work/good.dts" | sed -n 's/.*(this host: \([0-9]*\))$/\1/p') - 1)))
cells() { printf '0x%x 0x%x' $(($1 >> 32)) $(($1 & 0xffffffff)); }
bad_window window-across-ipa '/vmem0: memory-region: window * ends beyond * The largest that fits there is *' \
	"$(cells $half)" "$(cells $((half + (1 << 30))))" "$(printf %x $half)"
bad_window window-not-no-map '/reserved-memory/rough@200000000: no-map: missing: *' '0x1 0x0' '0x1 0x0' 100000000 \
	'' 'rough: rough@200000000 { reg = <0x2 0x0 0x0 0x40000000>; }; }; vmem1 { compatible = "sluice,virtio-mem"; memory-region = <&rough>;'

# What the host has of address space and slots.
tree large 1 6.12 "$(regions "$(window_region vmem0 '0x1 0x40000000' '0x7d 0x0' 140000000)") $(window_device vmem0)"
for command in run check; do
	check "address-space-$command" eval "(ulimit -v $((64 << 20)); refused_by '/vmem0: memory-region: memory and windows take 500.5 GiB of address space, and a process on this host has *: make the windows smaller by *' $SLUICE $command $work/large.dts)"
done
bad_window too-many-slots '/vmem0: memslots: * out of range: 0 to 1024' '0x1 0x40000000' '0x7d 0x0' 140000000 'memslots = <1025>;'
bad_window slots-beyond-kvm '/vmem0: memslots: the windows ask for 256000 memory slots, and KVM on this host has* /vmem0 256000 of 2 MiB*' \
	'0x1 0x40000000' '0x7d 0x0' 140000000 'slot-size = /bits/ 64 <0x200000>;'

# Properties.
with unknown 's/memory-region = <&vmem0>;/& requested-siez = <0 0>;/'
bad unknown-property "$work/unknown.dts" '/vmem0: requested-siez: unknown here; did you mean requested-size?'
with class 's/sluice,virtio-mem/sluice,virtio-men/'
bad unknown-device "$work/class.dts" '/vmem0: compatible: "sluice,virtio-men" is unknown here; did you mean sluice,virtio-mem?'
with u32 's/memory-region = <&vmem0>;/& requested-size = <0x40000000>;/'
bad u32-for-u64 "$work/u32.dts" '/vmem0: requested-size: * /bits/ 64 <0x40000000>*'
with block 's/memory-region = <&vmem0>;/& block-size = <0x0 0x300000>;/'
bad block-no-power-of-two "$work/block.dts" '/vmem0: block-size: *'
with request 's/memory-region = <&vmem0>;/& requested-size = <0x0 0x100000>;/'
bad request-no-block "$work/request.dts" '/vmem0: requested-size: *'

# Kernel and initrd.
with no-kernel '/sluice,kernel/d'
check "no-kernel-run" refused_by '/chosen: sluice,kernel: *' "$SLUICE" run "$work/no-kernel.dts"
with lost 's/vmlinuz-6.12/vmlinux-6.12/'
bad lost-kernel "$work/lost.dts" "/chosen: sluice,kernel: $work/vmlinux-6.12 cannot be opened: No such file or directory*"
with small 's/0x0 0x20000000>/0x0 0x2000000>/'
bad kernel-beyond-memory "$work/small.dts" "$work/vmlinuz-6.12: arm64 Image does not fit into memory: it needs * MiB in one piece, *make /memory larger*"
with half 's/vmlinuz-6.12/half/'
bad truncated-kernel "$work/half.dts" "$work/half: is truncated: its header says * bytes, the file has 2000000"
# An x86 bzImage's header ("HdrS" at 0x202), and an x86-64 ELF's (machine 62).
{ printf MZ; head -c 512 /dev/zero; printf HdrS; head -c 4096 /dev/zero; } >"$work/bzImage"
with bzImage 's/vmlinuz-6.12/bzImage/'
bad bzImage "$work/bzImage.dts" "$work/bzImage: is an x86 kernel (bzImage); needed is an arm64 kernel*"
{ printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\76\0\1\0\0\0'; head -c 4096 /dev/zero; } >"$work/vmlinux.x86"
with elf-x86 's/vmlinuz-6.12/vmlinux.x86/'
bad elf-for-x86 "$work/elf-x86.dts" "$work/vmlinux.x86: is an ELF for x86 (machine 62); needed is AArch64"
truncate -s 600M "$work/huge"
with huge 's/initramfs-6.12/huge/'
bad initrd-does-not-fit "$work/huge.dts" "$work/huge: initrd does not fit into memory: it needs 600.0 MiB *"
with bare 's/initramfs-6.12/none/'
bad lost-initrd "$work/bare.dts" "/chosen: sluice,initrd: $work/none cannot be opened: No such file or directory*"

# A tree from elsewhere: a blob, which may name what lies beside it. All of it is in unit/path-rights; here is what takes root.
elsewhere='is a tree from elsewhere, and may name what lies in its own folder, *'
# blob NAME SED: the machine "good" as a blob, with a line changed.
blob() { with "$1" "$2"; dtc -q -I dts -O dtb -o "$work/$1.dtb" "$work/$1.dts"; rm "$work/$1.dts"; }
blob absolute 's|vmlinuz-6.12|/etc/passwd|'
bad absolute-kernel "$work/absolute.dtb" "/chosen: sluice,kernel: \"/etc/passwd\": $work/absolute.dtb $elsewhere"
ln -s /etc/passwd "$work/passwd"
blob linked 's|vmlinuz-6.12|passwd|'
bad linked-kernel "$work/linked.dtb" "/chosen: sluice,kernel: \"passwd\" is a symbolic link, or goes through one, that leads out of $work/, *"
blob console 's|chosen {|options { sluice { compatible = "sluice,options"; console = "file:here/../../escaped"; }; };&|'
bad console-outside "$work/console.dtb" "/options/sluice: console: \"here/../../escaped\": $work/console.dtb $elsewhere"
check "no-console-outside" eval "! ls $work/../escaped"
check "shown-alike" refused_by "/chosen: sluice,kernel: *" "$SLUICE" show "$work/absolute.dtb"

# An /etc of its own, so that the host's stays as it is.
cat >"$work/own-etc" <<-'EOF'
	#!/bin/bash
	# own-etc COMMANDS COMMAND...: COMMAND, with an /etc that has but /etc/sluice and what COMMANDS make.
	if [ "$1" != inside ]; then exec unshare -m "$0" inside "$@"; fi
	mount --make-rprivate / && mount -t tmpfs -o mode=755 etc /etc && mkdir /etc/sluice && eval "$2" || exit
	shift 2
	exec "$@"
EOF
chmod +x "$work/own-etc"
mkdir -m 755 "$work/blobs"
blob good-blob "s|vmlinuz-6.12|$work/vmlinuz-6.12|; s|initramfs-6.12|../initramfs-6.12|"
mv "$work/good-blob.dtb" "$work/blobs/good.dtb"
away=$work/blobs/good.dtb
good_in_etc() { "$work/own-etc" "$1" "$SLUICE" check "${@:2}" >"$work/out" 2>"$work/err" || { cat "$work/err"; return 1; }; }
refused_in_etc() { refused_by "$2" "$work/own-etc" "$1" "$SLUICE" check "$away"; }
check "needs-to-be-allowed" eval "! good_in_etc : $away && grep -c '$work/vmlinuz-6.12.*elsewhere' $work/err && grep -c '../initramfs-6.12.*elsewhere' $work/err"
check "allowed" good_in_etc : "$away" --allow "$work"
mkdir "$work/kernels" "$work/initrds"
ln "$work/vmlinuz-6.12" "$work/kernels/"
ln "$work/initramfs-6.12" "$work/initrds/"
blob two "s|vmlinuz-6.12|$work/kernels/&|; s|initramfs-6.12|$work/initrds/&|"
check "one-folder-of-two-is-allowed" eval "! good_in_etc : $work/two.dtb --allow $work/kernels && ! grep $work/kernels $work/err && grep '$work/initrds/.*elsewhere' $work/err"
check "two-folders-are-allowed" good_in_etc : "$work/two.dtb" --allow "$work/kernels" --allow "$work/initrds"
check "allowed-by-policy" good_in_etc "printf '# guests\n\n/nowhere\n$work\n' >/etc/sluice/policy" "$away"
check "policy-of-a-relative-path" refused_in_etc "echo here >/etc/sluice/policy" '/etc/sluice/policy: "here" is no folder*'
check "policy-others-can-write" refused_in_etc "echo $work >/etc/sluice/policy; chmod g+w /etc/sluice/policy" '/etc/sluice/policy: others than root can write it*'
check "policy-in-a-folder-others-can-write" refused_in_etc "echo $work >/etc/sluice/policy; chmod o+w /etc/sluice" '/etc/sluice/policy: others than root can write it*'
check "roots-own-tree" good_in_etc "cp $away /etc/sluice; cp $work/initramfs-6.12 /etc" /etc/sluice/good.dtb
check "not-roots-tree" eval "! good_in_etc 'cp $away /etc/sluice; chown 65534 /etc/sluice/good.dtb' /etc/sluice/good.dtb && grep -c elsewhere $work/err"
check "a-link-there-is-not" eval "! good_in_etc 'ln -s $away /etc/sluice' /etc/sluice/good.dtb && grep -c elsewhere $work/err"

# /dev/kvm. A /dev of its own, so that the host's stays as it is.
cat >"$work/own-dev" <<-'EOF'
	#!/bin/bash
	# own-dev COMMANDS COMMAND...: COMMAND, with a /dev that has but null and what COMMANDS make.
	if [ "$1" != inside ]; then exec unshare -m "$0" inside "$@"; fi
	mount --make-rprivate / && mount -t tmpfs -o mode=755 dev /dev && mknod -m 666 /dev/null c 1 3 && eval "$2" || exit
	shift 2
	exec "$@"
EOF
chmod +x "$work/own-dev"
check "no-kvm" refused_by '/dev/kvm: No such file or directory: *bare metal*' "$work/own-dev" : "$SLUICE" run "$work/good.dts"
mkdir -m 700 "$work/nobody"
chown nobody "$work/nobody"
kvm=$(stat -c '0x%t 0x%T' /dev/kvm)
for mode in 660 600; do
	case $mode in
	660) advice='join its group: usermod -aG kvm nobody, as root, then log in again' ;;
	600) advice='no group may open it: chgrp kvm /dev/kvm && chmod 660 /dev/kvm, as root*' ;;
	esac
	# shellcheck disable=SC2086
	check "no-permission-$mode" refused_by "no permission on /dev/kvm: $advice" \
		"$work/own-dev" "mknod /dev/kvm c $(printf '%d %d' $kvm) && chown root:kvm /dev/kvm && chmod $mode /dev/kvm" \
		chroot --userspec=nobody:nogroup --skip-chdir / env USER=nobody "XDG_RUNTIME_DIR=$work/nobody" "$SLUICE" run "$work/good.dts"
done

# By another name a machine has other numbers: those that it has as a file of that name.
by_name() {
	local before
	before=$("$SLUICE" show "$work/good.dts") && cp "$work/good.dts" "$work/other.dts" &&
		[ "$("$SLUICE" show "$work/good.dts" --name other)" = "$("$SLUICE" show "$work/other.dts")" ] &&
		[ "$("$SLUICE" show "$work/good.dts" --name good)" = "$before" ] &&
		[ "$("$SLUICE" show "$work/other.dts")" != "$before" ]
}
check "shown-by-name" by_name

# A warning is printed when the machine starts, which is before it has a socket.
{ sed 's/memory@40000000/memory@50000000/' "$work/good.dts"; echo '/ { aliases { net0 = "/net0"; }; };'; } >"$work/warned.dts"
run warned
until_socket 60 warned
check "warning-is-printed-at-the-start" grep "^sluice: warning: $work/warned.dts: /memory@50000000: reg: begins with 0x40000000" "$work/warned.err"
# What its guest's tree lacks is known when that is made.
check "alias-that-is-lost" until_line 60 "^sluice: warning: $work/warned.dts: /aliases: net0: the guest gets no such alias: there is no /net0 in its tree" "$work/warned.err"
qmp warned '{"execute":"quit"}' >"$work/verdict"
check "the-warned-ends" ended warned 60 0

# The socket. Last, since another machine has one now.
run good --name taken
check "the-first-boots" booted good
second() {
	local rc=0
	timeout 60 "$SLUICE" run "${tree:-$work/good.dts}" "$@" </dev/null >"$work/out" 2>"$work/err" || rc=$?
	[ $rc -eq 1 ] && [ ! -s "$work/out" ] && one_line && says "$text" || { echo "$rc"; cat "$work/out" "$work/err"; return 1; }
}
text='/run/sluice/taken.sock: a running machine has this control socket: the same one, started a second time, or another of this name. Give this one a name of its own with --name NAME*'
check "socket-in-use" second --name taken
cp "$work/good.dts" "$work/taken.dts"
tree=$work/taken.dts check "name-of-the-file-in-use" second
check "socket-in-use-by-path" second --control "$(socket taken)"
text="$work/list.txt: is there already and is no socket; *"
check "no-socket-there" second --control "$work/list.txt"
check "file-untouched" grep -x 'a shopping list' "$work/list.txt"
check "the-first-answers" eval "qmp taken '{\"execute\":\"query-status\"}' | jq -e .return.running"
qmp taken '{"execute":"quit"}' >"$work/verdict"
check "the-first-ends" ended good 60 0
check "no-socket-left" eval "! ls /run/sluice | grep ."
done_testing
