# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A new user's arm64 machine: a minimal Debian 13, as toolchain/inputs/fresh has it unpacked, configured on the host's own disk and
# entered by chroot, with the host's /dev/kvm, this checkout in /home/user/sluice, and apt's packages from the host's
# network.

fresh=$work/fresh

# fresh_debian: makes it; user may use sudo, as on the images that boards start from.
fresh_debian() {
	local d
	mkdir "$fresh"
	busybox mke2fs /dev/disk/own >/dev/null && mount -t ext4 /dev/disk/own "$fresh" && cp -a /opt/fresh/. "$fresh/" || return
	for d in proc sys dev; do mkdir -p "$fresh/$d"; mount --rbind "/$d" "$fresh/$d"; done
	mount -t tmpfs tmpfs "$fresh/run"
	mount -t tmpfs -o mode=1777 tmpfs "$fresh/tmp"
	cp /etc/hosts "$fresh/etc/"
	echo 'APT::Get::Assume-Yes "true";' >"$fresh/etc/apt/apt.conf.d/50yes"
	# shellcheck disable=SC2016
	in_fresh 'export DEBIAN_FRONTEND=noninteractive
		dpkg --install --force-depends /var/cache/apt/archives/*.deb
		rm /var/cache/apt/archives/*.deb
		[ -z "$(dpkg --audit)" ]
		apt-get -q update
		apt-get -q install --no-install-recommends passwd sudo
		groupadd -r kvm
		chgrp kvm /dev/kvm
		chmod 660 /dev/kvm
		useradd -m -s /bin/bash user
		echo "user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/user
		mkdir -p /run/user/1000
		chown user: /run/user/1000
		echo "export XDG_RUNTIME_DIR=/run/user/1000" >/home/user/.bash_profile' || return
	mkdir "$fresh/home/user/sluice"
	tar -C "$TOP" -c --exclude=./.cache --exclude=./.git --exclude='./build*' . | tar -C "$fresh/home/user/sluice" -x
	in_fresh 'chown -R user: /home/user'
}
unmake_fresh() { umount -l "$fresh"/{proc,sys,dev,run,tmp} "$fresh"; }
trap 'unmake_fresh 2>/dev/null; cleanup' EXIT

# in_fresh COMMAND: as root. as_user COMMAND: as a user who has just logged in, in the checkout.
in_fresh() { env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$fresh" bash -ec "cd; $1" </dev/null; }
as_user() { in_fresh "su - user -c $(printf %q "set -e; cd sluice; $1")"; }
