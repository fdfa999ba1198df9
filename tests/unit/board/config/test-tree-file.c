/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs and files of trees: the bounds of their structure, each at its edge, and what overlays make of them. */
#include "tests/unit/helpers/unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

/* The blob that is made; one at a time. */
static uint64_t room[MiB / 8];

/* The blob is a tree, or is refused with one error that has this part. */
static void assert_blob(const void *blob, const char *says)
{
	struct errors errors = { 0 };
	void *fdt = NULL;
	int err = tree_blob_open(blob, fdt_totalsize(blob), "blob", &errors, &fdt);

	if (says) {
		assert_int_equal(err, -EINVAL);
		assert_null(fdt);
		assert_int_equal(errors.count, 1);
		if (!errors_say(&errors, says))
			fail_msg("%s, not: %s", errors.lines[0], says);
	} else if (err) {
		fail_msg("%s", errors.lines[0]);
	}
	errors_finish(&errors);
	free(fdt);
}

static void *begin(void)
{
	assert_int_equal(fdt_create(room, sizeof(room)), 0);
	assert_int_equal(fdt_finish_reservemap(room), 0);
	assert_int_equal(fdt_begin_node(room, ""), 0);
	return room;
}

static void *end(void *fdt)
{
	assert_int_equal(fdt_end_node(fdt), 0);
	assert_int_equal(fdt_finish(fdt), 0);
	return fdt;
}

static void node(void *fdt, const char *name)
{
	assert_int_equal(fdt_begin_node(fdt, name), 0);
	assert_int_equal(fdt_end_node(fdt), 0);
}

/* A root and children, so many nodes in all. */
static void *wide(unsigned nodes)
{
	void *fdt = begin();
	char name[16];

	for (unsigned i = 1; i < nodes; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		node(fdt, name);
	}
	return end(fdt);
}

/* So many levels, the root's being the first. */
static void *deep(unsigned levels)
{
	void *fdt = begin();

	for (unsigned i = 1; i < levels; i++)
		assert_int_equal(fdt_begin_node(fdt, "n"), 0);
	for (unsigned i = 1; i < levels; i++)
		assert_int_equal(fdt_end_node(fdt), 0);
	return end(fdt);
}

static void *with_properties(unsigned count)
{
	void *fdt = begin();

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(fdt_property(fdt, "a", NULL, 0), 0);
	return end(fdt);
}

static void *with_node(const char *name)
{
	void *fdt = begin();

	node(fdt, name);
	return end(fdt);
}

static void *with_property(const char *name)
{
	void *fdt = begin();

	assert_int_equal(fdt_property(fdt, name, "x", 2), 0);
	return end(fdt);
}

static void bounds(void **state)
{
	assert_blob(wide(8192), NULL);
	assert_blob(wide(8193), "it has more than 8192 nodes, or more than 16 levels");
	assert_blob(deep(16), NULL);
	assert_blob(deep(17), "it has more than 8192 nodes, or more than 16 levels");
	/* A tag each, and three for the root's begin and end, and the tree's. */
	assert_blob(with_properties(65536 - 3), NULL);
	assert_blob(with_properties(65536 - 2), "it has more than 65536 nodes and properties");
}

static void names(void **state)
{
	char name[129];

	memset(name, 'n', 128);
	name[128] = '\0';
	assert_blob(with_node(name), "a node's name is too long");
	assert_blob(with_property(name), "a property's name is too long");
	assert_blob(with_node(name + 1), NULL);
	assert_blob(with_property(name + 1), NULL);
	assert_blob(with_node(""), "a node's name");
	assert_blob(with_property(""), "a property's name");
	for (int c = 1; c < 256; c++) {
		char one[] = { 'n', (char)c, '\0' };
		bool good = (c < 128 && isalnum(c)) || strchr("@,._+-?#", c);

		assert_blob(with_property(one), good ? NULL : "a property's name");
		if (c != '/')
			assert_blob(with_node(one), good ? NULL : "a node's name");
	}
}

static void versions(void **state)
{
	void *fdt = wide(1);

	fdt_set_version(fdt, 16);
	assert_blob(fdt, "version 16 of the tree format is too old");
	assert_blob(wide(1), NULL);
}

/* Both nodes make a FIT image, neither alone. */
static void no_fit(void **state)
{
	assert_blob(with_node("images"), NULL);
	assert_blob(with_node("configurations"), NULL);
}

/* There is room for what Sluice writes into it. */
static void slack(void **state)
{
	struct errors errors = { 0 };
	void *blob = wide(2), *fdt;
	char *value = calloc(1, 64 * KiB - 256);

	assert_int_equal(tree_blob_open(blob, fdt_totalsize(blob), "blob", &errors, &fdt), 0);
	assert_int_equal(fdt_setprop(fdt, 0, "large", value, 64 * KiB - 256), 0);
	free(value);
	free(fdt);
}

/* ---- Files ---- */

static void write_blob(const char *path, const void *blob, size_t file_size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(blob, 1, fdt_totalsize(blob), file), fdt_totalsize(blob));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(truncate(path, (off_t)file_size), 0);
}

/* The file with its overlay (or NULL) is a tree, or refused with an error that has this part. */
static void *assert_file(const char *path, const char *overlay, const char *says)
{
	struct errors errors = { 0 };
	void *fdt = NULL;
	int err = tree_source_open(path, overlay, &errors, &fdt);

	if (says ? err != -EINVAL || !errors_say(&errors, says) : err) {
		errors_show(&errors);
		fail_msg("err %d, not: %s", err, says ? says : "a tree");
	}
	assert_true(!says == !!fdt);
	errors_finish(&errors);
	return fdt;
}

static void file_sizes(void **state)
{
	const char *path = tree_source_file("large.dtb", "", "");
	void *blob = wide(1);

	write_blob(path, blob, 16 * MiB);
	free(assert_file(path, NULL, NULL));
	write_blob(path, blob, 16 * MiB + 1);
	assert_file(path, NULL, "large.dtb: it is larger than 16 MiB, which no tree is");
}

/* What each file that is no tree is said to be; `at` holds one odd byte. */
static void what_it_is(void **state)
{
	static const struct {
		size_t size, at;
		const char *begins, *says;
	} kinds[] = {
		{ 4, 0, "\177ELF", "it is an ELF program" },
		{ 3, 0, "\177EL", "it has neither a tree's magic nor is it text" },
		{ 2, 0, "\x1f\x8b", "it is compressed by gzip" },
		{ 64, 0, NULL, "it is an arm64 kernel" },
		{ 8, 0, "MZxxzimg", "it is a kernel in an EFI zboot" },
		{ 7, 0, "MZxxzimg", "it is text without /dts-v1/" },
		{ 600, 512, "text", "it is text without /dts-v1/" },
		{ 600, 511, "text", "it has neither" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *path = tree_source_file("file", "", "");
		FILE *file = fopen(path, "w");
		char bytes[600];

		memset(bytes, kinds[i].begins ? 'x' : 0, sizeof(bytes));
		if (kinds[i].begins)
			memcpy(bytes, kinds[i].begins, strlen(kinds[i].begins));
		else
			memcpy(bytes + 56, "ARM\x64", 4);
		if (kinds[i].at)
			bytes[kinds[i].at] = '\1';
		assert_int_equal(fwrite(bytes, 1, kinds[i].size, file), kinds[i].size);
		fclose(file);
		assert_file(path, NULL, kinds[i].says);
	}
}

/* Source is known by what it says, or by the file's name. */
static void sources(void **state)
{
	free(assert_file(tree_source_file("a-tree", "/dts-v1/; / { };", ""), NULL, NULL));
	assert_file(tree_source_file("a.dts", "/ { };", ""), NULL, "a.dts: dtc: ");
	assert_file(tree_source_file("a.dtso", "/ { };", ""), NULL, "a.dtso: dtc: ");
	assert_file(tree_source_file("a.dtb", "/ { };", ""), NULL, "not a tree: it is text");
}

/* dtc would take such a name for options, of which one writes files. */
static void a_name_is_no_option(void **state)
{
	const char *path = tree_source_file("-s.dts", "/dts-v1/; / { };", "");
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char folder[256];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	assert_int_equal(chdir(folder), 0);
	free(assert_file("-s.dts", NULL, NULL));
	assert_int_equal(fchdir(here), 0);
	close(here);
}

/* dtc reads the file again, which what comes through a pipe does not allow. */
static void source_of_a_pipe(void **state)
{
	static const char source[] = "/dts-v1/; / { };";
	char path[32];
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], source, sizeof(source) - 1), sizeof(source) - 1);
	close(ends[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	assert_file(path, NULL, "source comes from a regular file");
	close(ends[0]);
}

static char *overlay_of(const char *name, const char *text)
{
	return strdup(tree_source_file(name, "/dts-v1/; /plugin/; ", text));
}

/* Base and overlay keep within the bounds, each for itself; together they do not. */
static void overlays_keep_the_bounds(void **state)
{
	char *good = overlay_of("more.dtso",
		"&{/a/b/c/d/e/f/g} { h { i { j { k { l { m { n { o { }; }; }; }; }; }; }; }; };");
	char *path;
	void *fdt;

	/* 16 levels; and the root's is one of them. */
	path = strdup(tree_source_file("base.dts",
		"/dts-v1/; / { a { b { c { d { e { f { g { }; }; }; }; }; }; }; };", ""));
	fdt = assert_file(path, good, NULL);
	assert_true(fdt_path_offset(fdt, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o") > 0);
	free(fdt);
	free(good);
	good = overlay_of("more.dtso", "&{/a/b/c/d/e/f/g} { h { i { j { k { l { m { n { o { p { }; "
				       "}; }; }; }; }; }; }; }; };");
	assert_file(path, good,
		"base.dts: not a tree for a machine: it has more than 8192 nodes, or more than 16 "
		"levels");
	free(good);
	free(path);
}

static void overlays_without_a_place(void **state)
{
	char *base = strdup(tree_source_file("base.dtb", "", ""));
	char *label = overlay_of("label.dtso", "&there { a; };"),
	     *path = overlay_of("path.dtso", "&{/nowhere} { a; };");
	void *blob = wide(2);

	write_blob(base, blob, fdt_totalsize(blob));
	assert_file(base, label,
		"the overlay wants the label there, and the tree has no labels (/__symbols__): it "
		"was compiled without dtc -@");
	assert_file(base, path,
		"path.dtso: fragment@0: the overlay does not apply: the tree has no /nowhere, which is the target-path of this fragment");
	free(base);
	free(label);
	free(path);
}

/* A tree with the labels "mem", and "lost", which is no path. */
static const char labelled[] =
	"/dts-v1/; / { mem: memory { phandle = <1>; }; aliases { circle = \"circle\"; }; "
	"__symbols__ { mem = \"/memory\"; lost = [2f 6d]; around = \"circle\"; }; };";
#define FRAGMENT	   "fragment@0 { target-path = \"/\"; __overlay__ { aa { p = <0 0>; }; }; };"
#define FIXUP(where)	   FRAGMENT "__fixups__ { mem = \"" where "\"; };"
#define LOCAL(nodes)	   FRAGMENT "__local_fixups__ {" nodes "};"
#define LOCAL_OF_P(offset) LOCAL("fragment@0 { __overlay__ { aa { p = " offset "; }; }; };")

/* What an overlay says of references in it would be followed anywhere: each is one that libfdt must not see. */
static void references_of_overlays(void **state)
{
	static const struct {
		const char *nodes, *says;
	} cases[] = {
		{ FIXUP("/fragment@0/__overlay__/aa:p:0"), NULL },
		{ FIXUP("/fragment@0/__overlay__/aa:p:4"), NULL },
		{ FIXUP("/fragment@0/__overlay__/aa:p:5"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:4294967292"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:4294967296"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:-4"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:0x0"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:p"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa:q:0"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/aa::0"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/__overlay__/bb:p:0"), "__fixups__ names no place" },
		{ FIXUP("circle:p:0") " aliases { circle = \"circle\"; };",
			"__fixups__ names no place" },
		{ FIXUP("/fragment@0:target-path:0"), "__fixups__ names no place" },
		{ "p = <0>; " FIXUP("/:p:0"), "__fixups__ names no place" },
		{ FIXUP("/__fixups__:mem:0"), "__fixups__ names no place" },
		{ FIXUP("/fragment@0/other:p:0"), "__fixups__ names no place" },
		{ FIXUP("/__fixups__:target:0\"; target = \"/fragment@0/__overlay__/aa:p:0"),
			"__fixups__ names no place" },
		{ FIXUP("/__symbols__/__overlay__:p:0") "__symbols__ { __overlay__ { p = <0>; }; "
							"};",
			"__fixups__ names no place" },
		{ FRAGMENT "__fixups__ { mem = [2f 61 3a 70 3a 30]; };",
			"__fixups__ has no strings for the label mem" },
		{ FRAGMENT "__fixups__ { mem; };", "__fixups__ has no strings for the label mem" },
		{ FRAGMENT "__fixups__ { lost = \"/fragment@0/__overlay__/aa:p:0\"; };",
			"the overlay wants the label lost, which is no node's path" },
		{ FRAGMENT "__fixups__ { around = \"/fragment@0/__overlay__/aa:p:0\"; };",
			"the overlay wants the label around, which is no node's path" },
		{ FRAGMENT
			"__fixups__ { mem = \"/fragment@0/__overlay__/aa:p:0\"; phandle = <1>; };",
			"a phandle is in __fixups__" },
		{ "fragment@0 { target = <0>; __overlay__ { }; }; __fixups__ { mem = "
		  "\"/fragment@0:target:0\"; };",
			NULL },
		{ LOCAL_OF_P("<0>"), NULL },
		{ LOCAL_OF_P("<4 1>"), NULL },
		{ LOCAL_OF_P("<5>"), "__local_fixups__ names a place outside of the property p" },
		{ LOCAL_OF_P("<0 0xfffffffc>"),
			"__local_fixups__ names a place outside of the property p" },
		{ LOCAL("fragment@0 { __overlay__ { aa { q = <0>; }; }; };"),
			"__local_fixups__ names a place outside of the property q" },
		{ LOCAL("fragment@0 { __overlay__ { bb { p = <0>; }; }; };"),
			"__local_fixups__ names what is no node: bb" },
		{ LOCAL("fragment@0 { target-path = <0>; };"),
			"__local_fixups__ names a place outside of the property target-path" },
		{ FIXUP("/fragment@0/__overlay__/aa:p:0") "__local_fixups__ { __fixups__ { mem = "
							  "<0>; }; };",
			"__local_fixups__ names a place outside of the property mem" },
		{ LOCAL("fragment@0 { __overlay__ { aa { phandle = <7>; }; }; };"),
			"a phandle is in __local_fixups__" },
		{ "fragment@0 { target-path = \"circle\"; __overlay__ { }; };",
			"no absolute path is the target-path of fragment@0" },
		{ "fragment@0 { target-path = [2f]; __overlay__ { }; };",
			"no absolute path is the target-path of fragment@0" },
		{ "fragment@0 { target-path; __overlay__ { }; };",
			"no absolute path is the target-path of fragment@0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *base = strdup(tree_source_file("base.dts", labelled, "")), *nodes;

		assert_true(asprintf(&nodes, "/ { %s };", cases[i].nodes) > 0);
		free(assert_file(
			base, tree_source_file("over.dtso", "/dts-v1/;", nodes), cases[i].says));
		free(nodes);
		free(base);
	}
}

/* As many references as libfdt would need minutes for. */
static void many_references(void **state)
{
	static const char head[] = "/dts-v1/; /plugin/; / { fragment@0 { target-path = \"/\"; "
				   "__overlay__ { a: aa { p = <";
	char *base = strdup(tree_source_file("base.dts", labelled, "")), *text = malloc(64 * KiB);

	for (unsigned count = 4096; count <= 4097; count++) {
		size_t len = (size_t)sprintf(text, "%s", head);

		for (unsigned i = 0; i < count; i++)
			len += (size_t)sprintf(text + len, "&a ");
		strcpy(text + len, ">; }; }; }; };");
		free(assert_file(base, tree_source_file("over.dtso", text, ""),
			count > 4096 ? "it has more than 4096 references" : NULL));
	}
	free(text);
	free(base);
}

static void printed(void **state)
{
	struct errors errors = { 0 };
	void *blob = with_property("model");
	FILE *out = tmpfile();
	char text[256] = "";

	assert_int_equal(tree_print_source(blob, fdt_totalsize(blob), "name", &errors, out), 0);
	rewind(out);
	assert_true(fread(text, 1, sizeof(text) - 1, out) > 0);
	assert_non_null(strstr(text, "/dts-v1/;"));
	assert_non_null(strstr(text, "model = \"x\";"));
	assert_int_equal(errors.count, 0);
	assert_int_equal(tree_print_source("nothing", 7, "name", &errors, out), -EINVAL);
	assert_true(errors_say(&errors, "name: dtc"));
	errors_finish(&errors);
	fclose(out);
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds),
		cmocka_unit_test(names),
		cmocka_unit_test(versions),
		cmocka_unit_test(no_fit),
		cmocka_unit_test(slack),
		cmocka_unit_test(file_sizes),
		cmocka_unit_test(what_it_is),
		cmocka_unit_test(sources),
		cmocka_unit_test(a_name_is_no_option),
		cmocka_unit_test(source_of_a_pipe),
		cmocka_unit_test(overlays_keep_the_bounds),
		cmocka_unit_test(overlays_without_a_place),
		cmocka_unit_test(references_of_overlays),
		cmocka_unit_test(many_references),
		cmocka_unit_test(printed),
	};

	return cmocka_run_group_tests_name("tree-file", tests, NULL, remove_files);
}
