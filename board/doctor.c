/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice doctor`: what this host can and cannot do for Sluice, a line for each check and what to
 * do about it. A check is a small function in the table at the end; it looks at what survey() found
 * or at a file of the kernel's, and reports OK, NOTE (works, with less) or PROBLEM (no guest runs).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "board/commandline.h"
#include "board/config.h"
#include "board/host.h"
#include "board/kvm-advice.h"
#include "board/size.h"
#include "hyp/kvm.h"
#include "hyp/util.h"

enum status { OK, NOTE, PROBLEM, SILENT };

/* What a check found: one line, and one of what to do. */
struct finding {
	char text[200];
	char advice[400];
};

struct survey {
	int kvm; /* 0, or the error of kvm_probe() */
	struct kvm_limits limits;
	struct utsname name;
};

static enum status found(struct finding *finding, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void advise(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum status found(struct finding *finding, enum status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	return status;
}

static void advise(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->advice, sizeof(finding->advice), format, args);
	va_end(args);
}

/* The first line of a file, "" where it cannot be read. */
static const char *first_line(const char *path, char *buf, size_t len)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(buf, (int)len, file))
		*buf = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (file)
		fclose(file);
	return buf;
}

/* The number after `key` in a file such as /proc/meminfo, in its own unit; 0 where there is none. */
static uint64_t number_after(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	uint64_t value = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key))) {
			value = strtoull(line + strlen(key), NULL, 10);
			break;
		}
	if (file)
		fclose(file);
	return value;
}

static bool is_arm64(const struct survey *survey)
{
	return !strcmp(survey->name.machine, "aarch64");
}

static enum status check_architecture(const struct survey *survey, struct finding *finding)
{
	if (!is_arm64(survey)) {
		advise(finding, "trees can be checked and shown here; to run them, take a 64-bit "
				"Arm machine, or toolchain/demo's emulated one");
		return found(finding, PROBLEM, "%s: guests run on 64-bit Arm only",
			survey->name.machine);
	}
	if (sizeof(void *) == 4) {
		advise(finding, "install a 64-bit system (of Raspberry Pi OS, the 64-bit image)");
		return found(finding, PROBLEM, "32-bit programs on a 64-bit kernel");
	}
	return found(finding, OK, "%s, Linux %s", survey->name.machine, survey->name.release);
}

static enum status check_kvm(const struct survey *survey, struct finding *finding)
{
	if (!survey->kvm)
		return found(finding, OK, "/dev/kvm opens, API version 12");
	kvm_advice(survey->kvm, finding->text, sizeof(finding->text), finding->advice,
		sizeof(finding->advice));
	return PROBLEM;
}

static enum status check_slots(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm)
		return SILENT;
	if (survey->limits.memslots < 512) {
		advise(finding, "windows get fewer and larger slots");
		return found(
			finding, NOTE, "%u memory slots for a machine", survey->limits.memslots);
	}
	return found(finding, OK, "%u memory slots and %u vCPUs for a machine",
		survey->limits.memslots, survey->limits.vcpus);
}

static enum status check_ipa(const struct survey *survey, struct finding *finding)
{
	char text[SIZE_TEXT];

	if (survey->kvm || !survey->limits.ipa_bits)
		return SILENT;
	return found(finding, OK, "%u bits of guest-physical address: a window from 4 GiB up to %s",
		survey->limits.ipa_bits,
		size_print(text, (UINT64_C(1) << survey->limits.ipa_bits) - 4 * GiB));
}

static enum status check_gic(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	if (survey->limits.gicv3)
		return found(finding, OK, "GICv3");
	if (survey->limits.gicv2)
		return found(finding, OK, "GICv2: at most 8 vCPUs for a machine");
	advise(finding, "KVM cannot offer its interrupt controller here: look into dmesg for vgic");
	return found(finding, PROBLEM, "neither GICv3 nor GICv2 for guests");
}

static enum status check_nisv(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	if (survey->limits.nisv)
		return found(finding, OK, "stray accesses of every kind have exact addresses");
	advise(finding, "Linux 5.5 or newer has KVM_CAP_ARM_NISV_TO_USER");
	return found(finding, NOTE, "some stray accesses of a guest cannot be told from faults");
}

static enum status check_pages(const struct survey *survey, struct finding *finding)
{
	static const char enabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char line[100], text[SIZE_TEXT];

	size_print(text, page);
	first_line(enabled, line, sizeof(line));
	if (!*line || strstr(line, "[never]")) {
		advise(finding,
			*line ? "guests run slower; echo madvise > %s, as root"
			      : "guests run slower; a kernel with CONFIG_TRANSPARENT_HUGEPAGE "
				"helps",
			enabled);
		return found(finding, NOTE, "%s pages, no transparent huge pages", text);
	}
	return found(finding, OK, "%s pages, transparent huge pages", text);
}

static enum status check_memory(const struct survey *survey, struct finding *finding)
{
	uint64_t available = number_after("/proc/meminfo", "MemAvailable:") * KiB;
	char text[SIZE_TEXT];

	size_print(text, align_down(available, available < GiB ? MiB : GiB / 4));
	if (available < 256 * MiB) {
		advise(finding, "close something, or give the guest less than its tree asks for");
		return found(finding, NOTE, "about %s of memory are free", text);
	}
	return found(finding, OK, "about %s of memory are free", text);
}

static enum status check_overcommit(const struct survey *survey, struct finding *finding)
{
	char line[40], text[SIZE_TEXT];
	uint64_t limit, used;

	first_line("/proc/sys/vm/overcommit_memory", line, sizeof(line));
	if (strcmp(line, "2"))
		return found(
			finding, OK, "memory may be overcommitted (vm.overcommit_memory=%s)", line);
	limit = number_after("/proc/meminfo", "CommitLimit:");
	used = number_after("/proc/meminfo", "Committed_AS:");
	advise(finding, "windows start all the same, only plugged blocks count; growth beyond that "
			"is BUSY");
	return found(finding, NOTE, "strict commit limit (vm.overcommit_memory=2), %s of it free",
		size_print(text, limit > used ? align_down((limit - used) * KiB, MiB) : 0));
}

static enum status check_mappings(const struct survey *survey, struct finding *finding)
{
	char line[40];
	unsigned long count = strtoul(
		first_line("/proc/sys/vm/max_map_count", line, sizeof(line)), NULL, 10);

	if (count >= 65530 || !count)
		return found(finding, OK, "%lu mappings for a process", count);
	advise(finding, "a guest that plugs scattered blocks meets BUSY earlier; sysctl "
			"vm.max_map_count=65530");
	return found(finding, NOTE, "%lu mappings for a process", count);
}

static enum status check_cgroup(const struct survey *survey, struct finding *finding)
{
	char line[1024], path[1100], limit[40], controllers[200], text[SIZE_TEXT];
	uint64_t bytes;

	first_line("/proc/self/cgroup", line, sizeof(line));
	first_line("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
	if (!strstr(controllers, "memory") || strncmp(line, "0::/", 4)) {
		advise(finding, "a machine's memory cannot be limited; on Raspberry Pi OS add "
				"cgroup_enable=memory to cmdline.txt");
		return found(finding, NOTE, "no memory cgroup");
	}
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
	first_line(path, limit, sizeof(limit));
	bytes = strtoull(limit, NULL, 10);
	if (!bytes)
		return found(finding, OK, "memory cgroup, no limit on this one");
	advise(finding,
		"a guest that outgrows it is stopped: raise MemoryMax of this session or unit");
	return found(finding, NOTE, "memory cgroup, with a limit of %s", size_print(text, bytes));
}

static enum status check_address_space(const struct survey *survey, struct finding *finding)
{
	struct host_limits host;
	struct rlimit limit;
	char text[SIZE_TEXT];

	host_probe(&host);
	size_print(text, align_down(host.address_run, GiB));
	if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY) {
		advise(finding, "the address space is limited: ulimit -v unlimited");
		return found(finding, NOTE, "windows of up to %s (RLIMIT_AS)", text);
	}
	if (host.address_run < UINT64_C(1) << 39) {
		advise(finding, "a kernel with CONFIG_ARM64_VA_BITS=48 holds larger ones");
		return found(finding, NOTE, "windows of up to %s (a 39-bit address space)", text);
	}
	return found(finding, OK, "address space for windows of %s", text);
}

static enum status check_dtc(const struct survey *survey, struct finding *finding)
{
	const char *path = getenv("PATH");
	char *folders = strdup(path ? path : "/usr/bin:/bin"), *rest = folders, *folder;
	char program[4096];
	bool there = false;

	while (!there && (folder = strsep(&rest, ":"))) {
		snprintf(program, sizeof(program), "%s/dtc", folder);
		there = !access(program, X_OK);
	}
	free(folders);
	if (there)
		return found(finding, OK, "dtc for .dts files: %s", program);
	advise(finding, "only .dtb files can be read; apt install device-tree-compiler");
	return found(finding, NOTE, "no dtc");
}

static enum status check_suspend(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	return found(finding, OK, "%s suspend of the system, %s nested virtualization",
		survey->limits.system_suspend ? "with" : "without",
		survey->limits.cpu_features & 1u << CPU_NESTED ? "with" : "without");
}

static enum status (*const checks[])(const struct survey *survey, struct finding *finding) = {
	check_architecture,
	check_kvm,
	check_slots,
	check_ipa,
	check_gic,
	check_nisv,
	check_suspend,
	check_pages,
	check_address_space,
	check_mappings,
	check_overcommit,
	check_cgroup,
	check_memory,
	check_dtc,
};

int doctor_command(int argc, char **argv)
{
	static const char *const marks[2][3] = {
		{ "ok     ", "note   ", "problem" },
		{ "\033[32mok\033[m     ", "\033[33mnote\033[m   ", "\033[31mproblem\033[m" },
	};
	bool color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	struct survey survey = { 0 };
	unsigned problems = 0;

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");

		fputs("Usage: sluice doctor\n\nShows what this host can and cannot do for Sluice, "
		      "and what to do about it.\n"
		      "Ends with 0 when guests can run here, else with 1.\n",
			help ? stdout : stderr);
		return help ? 0 : 2;
	}
	uname(&survey.name);
	survey.kvm = kvm_probe(&survey.limits);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct finding finding = { 0 };
		enum status status = checks[i](&survey, &finding);

		if (status == SILENT)
			continue;
		problems += status == PROBLEM;
		printf("%s  %s\n", marks[color][status], finding.text);
		if (*finding.advice)
			printf("           -> %s\n", finding.advice);
	}
	if (problems)
		printf("\nGuests cannot run here: %u problem%s.\n", problems,
			problems > 1 ? "s" : "");
	else
		printf("\nGuests can run here.\n");
	return problems ? 1 : 0;
}
