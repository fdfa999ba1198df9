/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on hosts that this one is not: each is a survey and a folder of the kernel's files. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/cli/commandline.h"
#include "board/cli/doctor.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define LANDLOCK_CREATE_RULESET 444 /* on all of Linux's architectures */

static char root[] = "/tmp/test-doctor-XXXXXX", *report;
static struct survey survey;
static unsigned problems;

static void file(const char *path, const void *content, size_t len)
{
	char whole[512];
	FILE *out;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(whole, 0700);
	}
	out = fopen(whole, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(content, 1, len, out), len);
	fclose(out);
}

static void line(const char *path, const char *content)
{
	file(path, content, strlen(content));
}

static bool says(const char *text)
{
	size_t len;
	FILE *out;

	free(report);
	out = open_memstream(&report, &len);
	assert_non_null(out);
	problems = doctor_report(&survey, out, false);
	fclose(out);
	return strstr(report, text) != NULL;
}

static int usual_host(void **state)
{
	survey = (struct survey){
		.root = root,
		.limits = { .memslots = 32767, .vcpus = 512, .ipa_bits = 44 },
		.gics = { .v3 = true },
		.name = { .machine = "aarch64", .release = "6.12.1-arm64" },
		.pointer_bytes = 8,
		.page_bytes = 4096,
		.landlock = 6,
	};
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_host(void **state)
{
	free(report);
	report = NULL;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A Raspberry Pi 5's interrupt controller, as Debian's tree of the board has it, but for GICV. */
static void pi5(const char *gicv)
{
	static const char one[4] = { 0, 0, 0, 1 };
	char reg[] = "\x7f\xff\x90\0\0\0\x10\0\x7f\xff\xa0\0\0\0\x20\0\x7f\xff\xc0\0\0\0\x20\0"
		     "\x7f\xff\xe0\0\0\0\x20\0";

	memcpy(reg + 24, gicv, 8);
	survey.gics.v3 = false;
	survey.gics.v2 = true;
	file("/proc/device-tree/soc@1/#address-cells", one, 4);
	file("/proc/device-tree/soc@1/#size-cells", one, 4);
	file("/proc/device-tree/soc@1/interrupt-controller@2/compatible", "arm,gic-400", 12);
	file("/proc/device-tree/soc@1/interrupt-controller@2/reg", reg, 32);
}

static void kinds_of_cpus(void **state)
{
	/* Cortex-A53 r0p4, and the same with another revision; Cortex-A72. */
	static const char *const midrs[] = { "0x00000000410fd034\n", "0x00000000411fd031\n",
		"0x00000000410fd082\n" };

	for (unsigned cpu = 0; cpu < 3; cpu++) {
		char path[80];

		assert_false(says("several kinds"));
		snprintf(path, sizeof(path),
			"/sys/devices/system/cpu/cpu%u/regs/identification/midr_el1", cpu);
		file(path, midrs[cpu], strlen(midrs[cpu]));
	}
	assert_true(says("note     CPUs of several kinds: 2 differ from CPU 0"));
	file("/sys/devices/system/cpu/cpu4/regs/identification/midr_el1", midrs[2],
		strlen(midrs[2])); /* the third is off line */
	assert_true(says("CPUs of several kinds: 2 4 differ from CPU 0"));
	assert_true(says("sluice,host-cpus of one kind, such as <2 4>"));
}

static void gicv(void **state)
{
	static const char traps[] = "note     a guest's every interrupt traps";

	assert_false(says(traps));
	pi5("\x7f\xff\xe0\0\0\0\x20\0");
	assert_false(says(traps));
	survey.page_bytes = 16384;
	assert_true(says(traps));
	assert_true(says("not aligned to 16 KiB pages"));
	assert_true(says("kernel=kernel8.img"));
	survey.gics.v3 = true; /* then it is of no use to anyone */
	assert_false(says(traps));
	pi5("\x7f\xff\xc0\0\0\0\x20\0"); /* aligned, and too short */
	assert_true(says(traps));
	pi5("\x7f\xff\xe0\0\0\0\x40\0"); /* long enough, and not aligned */
	assert_true(says(traps));
	pi5("\x7f\xff\xc0\0\0\0\x40\0");
	assert_false(says(traps));
}

static void a_host_without_an_id(void **state)
{
	static const char note[] = "note     this host has no machine-id";

	assert_true(says(note));
	assert_true(says("systemd-machine-id-setup"));
	file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 33);
	assert_false(says(note));
	assert_false(says("machine-id"));
}

static void gicv_in_odd_trees(void **state)
{
	pi5("\x7f\xff\xe0\0\0\0\x20\0");
	survey.page_bytes = 16384;
	file("/proc/device-tree/soc@1/interrupt-controller@2/reg", "short", 5);
	assert_false(says("traps"));
	file("/proc/device-tree/soc@1/#address-cells", "\xff\xff\xff\xff", 4);
	assert_false(says("traps"));
}

static void guest_addresses(void **state)
{
	assert_true(says("ok       44 bits"));
	survey.limits.ipa_bits = 36;
	assert_true(says(
		"note     36 bits of guest-physical address: a window from 4 GiB up to 60 GiB"));
}

static void cpu_features(void **state)
{
	assert_true(says("have no extras (and no PMU, SVE, pointer authentication, stolen time)"));
	survey.limits.cpu_features = 1u << CPU_PMU | 1u << CPU_STOLEN_TIME;
	assert_true(says("have PMU, stolen time (and no SVE, pointer authentication)"));
	survey.limits.cpu_features |= 1u << CPU_SVE | 1u << CPU_POINTER_AUTH;
	assert_true(says("have PMU, SVE, pointer authentication, stolen time\n"));
}

static void nested(void **state)
{
	assert_true(says("it takes Linux 6.16 or newer, kvm-arm.mode=nested on"));
	strcpy(survey.name.release, "6.16.0");
	assert_true(says("it takes kvm-arm.mode=nested on"));
	line("/proc/cmdline", "quiet kvm-arm.mode=nested\n");
	assert_true(says("this one seems to have none"));
	survey.limits.cpu_features = 1u << CPU_NESTED;
	assert_true(says("ok       with nested virtualization"));
}

static void memory_cgroup(void **state)
{
	line("/proc/self/cgroup", "0::/user\n");
	assert_true(says("it takes cgroup2 at /sys/fs/cgroup"));
	line("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
	assert_true(says("CONFIG_MEMCG"));
	line("/proc/cmdline", "cgroup_disable=memory quiet\n");
	assert_true(says("take cgroup_disable=memory from"));
	file("/proc/device-tree/model", "Raspberry Pi 5 Model B", 23);
	assert_true(says("cgroup_enable=memory to the line in /boot/firmware/cmdline.txt"));
	line("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
	line("/sys/fs/cgroup/user/memory.max", "max\n");
	assert_true(says("ok       memory cgroup, no limit"));
	line("/sys/fs/cgroup/user/memory.max", "1073741824\n");
	assert_true(says("note     memory cgroup, with a limit of 1 GiB"));
	/* The least on the way up counts, and what is left below it. */
	line("/proc/self/cgroup", "0::/user/session/one\n");
	line("/sys/fs/cgroup/user/memory.current", "1000000000\n");
	line("/sys/fs/cgroup/user/session/one/memory.max", "max\n");
	line("/sys/fs/cgroup/user/session/one/memory.current", "4096\n");
	line("/proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n");
	assert_true(says("note     memory cgroup, with a limit of 1 GiB"));
	assert_true(
		says("note     about 70 MiB of memory are free below the memory cgroup's limit"));
	line("/sys/fs/cgroup/user/session/memory.max", "4096\n");
	assert_true(says("with a limit of 4 KiB"));
}

static void vhost(void **state)
{
	assert_true(says("note     no /dev/vhost-net or /dev/vhost-vsock that opens"));
	line("/dev/vhost-vsock", "");
	assert_true(says("ok       vhost-vsock; machines with one of them have 64 memory slots"));
	line("/dev/vhost-net", "");
	line("/sys/module/vhost/parameters/max_mem_regions", "509\n");
	assert_true(says("ok       vhost-net, vhost-vsock; machines with one of them have 509 "
			 "memory slots"));
}

static void io_uring(void **state)
{
	assert_true(says("ok       io_uring, for disks"));
	survey.uring = -ENOSYS;
	assert_true(says("note     no io_uring: disks are served by threads"));
	assert_true(says("CONFIG_IO_URING"));
	survey.uring = -EPERM;
	assert_true(says("(seccomp) forbids it"));
	line("/proc/sys/kernel/io_uring_disabled", "1\n");
	assert_true(
		says("kernel.io_uring_disabled=1 forbids it; 0 allows it, or being in the group"));
	line("/proc/sys/kernel/io_uring_disabled", "2\n");
	assert_true(says("kernel.io_uring_disabled=2 forbids it; 0 allows it"));
	assert_int_equal(problems, 0);
}

static int landlock_errno; /* what the kernel that is asked refuses Landlock with */

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	assert_int_equal(number, LANDLOCK_CREATE_RULESET);
	errno = landlock_errno;
	return -1;
}

/* The command asks this host's kernel: what it prints has the line. */
static bool command_says(const char *text)
{
	char name[] = "doctor", *arguments[] = { name, NULL }, printed[8192] = "";
	FILE *file = tmpfile();
	int out = dup(STDOUT_FILENO);

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	doctor_command(1, arguments);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	rewind(file);
	assert_int_not_equal(fread(printed, 1, sizeof(printed) - 1, file), 0);
	fclose(file);
	return strstr(printed, text) != NULL;
}

static void why_there_is_no_landlock(void **state)
{
	landlock_errno = EOPNOTSUPP;
	assert_true(command_says("name landlock in lsm="));
	landlock_errno = ENOSYS;
	assert_true(command_says("CONFIG_SECURITY_LANDLOCK"));
}

static void landlock(void **state)
{
	assert_true(says("ok       Landlock, version 6"));
	survey.landlock = -ENOSYS;
	assert_true(says("CONFIG_SECURITY_LANDLOCK"));
	survey.landlock = -EOPNOTSUPP;
	assert_true(says("name landlock in lsm="));
}

static void systems_of_32_bits(void **state)
{
	assert_true(says("\nGuests can run here."));
	assert_int_equal(problems, 0);
	survey.pointer_bytes = 4;
	assert_true(says("problem  32-bit programs on a 64-bit kernel"));
	assert_int_equal(problems, 1);
	strcpy(survey.name.machine, "armv7l");
	survey.kvm = -ENOENT;
	assert_true(says("problem  32-bit kernel"));
	assert_true(says("of Raspberry Pi OS, the 64-bit image"));
	assert_int_equal(problems, 2);
}

/* Each limit at its edge: what is enough, and one less. */
static void edges(void **state)
{
	survey.limits.memslots = 511;
	assert_true(says("ok       511 memory slots and 512 vCPUs for a machine"));
	survey.limits.memslots = 510;
	assert_true(
		says("note     510 memory slots for a machine\n           -> windows get fewer"));
	survey.limits.ipa_bits = 40;
	assert_true(says(
		"ok       40 bits of guest-physical address: a window from 4 GiB up to 1020 GiB"));
	survey.limits.ipa_bits = 39;
	assert_true(says(
		"note     39 bits of guest-physical address: a window from 4 GiB up to 508 GiB"));
	survey.limits.ipa_bits = 0;
	assert_false(says("bits of guest-physical address"));
	line("/proc/sys/vm/max_map_count", "65530\n");
	assert_true(says("ok       65530 mappings for a process"));
	line("/proc/sys/vm/max_map_count", "65529\n");
	assert_true(says("note     65529 mappings for a process"));
	assert_true(says("vm.max_map_count=65530"));
	line("/proc/meminfo", "MemTotal: 1 kB\nMemAvailable:     262144 kB\n");
	assert_true(says("ok       about 256 MiB of memory are free"));
	line("/proc/meminfo", "MemAvailable:     262143 kB\n");
	assert_true(says("note     about 255 MiB of memory are free"));
	line("/proc/meminfo", "MemAvailable:     1048575 kB\n");
	assert_true(says("ok       about 1023 MiB of memory are free"));
	line("/proc/meminfo", "MemAvailable:     1310719 kB\n");
	assert_true(says("ok       about 1 GiB of memory are free"));
	assert_int_equal(problems, 0);
}

static void huge_pages(void **state)
{
	static const char enabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";

	assert_true(says("note     4 KiB pages, no transparent huge pages"));
	assert_true(says("CONFIG_TRANSPARENT_HUGEPAGE"));
	line(enabled, "always madvise [never]\n");
	assert_true(says("note     4 KiB pages, no transparent huge pages"));
	assert_true(says("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"));
	line(enabled, "always [madvise] never\n");
	survey.page_bytes = 65536;
	assert_true(says("ok       64 KiB pages, transparent huge pages"));
}

static void overcommit(void **state)
{
	line("/proc/sys/vm/overcommit_memory", "1\n");
	assert_true(says("ok       memory may be overcommitted (vm.overcommit_memory=1)"));
	line("/proc/sys/vm/overcommit_memory", "2\n");
	line("/proc/meminfo", "CommitLimit: 3072 kB\nCommitted_AS: 1025 kB\n");
	assert_true(
		says("note     strict commit limit (vm.overcommit_memory=2), 1 MiB of it free"));
	line("/proc/meminfo", "CommitLimit: 1024 kB\nCommitted_AS: 2048 kB\n");
	assert_true(says("vm.overcommit_memory=2), 0 of it free"));
}

static void interrupt_controllers(void **state)
{
	assert_true(says("ok       GICv3\n"));
	survey.gics.v3 = false;
	assert_true(says("problem  neither GICv3 nor GICv2 for guests"));
	assert_int_equal(problems, 1);
	assert_true(says("\nGuests cannot run here: 1 problem.\n"));
	survey.gics.v2 = true;
	assert_true(says("ok       GICv2: at most 8 vCPUs for a machine"));
	assert_int_equal(problems, 0);
}

static void without_kvm(void **state)
{
	survey.kvm = -ENOTSUP;
	assert_true(says("problem  /dev/kvm has another API than version 12"));
	assert_int_equal(problems, 1);
	assert_false(says("memory slots for a machine"));
	assert_false(says("bits of guest-physical"));
	assert_false(says("GICv3"));
	assert_false(says("stray accesses"));
	assert_false(says("guests' CPUs have"));
	assert_false(says("suspend of the system"));
	assert_false(says("nested virtualization"));
	survey.kvm = -EACCES;
	assert_true(says("problem  no permission on /dev/kvm"));
	survey.kvm = -ENOENT;
	assert_true(says("problem  /dev/kvm: No such file or directory"));
	strcpy(survey.name.machine, "x86_64");
	assert_true(says("problem  x86_64: guests run on 64-bit Arm only"));
	assert_true(says("\nGuests cannot run here: 2 problems.\n"));
}

static void stray_accesses(void **state)
{
	assert_true(says("note     some stray accesses of a guest cannot be told from faults"));
	survey.limits.nisv = true;
	assert_true(says("ok       stray accesses of every kind have exact addresses"));
	assert_true(says("ok       without suspend of the system"));
	survey.limits.system_suspend = true;
	assert_true(says("ok       with suspend of the system"));
}

/* Nested virtualization is Linux 6.16's. */
static void nested_kernels(void **state)
{
	static const struct {
		const char *release;
		bool old;
	} kernels[] = { { "5.20.0", true }, { "6.15.9", true }, { "6.16.0", false },
		{ "7.0.0", false } };

	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
		strcpy(survey.name.release, kernels[i].release);
		assert_int_equal(says("it takes Linux 6.16 or newer"), kernels[i].old);
	}
}

/* The memory controller's limits, and a cgroup that is not version 2's. */
static void cgroup_versions(void **state)
{
	line("/sys/fs/cgroup/cgroup.controllers", "memory\n");
	line("/proc/self/cgroup", "12:memory:/user\n");
	assert_true(says("note     no memory cgroup"));
	line("/proc/self/cgroup", "0::/user\n");
	assert_true(says("ok       memory cgroup, no limit on this one"));
}

/* Colours are around the marks alone. */
static void colours(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	survey.gics.v3 = false;
	assert_int_equal(doctor_report(&survey, out, true), 1);
	fclose(out);
	assert_non_null(strstr(text, "\033[32mok\033[m       aarch64, Linux 6.12.1-arm64\n"));
	assert_non_null(strstr(text, "\033[31mproblem\033[m  neither GICv3"));
	assert_non_null(strstr(text, "\033[33mnote\033[m     without nested"));
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, usual_host, remove_host)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(kinds_of_cpus),
		TEST(gicv),
		TEST(a_host_without_an_id), TEST(gicv_in_odd_trees),
		TEST(guest_addresses),
		TEST(cpu_features),
		TEST(nested),
		TEST(memory_cgroup),
		TEST(vhost),
		TEST(io_uring),
		TEST(landlock),
		TEST(why_there_is_no_landlock),
		TEST(systems_of_32_bits),
		TEST(edges),
		TEST(huge_pages),
		TEST(overcommit),
		TEST(interrupt_controllers),
		TEST(without_kvm),
		TEST(stray_accesses),
		TEST(nested_kernels),
		TEST(cgroup_versions),
		TEST(colours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
