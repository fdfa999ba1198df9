/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sluice check` of many trees that others made, and of a thousand that differ from them by chance: each ends,
 * with a verdict, and opens nothing of the host by a name from the tree. All calls by which the
 * program reaches files are seen here. The trees are the .dtb files in the folder $TREES (tests/trees fills
 * one with those of Debian's kernels), or one with every device.
 */
#include "tests/unit/helpers/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libfdt.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/cli/check.h"
#include "board/config/tree-file.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

#define MUTANTS	    1000
#define SECONDS_MAX 60 /* for one tree */

/* What the checking child is at, for its parent, which may find it dead. */
static struct {
	char name[512], opened[512];
	unsigned mutant, done;
} * at;
static bool checking;
static char its_path[512], tree_folder[256];

/* ---- The calls ---- */

/* The program's own, whatever the tree: each name is in the source. */
static bool is_own(const char *name)
{
	static const char *const known[] = { "/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock",
		"/etc/sluice/policy", "/etc/machine-id", "/var/lib/dbus/machine-id",
		"/proc/meminfo", "/proc/self/maps", "/proc/sys/vm/max_map_count",
		"/sys/module/vhost/parameters/max_mem_regions" };
	const char *slash = strrchr(name, '/');

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return !strcmp(name, its_path) || !strcmp(name, tree_folder) ||
	       (slash && !strcmp(slash, "/passt"));
}

/* A file that openat2() has found, opened by its descriptor (host-path.c). */
static bool is_found(const char *name)
{
	static const char folder[] = "/proc/self/fd/";
	const char *digits = name + strlen(folder);

	return !strncmp(name, folder, strlen(folder)) && *digits &&
	       !digits[strspn(digits, "0123456789")] && atoi(digits) > STDERR_FILENO;
}

static void see(const char *name)
{
	if (!checking || is_own(name) || is_found(name))
		return;
	snprintf(at->opened, sizeof(at->opened), "%s", name);
	abort();
}

#define WRAP(type, name, arguments, path, call)                                                    \
	type __real_##name arguments;                                                              \
	type __wrap_##name arguments;                                                              \
	type __wrap_##name arguments                                                               \
	{                                                                                          \
		see(path);                                                                         \
		return __real_##name call;                                                         \
	}

WRAP(FILE *, fopen64, (const char *name, const char *mode), name, (name, mode))
WRAP(int, access, (const char *name, int mode), name, (name, mode))
WRAP(int, unlink, (const char *name), name, (name))
WRAP(int, mkdir, (const char *name, mode_t mode), name, (name, mode))
WRAP(int, lstat64, (const char *name, struct stat *ret), name, (name, ret))
WRAP(int, stat64, (const char *name, struct stat *ret), name, (name, ret))
WRAP(char *, realpath, (const char *name, char *ret), name, (name, ret))
WRAP(int, bind, (int fd, const struct sockaddr *to, socklen_t len), "bind()", (fd, to, len))
WRAP(int, connect, (int fd, const struct sockaddr *to, socklen_t len), "connect()", (fd, to, len))
WRAP(int, posix_spawnp,
	(pid_t * ret, const char *name, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attr, char *const *args, char *const *env),
	name, (ret, name, actions, attr, args, env))

int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);

int __wrap_open64(const char *name, int flags, ...)
{
	see(name);
	return __real_open64(name, flags, 0600);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* openat2() stays beneath the tree's folder, or is not good. */
long __wrap_syscall(long number, ...)
{
	va_list args;
	long a, b, c, d;

	va_start(args, number);
	a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long),
	d = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 &&
		((const struct open_how *)c)->resolve != (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS))
		see("openat2()");
	return __real_syscall(number, a, b, c, d);
}

/* ---- Trees ---- */

static uint64_t chance = 1;

/* xorshift64 */
static uint32_t below(uint32_t end)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (uint32_t)(chance >> 32) % end;
}

static const char *const paths[] = { "/etc/passwd", "../passwd", "link", ".hidden", "inside",
	"/proc/self/fd/0", "magic/0", "a/../../passwd", "/dev/zero", "" };

static const char *any_path(void)
{
	return paths[below(ARRAY_SIZE(paths))];
}

/* fdt_setprop_string() is a macro that has its value worked out twice. */
static void set_string(void *fdt, int node, const char *name, const char *value)
{
	fdt_setprop_string(fdt, node, name, value);
}

/* Makes the tree one that names files, in some of the ways there are. */
static void add_paths(void *fdt)
{
	char spec[64];
	int node;

	node = fdt_subnode_offset(fdt, 0, "chosen");
	if (node < 0)
		node = fdt_add_subnode(fdt, 0, "chosen");
	set_string(fdt, node, below(2) ? "sluice,kernel" : "sluice,initrd", any_path());
	node = fdt_add_subnode(fdt, 0, "disk9");
	set_string(fdt, node, "compatible", "sluice,virtio-blk");
	set_string(fdt, node, "file", any_path());
	node = fdt_add_subnode(fdt, 0, "ports9");
	set_string(fdt, node, "compatible", "sluice,virtio-console");
	snprintf(spec, sizeof(spec), "p=%s:%s", below(2) ? "file" : "socket", any_path());
	set_string(fdt, node, "ports", spec);
}

static void mutate(uint8_t *blob, size_t size)
{
	static const uint32_t odd[] = { 0, 1, 2, 3, 4, 9, 0x7fffffff, 0x80000000, 0xffffffff,
		0xfffffffc, 0x40000000 };

	for (unsigned n = 1 + below(8); n; n--) {
		size_t from = below(4) ? 0 : size / 2; /* most in the front half: structure */
		size_t where = from + below((uint32_t)(size - from - 8));

		switch (below(4)) {
		case 0:
			blob[where] ^= (uint8_t)(1 << below(8));
			break;
		case 1:
			fdt32_st(blob + (where & ~(size_t)3), odd[below(ARRAY_SIZE(odd))]);
			break;
		case 2:
			memmove(blob + where, blob + below((uint32_t)(size - 8)), 8);
			break;
		case 3:
			blob[where] = (uint8_t)below(256);
			break;
		}
	}
}

/* ---- Checks ---- */

static void write_tree(const void *blob, size_t size)
{
	FILE *file = fopen(its_path, "w");

	CHECK(file && fwrite(blob, 1, size, file) == size && !fclose(file));
}

static void check_one(const char *name, unsigned mutant, const void *blob, size_t size)
{
	const struct tree_source source = { .file = its_path };

	write_tree(blob, size);
	snprintf(at->name, sizeof(at->name), "%s", name);
	at->mutant = mutant;
	alarm(SECONDS_MAX);
	checking = true;
	check_command(&source, NULL);
	checking = false;
	alarm(0);
	at->done++;
}

/* The tree itself, the same with names of files, and mutants of either. */
static void check_all(const char *name, const void *blob, size_t size, unsigned mutants)
{
	size_t room = size + 4 * KiB;
	uint8_t *named = malloc(room), *one = malloc(room);

	CHECK(named && one);
	check_one(name, 0, blob, size);
	CHECK(!fdt_open_into(blob, named, (int)room));
	add_paths(named);
	CHECK(!fdt_pack(named));
	check_one(name, 1, named, fdt_totalsize(named));
	for (unsigned i = 0; i < mutants; i++) {
		const void *from = i % 2 ? blob : named;
		size_t len = i % 2 ? size : fdt_totalsize(named);

		memcpy(one, from, len);
		mutate(one, len);
		check_one(name, i + 2, one, len);
	}
	free(named);
	free(one);
}

static const char devices[] =
	"/ { rng0 { compatible = \"sluice,virtio-rng\"; };"
	"net0 { compatible = \"sluice,virtio-net\"; passt; };"
	"vsock0 { compatible = \"sluice,virtio-vsock\"; cid = /bits/ 64 <7>; };"
	"balloon0 { compatible = \"sluice,virtio-balloon\"; };"
	"disk0 { compatible = \"sluice,virtio-blk\"; file = \"inside\"; };"
	"console0 { compatible = \"sluice,virtio-console\"; ports = \"a\", \"log=file:inside\"; };"
	"dog { compatible = \"sluice,watchdog\"; }; aliases { virtio3 = \"/rng0\"; };"
	"options { sluice { compatible = \"sluice,options\"; console = \"file:inside\"; }; }; };";

static void check_trees(void)
{
	const char *folder = getenv("TREES");
	struct errors errors = { 0 };
	glob_t found = { 0 };
	void *fdt;

	if (folder) {
		char pattern[512];

		snprintf(pattern, sizeof(pattern), "%s/*.dtb", folder);
		CHECK(!glob(pattern, 0, NULL, &found));
		for (size_t i = 0; i < found.gl_pathc; i++) {
			static uint8_t blob[16 * MiB];
			FILE *file = fopen(found.gl_pathv[i], "r");
			size_t size = file ? fread(blob, 1, sizeof(blob), file) : 0;

			CHECK(size && !fclose(file));
			check_all(found.gl_pathv[i], blob, size,
				MUTANTS / (unsigned)found.gl_pathc + 1);
		}
		globfree(&found);
		return;
	}
	CHECK(!tree_source_open(
		tree_source_file("all.dts", good_machine, devices), NULL, &errors, &fdt));
	CHECK(!fdt_pack(fdt));
	check_all("every device", fdt, fdt_totalsize(fdt), MUTANTS);
	free(fdt);
}

static void others_trees(void **state)
{
	FILE *out = tmpfile();
	char line[512];
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fileno(out), STDERR_FILENO);
		CHECK(freopen("/dev/null", "w", stdout));
		check_trees();
		fflush(NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	print_message("# %u trees checked\n", at->done);
	if (!status) {
		assert_true(at->done > MUTANTS);
		fclose(out);
		return;
	}
	/* What it said last: a sanitizer's words, or of the tree at which it ended. */
	if (ftell(out) > 8192)
		fseek(out, -8192, SEEK_END);
	else
		rewind(out);
	while (fgets(line, sizeof(line), out))
		print_message("# %s", line);
	fail_msg("%s, mutant %u: wait status 0x%x%s%s", at->name, at->mutant, status,
		*at->opened ? ", it opened " : "", at->opened);
}

static int setup(void **state)
{
	const char *path = tree_source_file("inside", "", "");
	char link[600];

	snprintf(tree_folder, sizeof(tree_folder), "%.*s/", (int)(strrchr(path, '/') - path), path);
	snprintf(its_path, sizeof(its_path), "%smachine.dtb", tree_folder);
	snprintf(link, sizeof(link), "%slink", tree_folder);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	snprintf(link, sizeof(link), "%smagic", tree_folder);
	assert_int_equal(symlink("/proc/self/fd", link), 0);
	at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED;
}

static int teardown(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_trees),
	};

	return cmocka_run_group_tests_name("trees", tests, setup, teardown);
}
