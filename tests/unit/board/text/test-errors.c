/* SPDX-License-Identifier: Apache-2.0 */
/* The list of errors: what it retains, what counts, how it is printed; and names that are near. */
#include "tests/unit/helpers/unit.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/config.h"
#include "board/config/tree.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

static char *printed(const struct errors *errors)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	errors_print(errors, stream);
	fclose(stream);
	return text;
}

static void lines(void **state)
{
	struct errors errors = { 0 };
	char *text;

	assert_false(errors_any(&errors));
	warning_add(&errors, "/a", NULL, "odd %d", 1);
	assert_false(errors_any(&errors));
	error_add(&errors, "/a", "reg", "bad %d", 2);
	assert_true(errors_any(&errors));
	text = printed(&errors);
	assert_string_equal(text, "sluice: warning: /a: odd 1\nsluice: /a: reg: bad 2\n");
	free(text);
	errors_finish(&errors);
	assert_int_equal(errors.count, 0);
	assert_false(errors_any(&errors));
}

/* What a terminal would obey is not printed. */
static void control_characters(void **state)
{
	struct errors errors = { 0 };

	error_add(&errors, "/\x01", "\xc2\x9b", "\x1f \x7f~\xc3\xa4\n\x9b");
	assert_string_equal(errors.lines[0], "/?: ??: ? ?~\xc3\xa4??");
	errors_finish(&errors);
}

/* A hundred lines are retained; the rest is counted, and is an error. */
static void a_hundred(void **state)
{
	struct errors errors = { 0 };
	char *text;

	for (unsigned i = 0; i < 100; i++)
		error_add(&errors, "/", NULL, "%u", i);
	assert_int_equal(errors.count, 100);
	assert_int_equal(errors.dropped, 0);
	text = printed(&errors);
	assert_null(strstr(text, "more"));
	free(text);
	error_add(&errors, "/", NULL, "100");
	error_add(&errors, "/", NULL, "101");
	assert_int_equal(errors.count, 100);
	assert_int_equal(errors.dropped, 2);
	text = printed(&errors);
	assert_non_null(strstr(text, "sluice: /: 99\nsluice: and 2 more\n"));
	free(text);
	errors_finish(&errors);
}

static void an_error_behind_a_hundred_warnings(void **state)
{
	struct errors errors = { 0 };

	for (unsigned i = 0; i < 100; i++)
		warning_add(&errors, "/", NULL, "%u", i);
	assert_false(errors_any(&errors));
	warning_add(&errors, "/", NULL, "one that is dropped");
	assert_false(errors_any(&errors));
	error_add(&errors, "/", NULL, "an error that is dropped");
	assert_true(errors_any(&errors));
	assert_int_equal(errors.dropped, 2);
	errors_finish(&errors);
}

/* The same through a tree, which seeks no path of what would be dropped. */
static void a_tree_behind_a_hundred_warnings(void **state)
{
	uint64_t blob[32];
	struct errors errors = { 0 };
	const struct tree tree = { .fdt = blob, .errors = &errors };

	assert_int_equal(fdt_create_empty_tree(blob, sizeof(blob)), 0);
	for (unsigned i = 0; i < 100; i++)
		tree_warning(&tree, 0, "odd", "%u", i);
	assert_string_equal(errors.lines[99], "warning: /: odd: 99");
	tree_warning(&tree, 0, NULL, "one that is dropped");
	assert_int_equal(errors.dropped, 1);
	assert_false(errors_any(&errors));
	tree_error(&tree, 0, NULL, "an error that is dropped");
	assert_int_equal(errors.dropped, 2);
	assert_true(errors_any(&errors));
	errors_finish(&errors);
}

/* Two edits are near; of nine letters on three, of twelve four. */
static void near_names(void **state)
{
	static const char *const names[] = { "abcdefgh", "ijklmnopq", "rstuvwxyzABC", NULL };
	static const char *const both[] = { "reg", "red", NULL };
	static const struct {
		const char *name, *nearest;
	} all[] = {
		{ "abcdef", "abcdefgh" },     /* two are missing */
		{ "abcdefghXY", "abcdefgh" }, /* two are too many */
		{ "abcde", NULL },	      /* three are missing */
		{ "abcdefXY", "abcdefgh" },   /* two are others */
		{ "abcdeXYZ", NULL },	      /* three are */
		{ "ijklmnXYZ", "ijklmnopq" }, /* three of nine */
		{ "ijklmWXYZ", NULL },
		{ "rstuvwxyWXYZ", "rstuvwxyzABC" }, /* four of twelve */
		{ "rstuvwxVWXYZ", NULL },
	};
	char longest[129];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *nearest = nearest_name(all[i].name, names);

		if (!all[i].nearest != !nearest || (nearest && strcmp(nearest, all[i].nearest)))
			fail_msg("%s: %s", all[i].name, nearest ? nearest : "none");
	}
	/* Of two that are as near the first; an exact one before all. */
	assert_string_equal(nearest_name("ref", both), "reg");
	assert_string_equal(nearest_name("red", both), "red");
	memset(longest, 'a', sizeof(longest));
	longest[128] = '\0';
	assert_null(nearest_name(longest, (const char *const[]){ longest + 1, NULL }));
	assert_non_null(
		nearest_name(longest + 1, (const char *const[]){ longest, longest + 1, NULL }));
	assert_null(nearest_name(longest + 1, (const char *const[]){ longest, NULL }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(a_hundred),
		cmocka_unit_test(an_error_behind_a_hundred_warnings),
		cmocka_unit_test(a_tree_behind_a_hundred_warnings),
		cmocka_unit_test(near_names),
	};

	return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
