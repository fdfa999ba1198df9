#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 3072
# all
# timeout: 3600
# with: guest-io
# fio in a Linux guest writes blocks of random sizes, job after job, each of them into a MiB of its own; a job's end is
# reported once all of it is flushed. The process is killed at a random moment in the middle, and fio, on the host, finds
# every block of every job that was reported, by its checksum and the job's seed. $FIO_KILLS (52) kills in all: by
# io_uring and by threads, jobs that flush now and then and jobs of which each write is flushed.
#
# What a SIGKILL alone takes is the process's own memory: the host's page cache stays. So the disk is a loop device, whose
# cache is not its file's and is written back for a flush only, and what is verified is the file: what a host that lost its
# power would have. Seen are a flush that is answered before it is done or without being done, and writes that are lost
# or torn before it. A job that was not reported may be anything.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/blk.bash"
. "$(dirname "$0")/guest-io.bash"

ram='0x0 0x10000000'
jobs=64 # more than a guest comes to
truncate -s ${jobs}M "$work/disk.img"
loop=$(losetup -f)
losetup "$loop" "$work/disk.img"
exec {hold}<"$loop" # while it is open, nothing is written back because the process has ended
for limit in dirty_writeback_centisecs=1000000 dirty_expire_centisecs=1000000 dirty_bytes=$((1 << 30)) dirty_background_bytes=$((1 << 29)); do
	echo "${limit#*=}" >"/proc/sys/vm/${limit%=*}"
done

head -c 4096 /dev/urandom >"$work/block"
in_file() { cmp -s -n 4096 "$work/block" "$work/disk.img"; }
dd if="$work/block" of="$loop" bs=4k conv=notrunc,nocreat 2>"$work/dd"
check "what is only in the host's cache is not in the file" eval '! in_file'
sync "$loop"
check "what is flushed is" in_file

# jobs COUNT SEED: the first so many, as fio reads them.
jobs() {
	local n
	printf '%s\n' '[global]' thread rw=randwrite bsrange=512-64k bs_unaligned=0 blockalign=512 size=1m verify=crc32c verify_fatal=1
	for ((n = 1; n <= $1; n++)); do
		printf '%s\n' "[$n]" stonewall "offset=$((n - 1))m" "randseed=$(($2 + n))" "exec_postrun=(echo flushed $n >/dev/console)"
	done
}
# holds COUNT SEED: the file has all that these jobs wrote, and nothing was left out.
holds() {
	jobs "$1" "$2" | grep -v exec_postrun >"$work/verify.fio"
	(cd "$work" && "$io/fio" --minimal --ioengine=psync --filename=disk.img --verify_only verify.fio) >"$work/verified" 2>&1 &&
		[ "$(cut -d ';' -f 6 "$work/verified" | paste -sd +)" = "$(yes 1024 | head -n "$1" | paste -sd +)" ]
}

reported() { tr -d '\r' <"$work/$machine.out" | sed -n 's/^flushed \([0-9]*\)$/\1/p' | tail -n 1; }
enough() { [ "$(reported)" -ge "$wanted" ]; }

# kills NAME COUNT OPTION...: of machines where fio runs with these.
kills() {
	local count=$2 options=${*:3} i seed said good=0
	machine=$1
	for ((i = 1; i <= count; i++)); do
		seed=$((++life * 1000)) wanted=$((RANDOM % 12 + 2))
		tree "$machine" 2 6.12 "aliases { virtio0 = \"/disk0\"; virtio1 = \"/io\"; }; $(disk disk0 "$loop") $(disk io "$io_disk" 'read-only;')"
		rm -rf "$work/root" && mkdir "$work/root" && jobs $jobs $seed >"$work/root/jobs.fio"
		with_files "$machine" 6.12 "$work/root"
		run "$machine"
		booted "$machine" && mounts_io "$machine" vdb || break
		send "$machine" "cd /tmp && $io/fio --direct=1 --ioengine=libaio --iodepth=16 --do_verify=0 --filename=/dev/vda $options /jobs.fio >/tmp/log 2>&1; cat /tmp/log; echo fio has ended"
		until_true 120 enough || break
		sleep "0.$((RANDOM % 90 + 10))"
		kill -9 "${pid[$machine]}"
		wait "${pid[$machine]}" 2>/dev/null
		unset "pid[$machine]"
		until_true 60 unlocked "$loop"
		said=$(reported)
		! grep 'fio has ended' "$work/$machine.out" || break
		holds "$said" $seed || { grep -v '^3;' "$work/verified" | tail -n 3 | sed 's/^/# /'; break; }
		echo "# $machine: killed after job $said, of which all is there: $(awk -F ';' '{ s += $6 } END { print s }' "$work/verified") KiB"
		good=$((good + 1))
	done >&3
	[ "$good" -eq "$count" ] || { echo "life $i of $count"; tail -n 5 "$work/$machine.out" "$work/$machine.err"; return 1; }
}
exec 3>&1
life=0
each=$(((${FIO_KILLS:-52} + 3) / 4))

both() {
	check "$1: killed $each times, nothing that was flushed is lost" kills "$1_flushes" $each --fsync=8 --end_fsync=1
	check "$1: nor of writes that are flushed each" kills "$1_synced" $each --sync=dsync
}
both uring
if [ -e /proc/sys/kernel/io_uring_disabled ]; then # since 6.6
	echo 2 >/proc/sys/kernel/io_uring_disabled
	both threads
fi
exec {hold}<&-
losetup -d "$loop"
done_testing
