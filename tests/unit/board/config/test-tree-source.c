/* SPDX-License-Identifier: Apache-2.0 */
/* A tree's source as people have it: with the C preprocessor's directives, and overlays that delete. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "board/config/tree-source.h"
#include "tests/unit/helpers/tree-source.h"

static void needs_cpp(void **state)
{
	static const char *const yes[] = { "#include \"a\"", "x;\n #include <a>", "#  define A 1", "\n\n#ifdef A", "#if(1)", "#undef A" };
	static const char *const no[] = { "", "#", "#size-cells = <1>;", "#include-cells = <1>;", "a = \"#include\";", "/include/ \"a\"",
		"// #include <a>", "#includes <a>", "#define", "#if" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!tree_source_needs_cpp(yes[i]))
			fail_msg("not seen: %s", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (tree_source_needs_cpp(no[i]))
			fail_msg("seen: %s", no[i]);
}

/* Includes of both kinds, from the tree's own folder, whatever the working folder is. */
static void included(void **state)
{
	struct errors errors = { 0 };
	char *path;
	void *fdt = NULL;

	tree_source_file("part.dtsi", "#define CELLS 2\n/ { part { }; };", "");
	tree_source_file("plain.dtsi", "/ { plain { }; };", "");
	path = strdup(tree_source_file("machine.dts", "/dts-v1/;\n#include \"part.dtsi\"\n/include/ \"plain.dtsi\"\n/ { #size-cells = <CELLS>; };", ""));
	if (tree_source_open(path, NULL, &errors, &fdt))
		errors_show(&errors);
	assert_non_null(fdt);
	assert_true(fdt_path_offset(fdt, "/part") > 0);
	assert_true(fdt_path_offset(fdt, "/plain") > 0);
	assert_int_equal(fdt_size_cells(fdt, 0), 2);
	free(fdt);
	assert_int_equal(errors.count, 0);

	/* An error in one has its own name and line. */
	tree_source_file("part.dtsi", "/ { part { };\n a = ; };", "");
	assert_int_equal(tree_source_open(path, NULL, &errors, &fdt), -EINVAL);
	assert_true(errors_say(&errors, "part.dtsi:2."));
	errors_finish(&errors);
	free(path);
}

static void include_of_nothing(void **state)
{
	struct errors errors = { 0 };
	void *fdt;

	assert_int_equal(tree_source_open(tree_source_file("machine.dts", "/dts-v1/;\n#include <dt-bindings/nothing.h>\n/ { };", ""), NULL, &errors, &fdt), -EINVAL);
	assert_true(errors_say(&errors, "cpp: "));
	assert_true(errors_say(&errors, "machine.dts: files of #include are sought in "));
	errors_finish(&errors);
}

static void without_cpp(void **state)
{
	char *old = strdup(getenv("PATH"));
	struct errors errors = { 0 };
	void *fdt;

	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(tree_source_open(tree_source_file("machine.dts", "/dts-v1/;\n#define A 1\n/ { };", ""), NULL, &errors, &fdt), -EINVAL);
	setenv("PATH", old, 1);
	free(old);
	assert_int_equal(errors.count, 1);
	assert_true(errors_say(&errors, "apt-get install cpp; or write /include/ \"FILE\""));
	errors_finish(&errors);
}

/* cpp would take such a name for options. */
static void a_name_is_no_option(void **state)
{
	const char *path = tree_source_file("-E.dts", "/dts-v1/;\n#define A 1\n/ { };", "");
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct errors errors = { 0 };
	char folder[256];
	void *fdt = NULL;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	assert_int_equal(chdir(folder), 0);
	if (tree_source_open("-E.dts", NULL, &errors, &fdt))
		errors_show(&errors);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_non_null(fdt);
	free(fdt);
	errors_finish(&errors);
}

static void deletes(void **state)
{
	static const char source[] =
		"/dts-v1/;\n"
		"/plugin/; // /delete-node/ in a comment\n"
		"/* /delete-property/\n"
		"   over lines */\n"
		"&{/part} { /delete-property/ a; b = \"/delete-node/ \\\" /delete-node/\"; };\n"
		"&{/} { /delete-node/ part; };\n";
	char *base = strdup(tree_source_file("base.dts", "/dts-v1/; / { part { a; c; /delete-property/ c; }; };", ""));
	const char *overlay = tree_source_file("del.dtso", source, "");
	struct errors errors = { 0 };
	void *fdt = NULL;

	if (tree_source_open(base, overlay, &errors, &fdt))
		errors_show(&errors);
	assert_non_null(fdt);
	/* dtc deletes nothing here; so warnings say that. */
	assert_non_null(fdt_getprop(fdt, fdt_path_offset(fdt, "/part"), "a", NULL));
	assert_int_equal(errors.count, 2);
	assert_false(errors_any(&errors));
	assert_true(errors_say(&errors, "del.dtso: line 5: /delete-property/ takes nothing from the tree"));
	assert_true(errors_say(&errors, "del.dtso: line 6: /delete-node/ takes nothing from the tree"));
	assert_true(errors_say(&errors, "write status = \"disabled\" in it"));
	errors_finish(&errors);
	free(fdt);
	free(base);
}

/* Ends in the middle of whatever it is. */
static void cut_off(void **state)
{
	static const char source[] = "/plugin/; /* /delete-node/ */ \"a\\\"b\" // c\n/delete-node/ a;";
	struct errors errors = { 0 };

	for (size_t len = 0; len < sizeof(source); len++) {
		char *part = strndup(source, len);

		tree_source_check_deletes("cut", part, &errors);
		tree_source_needs_cpp(part);
		free(part);
	}
	assert_true(errors.count > 0);
	errors_finish(&errors);
}

static int discard(void **state)
{
	tree_source_finish();
	return 0;
}

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(needs_cpp), TEST(included), TEST(include_of_nothing), TEST(without_cpp), TEST(a_name_is_no_option),
		TEST(deletes), TEST(cut_off),
	};

	return cmocka_run_group_tests_name("tree-source", tests, NULL, discard);
}
