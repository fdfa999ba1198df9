/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree from elsewhere may name: each property that takes a path, of each class there is, each kind of
 * console and port, kernel and initrd, with each way out of the tree's folder.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "board/boot/image.h"
#include "board/config/tree-file.h"
#include "board/console/console.h"
#include "devices/backend/disk.h"
#include "devices/device.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

static char folder[256]; /* of the trees */
static char outside[300];

/* A file in the trees' folder, by its name there. */
static char *in_folder(const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void make_file(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), 4096), 0);
	assert_int_equal(fclose(file), 0);
}

static void replace_link(const char *to, const char *name)
{
	unlink(in_folder(name));
	assert_int_equal(symlink(to, in_folder(name)), 0);
}

static int setup(void **state)
{
	const char *path = tree_source_file("first.dts", "", "");

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	snprintf(outside, sizeof(outside), "%s-outside", folder);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
	make_file(in_folder("inside.img"));
	make_file(in_folder("sub/inside.img"));
	make_file(in_folder(".hidden"));
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	replace_link("fifo", "fifo-link");
	replace_link("inside.img", "good-link");
	replace_link(outside, "folder-link");
	replace_link("/proc/self/fd", "magic-folder");
	replace_link("/proc/self/exe", "magic-link");
	replace_link("../nowhere", "dangling-link");
	replace_link("round", "round");
	snprintf(outside, sizeof(outside), "%s-outside/file", folder);
	make_file(outside);
	replace_link(outside, "link");
	return 0;
}

static int teardown(void **state)
{
	unlink(outside);
	*strrchr(outside, '/') = '\0';
	rmdir(outside);
	tree_source_finish();
	return 0;
}

/* ---- Trees ---- */

#define SPECIAL	 "is a device or a FIFO, and"

/* The good machine with this change as a blob, which nobody here wrote: its path. */
static const char *blob_of(const char *change)
{
	struct errors errors = { 0 };
	const char *path;
	FILE *file;
	void *fdt;

	if (tree_source_open(
		    tree_source_file("machine.dts", good_machine, change), NULL, &errors, &fdt)) {
		errors_show(&errors);
		fail_msg("%s", change);
	}
	assert_int_equal(fdt_pack(fdt), 0);
	path = tree_source_file("machine.dtb", "", "");
	file = fopen(path, "w");
	assert_int_equal(fwrite(fdt, 1, fdt_totalsize(fdt), file), fdt_totalsize(fdt));
	assert_int_equal(fclose(file), 0);
	free(fdt);
	return path;
}

/* The tree is refused, with these words at this place; or (NULL) nothing is said of paths. */
static void assert_says(const struct tree_source *source, const char *where, const char *says)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	char begins[160];
	bool said = false;

	if (!config_read(source, &big_host, &errors, &config))
		config_destroy(config);
	for (size_t i = 0; i < errors.count; i++) {
		snprintf(begins, sizeof(begins), "%s: ", where);
		said |= says ? !strncmp(errors.lines[i], begins, strlen(begins)) &&
					strstr(errors.lines[i], says)
			     : strstr(errors.lines[i], "elsewhere") ||
					strstr(errors.lines[i], "symbolic link") ||
					strstr(errors.lines[i], SPECIAL);
	}
	if (said != !!says) {
		errors_show(&errors);
		fail_msg("%s %s: %s", source->file, where, says ? says : "is said");
	}
	errors_finish(&errors);
}

/* ---- Ways out of the folder ---- */

#define LEXICAL	 "is a tree from elsewhere, and may name what lies in its own folder"
#define SYMBOLIC "is a symbolic link, or goes through one, that leads out of"

/* Each way out and the words that refuse it; then, with NULL, ways to stay within. */
static const struct way {
	const char *path, *says;
} ways[] = {
	{ "/etc/shadow", LEXICAL },
	{ "//etc/shadow", LEXICAL },
	{ "../outside", LEXICAL },
	{ "sub/../../outside", LEXICAL },
	{ "sub/../inside.img", LEXICAL },
	{ "..", LEXICAL },
	{ ".hidden", LEXICAL },
	{ "sub/.hidden", LEXICAL },
	{ "./.hidden", LEXICAL },
	{ "/proc/self/fd/0", LEXICAL },
	{ "link", SYMBOLIC },
	{ "folder-link/file", SYMBOLIC },
	{ "folder-link/new", SYMBOLIC },
	{ "magic-link", SYMBOLIC },
	{ "magic-folder/0", SYMBOLIC },
	{ "dangling-link", SYMBOLIC },
	{ "round", SYMBOLIC },
	{ "fifo", SPECIAL },
	{ "./fifo-link", SPECIAL },
	{ "inside.img", NULL },
	{ "./inside.img", NULL },
	{ "sub//inside.img", NULL },
	{ "good-link", NULL },
	{ "new", NULL },
};

/* `format` makes a change of the machine from a path; `where` begins its errors. */
static void try_ways(const char *format, const char *where)
{
	for (const struct way *way = ways; way < ways + ARRAY_SIZE(ways); way++) {
		struct tree_source source = { 0 };
		char *change;

		assert_true(asprintf(&change, format, way->path) > 0);
		source.file = blob_of(change);
		assert_says(&source, where, way->says);
		/* The same source has its author's rights. */
		source.file = tree_source_file("machine.dts", good_machine, change);
		assert_says(&source, where, NULL);
		free(change);
	}
}

/* All that names a file in its kind's spelling, of a console or a port: "file:PATH" of CONSOLE_SPECS. */
static void try_specs(const char *before, const char *after, const char *where)
{
	char specs[] = CONSOLE_SPECS, *format, *rest = specs, *spec;
	unsigned tried = 0;

	while ((spec = strsep(&rest, "\", "))) {
		char *path = strstr(spec, ":PATH");

		if (!path)
			continue;
		*path = '\0';
		assert_true(asprintf(&format, "%s%s:%%s%s", before, spec, after) > 0);
		try_ways(format, where);
		free(format);
		tried++;
	}
	assert_true(tried >= 2);
}

static void kernel_and_initrd(void **state)
{
	try_ways("&chosen { sluice,kernel = \"%s\"; };", "/chosen: sluice,kernel");
	try_ways("&chosen { sluice,initrd = \"%s\"; };", "/chosen: sluice,initrd");
}

static void memory(void **state)
{
	try_ways("&memory { sluice,backing = \"file\"; sluice,file = \"%s\"; };",
		"/memory@40000000: sluice,file");
}

static void consoles(void **state)
{
	try_specs("/ { options { sluice { compatible = \"sluice,options\"; console = \"",
		"\"; }; }; };", "/options/sluice: console");
}

/* Takes words, and no path: each name that is added here was examined. */
static bool names_no_file(const struct property *property)
{
	static const char *const known[] = { "serial" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(property->name, known[i]))
			return true;
	return property->host;
}

static void every_property_of_every_class(void **state)
{
	unsigned files = 0, ports = 0;

	for (size_t i = 0; device_table[i]; i++) {
		const struct device_class *class = device_table[i];
		const struct property *property = class->properties;

		for (; property && property->name; property++) {
			char before[256], where[128];

			snprintf(before, sizeof(before), "/ { dev0 { compatible = \"%s\"; %s = \"",
				class->compatible, property->name);
			snprintf(where, sizeof(where), "/dev0: %s", property->name);
			if (property->type == PROPERTY_FILE) {
				strcat(before, "%s\"; }; };");
				try_ways(before, where);
				files++;
			} else if (property->type == PROPERTY_PORTS) {
				strcat(before, "log=");
				try_specs(before, "\"; }; };", where);
				ports++;
			} else if (property->type == PROPERTY_STRING && !names_no_file(property)) {
				fail_msg("what may a tree from elsewhere say as %s of a %s?",
					property->name, class->compatible);
			}
		}
	}
	assert_true(files && ports);
}

static void what_is_the_hosts(void **state)
{
	static const char *const nets[] = { "tap = \"vm0\"", "tap-fd = <5>",
		"forward-tcp = \"1:1\"", "host-loopback" };

	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		struct tree_source source = { 0 };
		char change[160], where[64];

		snprintf(change, sizeof(change),
			"/ { net0 { compatible = \"sluice,virtio-net\"; %s; }; };", nets[i]);
		snprintf(where, sizeof(where), "/net0: %.*s", (int)strcspn(nets[i], " "), nets[i]);
		source.file = blob_of(change);
		assert_says(&source, where, "names what is this host's");
		source.file = tree_source_file("machine.dts", good_machine, change);
		assert_says(&source, where, NULL);
	}
}

/* ---- Which trees ---- */

#define SHADOW "&chosen { sluice,initrd = \"/etc/shadow\"; };"
#define AT     "/chosen: sluice,initrd"

static void one_part_makes_the_whole(void **state)
{
	static const char plugin[] = "/dts-v1/; /plugin/; ";
	char *source = strdup(tree_source_file("own.dts", good_machine, SHADOW));
	char *more = strdup(tree_source_file("own.dtso", plugin, "&chosen { a; };"));
	char *blob = strdup(in_folder("theirs.dtbo")), *command;
	char *base;

	assert_true(asprintf(&command, "dtc -q -@ -O dtb -o %s %s", blob, more) > 0);
	assert_int_equal(system(command), 0);
	assert_says(&(struct tree_source){ .file = source }, AT, NULL);
	assert_says(
		&(struct tree_source){ .file = source, .overlays = { more }, .overlay_count = 1 },
		AT, NULL);
	assert_says(
		&(struct tree_source){
			.file = source, .overlays = { more, blob }, .overlay_count = 2 },
		AT, "theirs.dtbo " LEXICAL);
	base = strdup(blob_of(SHADOW));
	assert_says(&(struct tree_source){ .file = base, .overlays = { more }, .overlay_count = 1 },
		AT, "machine.dtb " LEXICAL);
	free(command);
	free(source);
	free(more);
	free(blob);
	free(base);
}

/* Source by the name of a blob would have more rights than its name says: it is refused. */
static void source_by_a_blobs_name(void **state)
{
	static const char *const names[] = { "a.dtb", "a.dtbo", "a.itb" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_says(&(struct tree_source){ .file = tree_source_file(
							   names[i], good_machine, "") },
			in_folder(names[i]), "not a tree: it is source, by the name of a blob");
}

/* A pipe has no folder: /dev/stdin would have /dev. */
static void a_tree_through_a_pipe(void **state)
{
	const char *path = blob_of("&chosen { sluice,initrd = \"inside.img\"; };");
	char name[64], *text = malloc(64 * KiB);
	FILE *file = fopen(path, "r");
	size_t len = fread(text, 1, 64 * KiB, file);
	int ends[2];

	fclose(file);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, len), (ssize_t)len);
	close(ends[1]);
	snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
	assert_says(&(struct tree_source){ .file = name }, AT, LEXICAL);
	close(ends[0]);
	free(text);
}

/* ---- --allow ---- */

static void allowed_folders(void **state)
{
	static const struct {
		const char *allowed, *path, *says;
	} cases[] = {
		{ "%s-outside", "%s-outside/file", NULL },
		{ "%s-outside/", "%s-outside/new", NULL },
		{ "%s/..", "%s-outside/file", NULL },
		{ "%s/sub/../../", "%s/.hidden", NULL },
		{ "%s-outside", "%s-outside/../x", LEXICAL },
		{ "%s-outside", "%s-outsider", LEXICAL },
		{ "%s-outside", "%s-outside", LEXICAL },
		{ "%s", "%s/inside.img", NULL },
		{ "%s", "%s/.hidden", NULL },
		{ "%s", "sub/../.hidden", NULL },
		{ "%s", "../nowhere", LEXICAL },
		{ "%s", "%s/link", SYMBOLIC },
		{ "%s", "%s/folder-link/new", SYMBOLIC },
		{ "%s", "%s/magic-link", SYMBOLIC },
		{ "/", "%s-outside/file", NULL },
		{ "/", "/proc/self/fd/0", SYMBOLIC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tree_source source = { .allowed = { "/proc", NULL }, .allowed_count = 2 };
		char allowed[600], path[600], change[800];

		snprintf(allowed, sizeof(allowed), cases[i].allowed, folder, folder);
		snprintf(path, sizeof(path), cases[i].path, folder);
		snprintf(change, sizeof(change), "&chosen { sluice,initrd = \"%s\"; };", path);
		source.allowed[1] = allowed;
		source.file = blob_of(change);
		assert_says(&source, AT, cases[i].says);
	}
}

/* Each --allow that names no folder is an error, for a tree of any author. A folder beneath which the tree names nothing is no error. */
static void folders_that_cannot_be_allowed(void **state)
{
	char *missing = strdup(in_folder("nothing")), *file = strdup(in_folder("inside.img"));
	struct tree_source source = { .allowed = { missing, file }, .allowed_count = 2 };

	for (unsigned blob = 0; blob <= 1; blob++) {
		source.file = blob ? blob_of("") : tree_source_file("machine.dts", good_machine, "");
		assert_says(&source, "--allow", "nothing: No such file or directory");
		assert_says(&source, "--allow", "inside.img: Not a directory");
		assert_says(&(struct tree_source){ .file = source.file,
				    .allowed = { in_folder("sub") },
				    .allowed_count = 1 },
			"--allow", NULL);
	}
	free(missing);
	free(file);
}

/*
 * The author of a downloaded machine may pack device nodes: unpacked by root they would be this host's disks. In a folder that
 * is allowed the owner has them; sockets cannot be opened, and what listens replaces its own.
 */
static void devices_in_its_folder(void **state)
{
	struct tree_source source = { .allowed = { folder } };

	assert_int_equal(mknod(in_folder("listens"), S_IFSOCK | 0600, 0), 0);
	source.file = blob_of("&chosen { sluice,initrd = \"listens\"; };");
	assert_says(&source, AT, NULL);
	for (unsigned i = 0; i < 3; i++) {
		static const mode_t kinds[] = { S_IFIFO, S_IFCHR, S_IFBLK };

		unlink(in_folder("node"));
		if (mknod(in_folder("node"), kinds[i] | 0600, i ? makedev(1, 3) : 0))
			continue; /* not root, or not the host's */
		source.file = blob_of("&chosen { sluice,initrd = \"node\"; };");
		source.allowed_count = 0;
		assert_says(&source, AT, SPECIAL);
		source.allowed_count = 1;
		assert_says(&source, AT, NULL);
		source.allowed[0] = "/";
		assert_says(&source, AT, NULL);
		source.allowed[0] = in_folder("sub");
		assert_says(&source, AT, SPECIAL);
		source.allowed[0] = folder;
	}
}

/* What lies in the tree's own folder stays there where a folder above is allowed from which a link leads to it. */
static void an_allowed_folder_takes_nothing_away(void **state)
{
	struct tree_source source = { 0 };
	char *outer = strdup(in_folder("outer")), *way = strdup(in_folder("outer/way")), *tree;

	blob_of("&chosen { sluice,initrd = \"inside.img\"; };");
	assert_int_equal(mkdir(outer, 0700), 0);
	assert_int_equal(symlink(folder, way), 0);
	assert_true(asprintf(&tree, "%s/machine.dtb", way) > 0);
	source.file = tree;
	assert_says(&source, AT, NULL);
	source.allowed[source.allowed_count++] = outer;
	assert_says(&source, AT, NULL);
	assert_int_equal(unlink(way), 0);
	assert_int_equal(rmdir(outer), 0);
	free(tree);
	free(way);
	free(outer);
}

/* As the command line names it, from the folder one is in. */
static void relative_folders(void **state)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_source source = { .file = "machine.dtb", .allowed = { "sub" } };

	assert_int_equal(chdir(folder), 0);
	blob_of("&chosen { sluice,initrd = \"sub/../sub/inside.img\"; };");
	assert_says(&source, AT, LEXICAL);
	source.allowed_count = 1;
	assert_says(&source, AT, NULL);
	blob_of("&chosen { sluice,initrd = \"inside.img\"; };");
	assert_says(&source, AT, NULL);
	blob_of("&chosen { sluice,initrd = \"link\"; };");
	assert_says(&source, AT, SYMBOLIC);
	assert_int_equal(fchdir(here), 0);
	close(here);
}

/* ---- What was good when it was probed ---- */

/* Whoever opens, later, what a configuration names is held to the folder then. */
static void links_that_come_later(void **state)
{
	const char *tree = blob_of(
		"/ { options { sluice { compatible = \"sluice,options\"; "
		"console = \"file:later\"; }; };"
		"disk0 { compatible = \"sluice,virtio-blk\"; file = \"later\"; }; "
		"ports0 { compatible = \"sluice,virtio-console\"; "
		"ports = \"a=file:later\", \"b=socket:sub/socket\"; }; };"
		"&chosen { sluice,kernel = \"later\"; };");
	const struct console_callbacks callbacks = { 0 };
	struct console *console = NULL;
	struct machine_config *config;
	struct errors errors = { 0 };
	const struct host_path *socket = NULL;
	struct stat before, after;
	struct image image;
	struct loop *loop;

	make_file(in_folder("later"));
	assert_int_equal(
		config_read(&(struct tree_source){ .file = tree }, &big_host, &errors, &config), 0);
	/* A FIFO: opening it would wait for a reader. */
	assert_int_equal(unlink(in_folder("later")), 0);
	assert_int_equal(mkfifo(in_folder("later"), 0600), 0);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(console_create(loop, &config->console, &callbacks, &console), -EOPNOTSUPP);
	replace_link(outside, "later");
	assert_int_equal(stat(outside, &before), 0);
	assert_int_equal(console_create(loop, &config->console, &callbacks, &console), -EXDEV);
	assert_int_equal(image_open(&image, &config->kernel, &errors), -EINVAL);
	assert_true(errors_say(&errors, "cannot be opened: Invalid cross-device link"));
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		device_probe(config, device, false, &errors);
		if (device->port_count)
			assert_int_equal(console_create(loop, &device->ports[0].backend, &callbacks,
						 &console),
				-EXDEV);
	}
	assert_true(errors_say(&errors, "/disk0: file: cannot open"));

	/* A socket comes to lie in its folder; where that leads out by then, it does not. */
	for (size_t i = 0; i < config->device_count; i++)
		if (config->devices[i].port_count)
			socket = &config->devices[i].ports[1].backend.path;
	assert_int_equal(console_create(loop, &(struct console_spec){ .kind = CONSOLE_NULL },
				 &callbacks, &console),
		0);
	assert_int_equal(console_listen(console, socket, &errors), 0);
	assert_int_equal(stat(in_folder("sub/socket"), &after), 0);
	assert_true(S_ISSOCK(after.st_mode));
	console_destroy(console);
	assert_int_equal(stat(in_folder("sub/socket"), &after), -1);
	assert_int_equal(
		rename(in_folder("sub"), strcat(strcpy((char[600]){ 0 }, in_folder("sub")), "way")),
		0);
	*strrchr(outside, '/') = '\0';
	replace_link(outside, "sub");
	assert_int_equal(console_create(loop, &(struct console_spec){ .kind = CONSOLE_NULL },
				 &callbacks, &console),
		0);
	assert_int_equal(console_listen(console, socket, &errors), -EXDEV);
	console_destroy(console);
	outside[strlen(outside)] = '/';
	assert_int_equal(stat(outside, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	loop_destroy(loop);
	config_destroy(config);
	errors_finish(&errors);
}

/* ---- What another process puts there between a probe of a file and its use ---- */

static void (*once_found)(void);

int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret)
{
	int result = __real_fstat64(fd, ret);
	void (*call)(void) = once_found;

	once_found = NULL;
	if (call)
		call();
	return result;
}

static void becomes_a_fifo(void)
{
	assert_int_equal(rename(in_folder("new"), strcat(strcpy((char[600]){ 0 }, in_folder("new")), "-before")), 0);
	assert_int_equal(mkfifo(in_folder("new"), 0600), 0);
}

/* Opening a device node or a FIFO can do something already: what was not probed is never opened. */
static void what_replaces_it_is_not_opened(void **state)
{
	struct host_folder plain = { .path = strcat(strcpy((char[600]){ 0 }, folder), "/"), .plain = true };
	struct host_path path = { .name = strdup(in_folder("new")), .beneath = &plain };
	struct stat st, at;
	int fd;

	plain.fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(plain.fd >= 0);
	assert_int_equal(host_path_open(&path, O_RDWR | O_CLOEXEC, 0), -ENOENT);
	fd = host_path_open(&path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(__real_fstat64(fd, &st), 0);
	assert_int_equal(st.st_mode & ~umask(umask(0)), st.st_mode);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(write(fd, "kept", 4), 4);
	close(fd);

	once_found = becomes_a_fifo;
	fd = host_path_open(&path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(__real_fstat64(fd, &at), 0);
	assert_int_equal(at.st_ino, st.st_ino);
	assert_int_equal(at.st_size, 4);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
	close(fd);
	assert_int_equal(host_path_open(&path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0), -EOPNOTSUPP);
	assert_int_equal(host_path_open(&path, O_PATH | O_CLOEXEC, 0), -EOPNOTSUPP);
	assert_int_equal(unlink(path.name), 0);
	close(plain.fd);
	free((char *)path.name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_and_initrd),
		cmocka_unit_test(memory),
		cmocka_unit_test(consoles),
		cmocka_unit_test(every_property_of_every_class),
		cmocka_unit_test(what_is_the_hosts),
		cmocka_unit_test(one_part_makes_the_whole),
		cmocka_unit_test(source_by_a_blobs_name),
		cmocka_unit_test(a_tree_through_a_pipe),
		cmocka_unit_test(allowed_folders),
		cmocka_unit_test(folders_that_cannot_be_allowed),
		cmocka_unit_test(devices_in_its_folder),
		cmocka_unit_test(an_allowed_folder_takes_nothing_away),
		cmocka_unit_test(relative_folders),
		cmocka_unit_test(links_that_come_later),
		cmocka_unit_test(what_replaces_it_is_not_opened),
	};

	return cmocka_run_group_tests_name("path-rights", tests, setup, teardown);
}
