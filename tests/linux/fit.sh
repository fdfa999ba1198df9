#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# cpus: 2
# seconds: 60
# with: fits
# Machines out of FIT images and a PE bundle: booted, reset, grown; signed and not; versions, of which none is older than before; a file that changes while the machine runs; Linux's own
# image.fit as a tree's kernel; the policy of the host.

. "$(dirname "$0")/lib.bash"

fits=/opt/fits
versions=/var/lib/sluice/versions
cp $fits/*.crt "$work/"
rm -rf "$versions"

# run_fit NAME WHAT [OPTION...]: as `run`, of the FIT $work/WHAT.
run_fit() {
	local name=$1 what=$2
	shift 2
	fresh "$name"
	"$SLUICE" run "$work/$what" --name "$name" "$@" <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
	pid[$name]=$!
	exec {fd}>"$work/$name.in"
	eval "input_$name=$fd"
}
# refused WORDS COMMAND...: it ends with status 1, and says that.
refused() {
	local words=$1 rc=0
	shift
	"$@" >"$work/out" 2>"$work/err" || rc=$?
	[ $rc -eq 1 ] && grep -F -e "$words" "$work/err" || { cat "$work/out" "$work/err"; return 1; }
}

cp $fits/signed.itb $fits/unsigned.itb $fits/other.itb "$work/"
check "is-checked" eval "$SLUICE check $work/signed.itb --key $work/dev.crt >$work/out && grep '^verified .*signed by dev (sha256,rsa2048), version 2 of gateway' $work/out && grep 'tree: sha256, kernel: sha256, initrd: sha256' $work/out || { cat $work/out; false; }"
check "check-keeps-no-version" test ! -e "$versions"
check "another-key" refused 'signature' "$SLUICE" check "$work/other.itb" --key "$work/dev.crt"
check "unsigned" refused 'signature' "$SLUICE" run "$work/unsigned.itb" --key "$work/dev.crt"

run_fit signed signed.itb --key "$work/dev.crt"
check "boots" booted signed
check "version-is-kept" eval "ls $versions/gateway | grep -x 2"
check "has-its-command-line" guest signed 60 'grep guest.plain /proc/cmdline'
check "grows" "$SLUICE" mem signed 256MiB
send signed 'reboot -f'
check "boots-again" booted signed 2
# The file becomes another signed one: the next life is that one's.
cat $fits/again.itb >"$work/signed.itb"
send signed 'reboot -f'
check "boots-another-one" booted signed 3
check "later-version-is-kept" eval "ls $versions/gateway | tr '\n' ' ' | grep -x '3 '"
# And one that somebody else has signed: there is no next life.
cat $fits/other.itb >"$work/signed.itb"
send signed 'reboot -f'
check "ends-at-the-reset" ended signed 60 1
check "says-why" grep 'the machine could not be built anew after a reset' "$work/signed.err"
cat $fits/signed.itb >"$work/signed.itb"
older='sluice,version: this is version 2, and version 3 was started here'
check "older-one-is-refused" refused "$older" "$SLUICE" run "$work/signed.itb" --key "$work/dev.crt"
check "older-one-is-refused-by-check" refused "$older" "$SLUICE" check "$work/signed.itb#less" --key "$work/dev.crt"
check "without-a-key-nobody-asks" "$SLUICE" check "$work/signed.itb"
rm "$versions/gateway/3"

# A bit of the initrd, while the machine runs.
cp $fits/unsigned.itb "$work/"
run_fit less 'unsigned.itb#less'
check "configuration-boots" booted less
check "has-less-memory" guest less 60 '[ $(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo) -lt 262144 ]'
printf '\377%.0s' {1..16} | dd of="$work/unsigned.itb" bs=1 seek=$(($(stat -c %s "$work/unsigned.itb") / 2)) conv=notrunc status=none
send less 'reboot -f'
check "damage-ends-it" ended less 60 1
check "says-what-is-damaged" grep 'has another sha256\|cannot be unpacked' "$work/less.err"

# A PE bundle, whose tree is in it.
cp $fits/machine.efi "$work/"
check "bundle-is-checked" eval "$SLUICE check $work/machine.efi >$work/out && grep 'machine.efi (PE bundle)' $work/out && grep '^initrd .*of the bundle' $work/out || { cat $work/out; false; }"
check "bundle-is-not-signed" refused 'is a PE bundle, whose signature for UEFI Sluice does not check' "$SLUICE" run "$work/machine.efi" --key "$work/dev.crt"
run_fit bundle machine.efi
check "bundle-boots" booted bundle
check "bundle-grows" "$SLUICE" mem bundle 256MiB
send bundle 'reboot -f'
check "bundle-boots-again" booted bundle 2
check "bundle-stops" "$SLUICE" stop bundle --timeout 100
check "bundle-ends" ended bundle 60 0

# Linux's image.fit, as a tree's kernel.
tree image 1 6.12
cp $fits/image.fit "$work/"
sed -i 's/vmlinuz-6.12/image.fit/' "$work/image.dts"
check "image-is-checked" eval "$SLUICE check $work/image.dts >$work/out && grep 'image.fit: /images/kernel (compressed arm64 Image)' $work/out || { cat $work/out; false; }"
run image
check "image-boots" booted image
send image 'poweroff -f'
check "image-powers-off" ended image 60 0
check "image-describes-no-machine" refused 'has no default configuration' "$SLUICE" run "$work/image.fit"

# The policy, in an /etc of its own, so that the host's stays as it is.
printf 'verify required\nversion required\nkey /etc/sluice/dev.crt\n' >"$work/policy"
cat >"$work/with-policy" <<-END
	#!/bin/bash
	if [ "\$1" != inside ]; then exec unshare -m "\$0" inside "\$@"; fi
	shift
	mount --make-rprivate / && mount -t tmpfs -o mode=755 etc /etc && mkdir /etc/sluice && cp $work/dev.crt /etc/sluice &&
		cp $work/policy /etc/sluice/policy || exit
	exec "\$@"
END
chmod +x "$work/with-policy"
cat $fits/signed.itb >"$work/signed.itb"
cp $fits/unsigned.itb "$work/"
check "policy-takes-what-is-signed" "$work/with-policy" "$SLUICE" check "$work/signed.itb"
check "policy-refuses-a-tree" refused '/etc/sluice/policy refuses it' "$work/with-policy" "$SLUICE" run "$work/image.dts"
check "policy-refuses-the-unsigned" refused 'unsigned.itb: /configurations/plain' "$work/with-policy" "$SLUICE" run "$work/unsigned.itb"
check "policy-refuses-no-verification" refused '--verify none: is refused by /etc/sluice/policy' "$work/with-policy" "$SLUICE" run "$work/signed.itb" --verify none
check "policy-refuses-another-key" refused '--key: is refused by /etc/sluice/policy' "$work/with-policy" "$SLUICE" run "$work/signed.itb" --key "$work/other.crt"
printf 'verify required\nversion required\nkey /etc/sluice/other.crt\n' >"$work/policy"
sed -i 's/dev.crt/other.crt/' "$work/with-policy"
cat $fits/other.itb >"$work/signed.itb"
check "policy-refuses-without-a-version" refused 'it has no version, which /etc/sluice/policy requires' "$work/with-policy" "$SLUICE" run "$work/signed.itb"
done_testing
