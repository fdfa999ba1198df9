/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a guest may grow: what boot memory carries by the reckoning, what the guest's own figures change, what the
 * host has, and that every machine of ours can fill its windows.
 */
#include "tests/unit/helpers/unit.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/growth.h"
#include "board/config/tree-file.h"
#include "board/host/host-memory.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

static const struct host_memory rich = { 1 * TiB, HOST_MEMORY_UNKNOWN, HOST_MEMORY_UNKNOWN, 0 };

static uint64_t carried(uint64_t boot, uint64_t page_bytes, const char *bootargs)
{
	static struct machine_config config;

	config.memory[0].size = boot;
	config.memory_count = 1;
	growth_read_bootargs(bootargs, &config.growth);
	return growth_carried(&config, &config.growth, page_bytes);
}

/* Each beside where Debian's 6.12 was seen to end (tests/bench/RESULTS.md), with all of it in the movable zone. */
static void stays_below_what_was_seen(void **state)
{
	static const struct {
		uint64_t boot;
		const char *bootargs;
		uint64_t seen;
	} rows[] = {
		{ 256 * MiB, "memhp_default_state=online_movable", 7424 * MiB },
		{ 256 * MiB, "memhp_default_state=online_movable cma=0", 11136 * MiB },
		{ 512 * MiB, "memhp_default_state=online_movable", 21632 * MiB },
		{ 1 * GiB, "memhp_default_state=online_movable", 48000 * MiB },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = carried(rows[i].boot, 4 * KiB, rows[i].bootargs);

		assert_true(bytes <= rows[i].seen * 9 / 10);
		assert_true(bytes >= rows[i].seen * 3 / 4);
	}
	assert_int_equal(carried(128 * MiB, 4 * KiB, "quiet"), 0);
}

static void larger_pages_carry_more(void **state)
{
	uint64_t small = carried(1 * GiB, 4 * KiB, ""), large = carried(1 * GiB, 64 * KiB, "");

	assert_in_range(large / small, 15, 17);
	assert_int_equal(carried(1 * GiB, 0, ""), GROWTH_UNBOUND); /* no Linux */
}

static void command_lines(void **state)
{
	static const struct {
		const char *bootargs;
		bool self_carried;
		uint64_t cma;
	} rows[] = {
		{ "", false, 64 * MiB },
		{ "memhp_default_state=online_movable", false, 64 * MiB },
		{ "memhp_default_state=online", true, 64 * MiB },
		{ "memhp_default_state=online_kernel cma=16M", true, 16 * MiB },
		{ "memhp_default_state=offline memory_hotplug.online_policy=auto-movable", false,
			64 * MiB },
		{ "memory_hotplug.online_policy=auto-movable", true, 64 * MiB },
		{ "memory_hotplug.online_policy=contig-zones", false, 64 * MiB },
		{ "memory_hotplug.online_policy=auto-movable memhp_default_state=online_movable",
			false, 64 * MiB },
		/* The last one counts; a part of another word does not. */
		{ "memhp_default_state=online_movable memhp_default_state=online", true, 64 * MiB },
		{ "xmemhp_default_state=online my.cma=1G  cma=0", false, 0 },
		{ "cma=64M@0-4G", false, 64 * MiB },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct growth_policy policy;

		growth_read_bootargs(rows[i].bootargs, &policy);
		if (policy.self_carried != rows[i].self_carried || policy.cma_bytes != rows[i].cma)
			fail_msg("'%s': %d, %llu", rows[i].bootargs, policy.self_carried,
				(unsigned long long)policy.cma_bytes);
	}
}

static void the_guest_s_own_figures(void **state)
{
	const struct growth_policy policy = { .cma_bytes = 0 };
	const uint64_t page = 4 * KiB;

	/* Between the two nothing is certain. */
	assert_int_equal(
		growth_by_guest(6 * GiB, &policy, page, 0, 200 * MiB), 8 * GiB + 384 * MiB);
	assert_int_equal(growth_by_guest(9 * GiB, &policy, page, 0, 200 * MiB), 9 * GiB);
	/* Its programs fill boot memory. */
	assert_int_equal(growth_by_guest(6 * GiB, &policy, page, 0, 20 * MiB), 1 * GiB);
	/* What is free may all be what was plugged. */
	assert_int_equal(growth_by_guest(6 * GiB, &policy, page, 2 * GiB, 2 * GiB), 6 * GiB);
	assert_int_equal(
		growth_by_guest(6 * GiB, &policy, page, 5 * GiB, 10 * MiB), 5 * GiB + 512 * MiB);
	assert_int_equal(growth_by_guest(GROWTH_UNBOUND, &policy, page, 0, 0), GROWTH_UNBOUND);
	/* A guest may say what it likes. */
	assert_true(growth_by_guest(6 * GiB, &policy, page, 0, UINT64_MAX) >= 6 * GiB);
}

/* What `check` says of the good machine with a change, 512 MiB and a window of 4 GiB. */
static void assert_warns(const char *change, const struct host_memory *host, const char *said)
{
	struct machine_config *config = tree_source_good(change, &big_host);
	struct errors errors = { 0 };

	growth_check(config, &config->growth, 4 * KiB, host, &errors);
	assert_false(errors_any(&errors));
	if (!said ? errors.count != 0 : !errors_say(&errors, said)) {
		errors_show(&errors);
		fail_msg("not said: %s", said ? said : "nothing");
	}
	errors_finish(&errors);
	config_destroy(config);
}

static void warnings(void **state)
{
	static const char large[] = "&growth { reg = <0x1 0x0 0x10 0x0>; };";
	struct host_memory host = rich;

	assert_warns("", &rich, NULL);
	assert_warns(large, &rich, "/vmem0: memory-region: 64 GiB of window cannot be filled");
	assert_warns(large, &rich, "Give /memory 1.5 GiB,");
	assert_warns("&growth { reg = <0x1 0x0 0x10 0x0>; }; &memory { reg = <0x0 0x40000000 0x0 "
		     "0x60000000>; };",
		&rich, NULL);
	assert_warns("&growth { reg = <0x1 0x0 0x10 0x0>; }; &chosen { bootargs = "
		     "\"memhp_default_state=online "
		     "memory_hotplug.online_policy=auto-movable\"; };",
		&rich, NULL);
	assert_warns("&growth { reg = <0x1 0x0 0x10 0x0>; }; &vmem0 { requested-size = /bits/ 64 "
		     "<0x800000000>; };",
		&rich, "/vmem0: requested-size: 32 GiB are plugged from the start");
	/* RAM, and what is asked for. */
	host.available = 1 * GiB;
	assert_warns("", &host, NULL);
	assert_warns("&vmem0 { requested-size = /bits/ 64 <0x40000000>; };", &host,
		"/memory: reg: the guest begins with 1.5 GiB, and this host has 1 GiB left");
	host.limit = 256 * MiB;
	assert_warns("", &host,
		"the guest begins with 512 MiB, and the memory cgroup here allows 256 MiB");
	assert_warns("&vmem0 { requested-size = /bits/ 64 <0x40000000>; backing = \"hugetlb\"; };",
		&host, "begins with 512 MiB");
	assert_warns("&memory { sluice,backing = \"memfd\"; };", &host, "begins with 512 MiB");
	assert_warns("&memory { sluice,backing = \"hugetlb\"; };", &host, NULL);
}

static void merging(void **state)
{
	static const char said[] =
		"warning: /memory: sluice,mergeable: this host does not merge equal pages";
	struct host_memory host = rich;

	assert_warns("&memory { sluice,mergeable; };", &rich, said);
	assert_warns("&vmem0 { mergeable; };", &rich, "/vmem0: mergeable: this host");
	host.merges = true;
	assert_warns("&memory { sluice,mergeable; }; &vmem0 { mergeable; };", &host, NULL);
}

static void cannot_be_filled(const char *file)
{
	const struct tree_source source = { .file = file };
	struct machine_config *config;
	struct errors errors = { 0 };

	if (config_read(&source, &big_host, &errors, &config)) {
		errors_show(&errors);
		fail_msg("%s is refused", file);
	}
	errors_finish(&errors);
	growth_check(config, &config->growth, 4 * KiB, &rich, &errors);
	if (errors.count) {
		errors_show(&errors);
		fail_msg("%s has a window that cannot be filled", file);
	}
	config_destroy(config);
}

static void every_machine_can_fill_its_windows(void **state)
{
	const char *top = getenv("TOP");
	char pattern[4096];
	glob_t found;

	assert_non_null(top);
	snprintf(pattern, sizeof(pattern), "%s/dts/*.dts", top);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	snprintf(pattern, sizeof(pattern), "%s/dts/*/*.dts", top);
	assert_int_equal(glob(pattern, GLOB_APPEND, NULL, &found), 0);
	assert_true(found.gl_pathc >= 7);
	for (size_t i = 0; i < found.gl_pathc; i++)
		cannot_be_filled(found.gl_pathv[i]);
	globfree(&found);
}

/* The tree in README.md, from its first line to its last. */
static void so_can_the_readme_s(void **state)
{
	static char text[256 * KiB];
	char path[4096], *begin, *end;
	FILE *file;

	snprintf(path, sizeof(path), "%s/README.md", getenv("TOP"));
	file = fopen(path, "re");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	begin = strstr(text, "/dts-v1/;");
	assert_non_null(begin);
	end = strstr(begin, "\n```");
	assert_non_null(end);
	*end = '\0';
	cannot_be_filled(tree_source_file("gateway.dts", begin, ""));
}

static void cgroups(void **state)
{
	static const char *const files[][2] = {
		{ "/proc/meminfo", "MemAvailable:  1024 kB\nSwapFree:  1024 kB\n" },
		{ "/proc/self/cgroup", "1:name=systemd:/\n0::/a/b/c\n" },
		{ "/proc/self/ksm_merging_pages", "3\n" },
		{ "/sys/kernel/mm/ksm/run", "1\n" },
		{ "/proc/self/status", "VmRSS:\t 12 kB\n" },
		{ "/sys/fs/cgroup/a/memory.max", "1000\n" },
		{ "/sys/fs/cgroup/a/memory.current", "1500\n" },
		{ "/sys/fs/cgroup/a/b/memory.max", "900\n" },
		{ "/sys/fs/cgroup/a/b/memory.current", "100\n" },
		{ "/sys/fs/cgroup/a/b/c/memory.max", "max\n" },
	};
	char root[] = "/tmp/test-growth-XXXXXX", command[200];
	struct host_memory host;

	assert_non_null(mkdtemp(root));
	host_memory(root, &host);
	assert_int_equal(host.available, HOST_MEMORY_UNKNOWN);
	assert_int_equal(host.limit, HOST_MEMORY_UNKNOWN);
	assert_int_equal(host.merged, HOST_MEMORY_UNKNOWN);
	assert_false(host.merges);
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p proc/self sys/kernel/mm/ksm sys/fs/cgroup/a/b/c", root);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[256];
		FILE *file;

		snprintf(path, sizeof(path), "%s%s", root, files[i][0]);
		file = fopen(path, "we");
		assert_non_null(file);
		fputs(files[i][1], file);
		fclose(file);
	}
	host_memory(root, &host);
	assert_int_equal(host.available, 2 * MiB);
	assert_int_equal(host.resident, 12 * KiB);
	assert_int_equal(host.merged, 3 * sysconf(_SC_PAGESIZE));
	assert_true(host.merges);
	assert_int_equal(host.limit, 900);
	assert_int_equal(host.room, 0); /* of /a, which is over its limit */
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static int finish(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_below_what_was_seen),
		cmocka_unit_test(larger_pages_carry_more),
		cmocka_unit_test(command_lines),
		cmocka_unit_test(the_guest_s_own_figures),
		cmocka_unit_test(warnings),
		cmocka_unit_test(merging),
		cmocka_unit_test(every_machine_can_fill_its_windows),
		cmocka_unit_test(so_can_the_readme_s),
		cmocka_unit_test(cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, finish);
}
