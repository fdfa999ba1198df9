/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor's checks of the kernel and the system: memory, limits, tools. See doctor.h. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "board/cli/doctor.h"
#include "board/config/config.h"
#include "board/host/host-memory.h"
#include "board/host/identity.h"
#include "board/host/limits.h"
#include "board/text/size.h"
#include "hyp/base/program.h"
#include "hyp/base/util.h"

/* The number after `key` in /proc/meminfo, in KiB; 0 if there is none. */
static uint64_t meminfo(const struct survey *survey, const char *key)
{
	char text[4096];
	const char *at;

	text[read_start(survey, "/proc/meminfo", text, sizeof(text) - 1)] = '\0';
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static enum status check_pages(const struct survey *survey, struct finding *finding)
{
	static const char enabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	const char *size = SIZE(survey->page_bytes);
	char line[100];

	first_line(survey, enabled, line, sizeof(line));
	if (!*line || strstr(line, "[never]")) {
		advise(finding,
			*line ? "guests run slower; echo madvise > %s, as root"
			      : "guests run slower; a kernel with CONFIG_TRANSPARENT_HUGEPAGE helps",
			enabled);
		return found(finding, NOTE, "%s pages, no transparent huge pages", size);
	}
	return found(finding, OK, "%s pages, transparent huge pages", size);
}

static enum status check_memory(const struct survey *survey, struct finding *finding)
{
	uint64_t available = meminfo(survey, "MemAvailable:") * KiB;
	const char *where = "", *size;
	struct host_memory host;

	host_memory(survey->root, &host);
	if (host.room < available) {
		available = host.room;
		where = " below the memory cgroup's limit";
	}
	size = SIZE(align_down(available, available < GiB ? MiB : GiB / 4));
	if (available < 256 * MiB) {
		advise(finding, "close something, give the guest less than its tree asks for%s",
			*where ? ", or raise MemoryMax of this session or unit" : "");
		return found(finding, NOTE, "about %s of memory are free%s", size, where);
	}
	return found(finding, OK, "about %s of memory are free%s", size, where);
}

static enum status check_overcommit(const struct survey *survey, struct finding *finding)
{
	char line[40];
	uint64_t limit, used;

	first_line(survey, "/proc/sys/vm/overcommit_memory", line, sizeof(line));
	if (strcmp(line, "2"))
		return found(
			finding, OK, "memory may be overcommitted (vm.overcommit_memory=%s)", line);
	limit = meminfo(survey, "CommitLimit:");
	used = meminfo(survey, "Committed_AS:");
	advise(finding,
		"windows start all the same, only plugged blocks count; growth beyond that is BUSY");
	return found(finding, NOTE, "strict commit limit (vm.overcommit_memory=2), %s of it free",
		SIZE(limit > used ? align_down((limit - used) * KiB, MiB) : 0));
}

static enum status check_mappings(const struct survey *survey, struct finding *finding)
{
	char line[40];
	unsigned long count = strtoul(
		first_line(survey, "/proc/sys/vm/max_map_count", line, sizeof(line)), NULL, 10);

	if (count >= 65530 || !count)
		return found(finding, OK, "%lu mappings for a process", count);
	advise(finding,
		"a guest that plugs scattered blocks meets BUSY earlier; sysctl vm.max_map_count=65530");
	return found(finding, NOTE, "%lu mappings for a process", count);
}

/* The advice for a missing memory controller, which Raspberry Pi's firmware disables. */
static const char *cgroup_cure(const struct survey *survey, bool mounted)
{
	char model[128], line[4096];

	if (!mounted)
		return "it takes cgroup2 at /sys/fs/cgroup";
	if (strstr(first_line(survey, "/proc/device-tree/model", model, sizeof(model)),
		    "Raspberry Pi"))
		return "add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt, and reboot";
	if (strstr(first_line(survey, "/proc/cmdline", line, sizeof(line)),
		    "cgroup_disable=memory"))
		return "take cgroup_disable=memory from the kernel's command line";
	return "it takes a kernel with CONFIG_MEMCG";
}

static enum status check_cgroup(const struct survey *survey, struct finding *finding)
{
	char line[1024], controllers[200];
	struct host_memory host;

	first_line(survey, "/proc/self/cgroup", line, sizeof(line));
	first_line(survey, "/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
	if (!strstr(controllers, "memory") || strncmp(line, "0::/", 4) != 0) {
		advise(finding, "a machine's memory cannot be limited; %s",
			cgroup_cure(survey, *controllers));
		return found(finding, NOTE, "no memory cgroup");
	}
	host_memory(survey->root, &host);
	if (host.limit == HOST_MEMORY_UNKNOWN)
		return found(finding, OK, "memory cgroup, no limit on this one");
	advise(finding,
		"the kernel ends a machine whose guest outgrows it: raise MemoryMax of this session or unit");
	return found(finding, NOTE, "memory cgroup, with a limit of %s", SIZE(host.limit));
}

static enum status check_landlock(const struct survey *survey, struct finding *finding)
{
	if (survey->landlock > 0)
		return found(finding, OK, "Landlock, version %d", survey->landlock);
	advise(finding, "Sluice works without; to have it, %s",
		survey->landlock == -EOPNOTSUPP
			? "name landlock in lsm= on the kernel's command line"
			: "take a kernel with CONFIG_SECURITY_LANDLOCK");
	return found(finding, NOTE, "no Landlock: a process cannot be confined to its files by it");
}

static enum status check_uring(const struct survey *survey, struct finding *finding)
{
	char line[40];

	first_line(survey, "/proc/sys/kernel/io_uring_disabled", line, sizeof(line));
	if (!survey->uring)
		return found(finding, OK, "io_uring, for disks");
	if (survey->uring == -ENOSYS)
		advise(finding, "a kernel with CONFIG_IO_URING does them faster");
	else if (survey->uring == -EPERM && (*line == '1' || *line == '2'))
		advise(finding, "kernel.io_uring_disabled=%s forbids it; 0 allows it%s", line,
			*line == '1' ? ", or being in the group kernel.io_uring_group" : "");
	else if (survey->uring == -EPERM)
		advise(finding,
			"a filter of system calls (seccomp) forbids it, as containers have: start Sluice outside, or allow io_uring_setup, _enter and _register");
	else
		advise(finding, "the kernel says: %s", strerror(-survey->uring));
	return found(finding, NOTE, "no io_uring: disks are served by threads, slower");
}

/* The files may exist before the modules are loaded: opening a file then loads its module. */
static enum status check_vhost(const struct survey *survey, struct finding *finding)
{
	static const char *const names[] = { "vhost-net", "vhost-vsock" };
	char path[256], line[40], list[40] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/dev/%s", survey->root, names[i]);
		if (!access(path, R_OK | W_OK))
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
				*list ? ", " : "", names[i]);
	}
	if (!*list) {
		advise(finding,
			"for network cards with vhost and for vsock: modprobe vhost_net vhost_vsock, and let this user into the group kvm");
		return found(finding, NOTE, "no /dev/vhost-net or /dev/vhost-vsock that opens");
	}
	first_line(survey, "/sys/module/vhost/parameters/max_mem_regions", line, sizeof(line));
	return found(finding, OK, "%s; machines with one of them have %s memory slots", list,
		*line ? line : "64");
}

static enum status check_address_space(const struct survey *survey, struct finding *finding)
{
	const struct host_limits unknown = { 0 };
	uint64_t all, run;
	struct rlimit limit;
	const char *size;

	host_address_space(&unknown, UINT64_MAX, &all, &run);
	size = SIZE(align_down(run, GiB));
	if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY) {
		advise(finding, "the address space is limited: ulimit -v unlimited");
		return found(finding, NOTE, "windows of up to %s (RLIMIT_AS)", size);
	}
	if (run < UINT64_C(1) << 39) {
		advise(finding, "a kernel with CONFIG_ARM64_VA_BITS=48 holds larger ones");
		return found(finding, NOTE, "windows of up to %s (a 39-bit address space)", size);
	}
	return found(finding, OK, "address space for windows of %s", size);
}

static enum status check_dtc(const struct survey *survey, struct finding *finding)
{
	char path[4096];

	if (program_find("dtc", path, sizeof(path)))
		return found(finding, OK, "dtc for .dts files: %s", path);
	advise(finding, "only .dtb files can be read; apt install device-tree-compiler");
	return found(finding, NOTE, "no dtc");
}

static enum status check_passt(const struct survey *survey, struct finding *finding)
{
	char path[4096];

	if (program_find("passt", path, sizeof(path)))
		return found(finding, OK, "passt for networks without privileges: %s", path);
	advise(finding,
		"a network card takes a tap interface, which root makes; apt install passt");
	return found(finding, NOTE, "no passt");
}

static enum status check_identity(const struct survey *survey, struct finding *finding)
{
	uint8_t id[HOST_ID_BYTES];

	if (!identity_read_host(survey->root, id))
		return SILENT;
	advise(finding,
		"machines of one name on two such hosts have the same MAC; systemd-machine-id-setup makes /etc/machine-id, or say local-mac-address");
	return found(finding, NOTE, "this host has no machine-id");
}

const doctor_check doctor_host_checks[] = {
	check_pages,
	check_address_space,
	check_mappings,
	check_overcommit,
	check_cgroup,
	check_landlock,
	check_uring,
	check_vhost,
	check_memory,
	check_dtc,
	check_passt,
	check_identity,
	NULL,
};
