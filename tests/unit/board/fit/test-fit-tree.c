/* SPDX-License-Identifier: Apache-2.0 */
/* Structures that no tool writes: each is refused with words that name the node. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-usual.h"

static char long_name[200];

static void names_of_nodes(void **state)
{
	static const char *const wrong[] = { "kernel-1@1", "a@", "@", "a/b", "a b", "a\n", "\xff",
		"" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *what = strchr(wrong[i], '@') ? "has an '@' in its name"
				   : *wrong[i]		 ? "a node's name is no name"
							 : "a node without a name";

		name_of_it = wrong[i];
		also.in_images = put_node;
		is_refused(what);
		also.in_configurations = put_node;
		is_refused(what);
		also.in_root = put_node;
		is_refused(what);
		also.in_hash = put_node;
		is_refused(what);
	}
	memset(long_name, 'x', FIT_TREE_NAME);
	name_of_it = long_name;
	also.in_images = put_node;
	is_taken("conf-1");
	long_name[FIT_TREE_NAME] = 'x';
	also.in_images = put_node;
	is_refused("x.itb: /images: a node's name is longer than 127 bytes");
	memset(long_name, 'x', sizeof(long_name) - 1);
	also.in_images = put_node;
	is_refused("a node's name is longer than 127 bytes");
}

static void put_root(void)
{
	builder_begin(&b, "");
	builder_end(&b);
}

static void put_property(void)
{
	builder_string(&b, "x", "y");
}

static void put_end(void)
{
	builder_end(&b);
}

static void put_nop(void)
{
	builder_tag(&b, FDT_NOP);
}

static void put_wrong_tag(void)
{
	builder_tag(&b, 5);
}

static void put_end_of_tree(void)
{
	builder_tag(&b, FDT_END);
}

static void put_data_again(void)
{
	builder_property(&b, "data", "kernel's data", 13);
}

static void put_type_again(void)
{
	builder_string(&b, "type", "kernel");
}

/* The same name at another place among the names. */
static void put_type_by_another_name(void)
{
	builder_tag(&b, FDT_PROP);
	builder_tag(&b, 0);
	builder_tag(&b, (uint32_t)b.strings_len);
	memcpy(b.strings + b.strings_len, "type", 5);
	b.strings_len += 5;
}

static void roots_and_ends(void **state)
{
	also.behind_root = put_root;
	is_refused("x.itb: /: the tree has two roots");
	also.behind_root = put_property;
	is_refused("something follows the root");
	also.behind_root = put_end;
	is_refused("something follows the root");
	also.behind_root = put_nop;
	is_refused("something follows the root");
	also.behind_root = put_end_of_tree;
	is_refused("4 bytes follow the tree's end");
	also.in_root = put_end_of_tree;
	is_refused("x.itb: /: the tree ends within this node");
	also.in_images = put_end_of_tree;
	is_refused("x.itb: /images: the tree ends within this node");
	also.in_images = put_wrong_tag;
	is_refused("x.itb: /images: 0x5 is no part of a tree");
	also.in_images = put_end;
	is_refused("");
	also.in_images = also.in_configuration = also.in_kernel = also.in_root = put_nop;
	is_taken("conf-1");
	also.in_root = put_property;
	is_refused("x.itb: /: a property is behind a subnode");
	also.in_images = put_property;
	is_refused("x.itb: /images: a property is behind a subnode");
	builder_begin(&b, "name");
	builder_end(&b);
	{
		struct blob blob = builder_finish(&b);

		refuses(&blob, NULL, NULL, "the root has a name");
		blob_free(&blob);
		put_property();
		blob = builder_finish(&b);
		refuses(&blob, NULL, NULL, "a property is outside of the root");
		blob_free(&blob);
		put_end();
		blob = builder_finish(&b);
		refuses(&blob, NULL, NULL, "a node ends that has not begun");
		blob_free(&blob);
		blob = builder_finish(&b);
		refuses(&blob, NULL, NULL, "the tree ends within this node");
		blob_free(&blob);
		put_root();
		blob = builder_finish(&b);
		refuses(&blob, NULL, NULL, "it has no /images");
		blob_free(&blob);
		builder_begin(&b, "");
		builder_begin(&b, "images");
		builder_end(&b);
		builder_begin(&b, "configurations");
		builder_end(&b);
		builder_end(&b);
		blob = builder_finish(&b);
		refuses(&blob, NULL, NULL, "has no configurations");
		blob_free(&blob);
	}
}

static void what_is_there_twice(void **state)
{
	also.behind_kernel_data = put_data_again;
	is_refused("/images/kernel-1: it has the property data twice");
	also.in_kernel = put_type_again;
	is_refused("/images/kernel-1: it has the property type twice");
	also.in_kernel = put_type_by_another_name;
	is_refused("/images/kernel-1: it has the property type twice");
	name_of_it = "kernel-1";
	also.in_images = put_node;
	is_refused("/images/kernel-1: two nodes have this name");
	name_of_it = "images";
	also.in_root = put_node;
	is_refused("/images: two nodes have this name");
	name_of_it = "conf-1";
	also.in_configurations = put_node;
	is_refused("/configurations/conf-1: two nodes have this name");
	/* A node's name may be in two nodes. */
	name_of_it = "note";
	also.in_images = put_node;
	is_taken("conf-1");
}

static unsigned how_many;

static void put_deep(void)
{
	for (unsigned i = 0; i < how_many; i++)
		builder_begin(&b, "x");
	for (unsigned i = 0; i < how_many; i++)
		builder_end(&b);
}

static void put_wide(void)
{
	for (unsigned i = 0; i < how_many; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%u", i);
		builder_begin(&b, name);
		builder_end(&b);
	}
}

static void put_properties(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };

	for (unsigned i = 0; i < how_many; i++) {
		char name[20];

		snprintf(name, sizeof(name), "n%u", i);
		builder_begin(&b, name);
		for (size_t p = 0; p < ARRAY_SIZE(names); p++)
			builder_property(&b, names[p], "", 0);
		builder_end(&b);
	}
}

static void bounds(void **state)
{
	how_many = 31;
	also.in_root = put_deep;
	is_taken("conf-1");
	how_many = 32;
	also.in_root = put_deep;
	is_refused("/x/x/x: nodes are within each other 33 deep");
	how_many = 40000;
	also.in_root = put_deep;
	is_refused("nodes are within each other 33 deep");
	how_many = FIT_TREE_NODES - 10;
	also.in_root = put_wide;
	is_taken("conf-1");
	how_many = FIT_TREE_NODES;
	also.in_root = put_wide;
	is_refused("more than 16384 nodes");
	how_many = 13107;
	also.in_root = put_properties;
	is_refused("more than 65536 properties");
	how_many = 13100;
	also.in_root = put_properties;
	is_taken("conf-1");
	/* Data that is left out may be large; what is kept may not. */
	also.no_data = true;
	also.in_kernel = put_large;
	name_of_it = "data";
	len_of_it = 2 << 20;
	is_taken("2097152 bytes");
	also.in_kernel = put_large;
	name_of_it = "date";
	is_refused("/images/kernel-1: the tree is larger than 2 MiB, without the images' data");
	also.in_configuration = put_large;
	name_of_it = "data";
	is_refused("/configurations/conf-1: the tree is larger than 2 MiB");
	also.in_hash = put_large;
	is_refused("/images/kernel-1/note: the tree is larger than 2 MiB");
	len_of_it = (2 << 20) - 4096;
	also.in_hash = put_large;
	is_taken("conf-1");
}

/* Headers' fields that wrap, overlap or lead beyond the file. */
static void headers(void **state)
{
	static const uint32_t values[] = { 0, 1, 3, 39, 40, 1 << 20, INT32_MAX, UINT32_MAX - 3,
		UINT32_MAX };
	struct blob blob = usual();
	unsigned taken = 0;

	/* magic, totalsize, off_dt_struct, off_dt_strings, ..., version, last_comp_version, ..., sizes */
	for (unsigned field = 0; field < 10; field++)
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			struct blob copy = blob_copy(&blob);
			char *text;

			fdt32_st(copy.data + 4 * field, values[i]);
			text = judge(&copy, NULL, NULL);
			/* The block of reserved memory and the boot CPU are not looked at. */
			if (field == 4 || field == 7)
				assert_non_null(text);
			taken += !!text;
			free(text);
			blob_free(&copy);
		}
	/* Beside those: a newer version that is compatible, and an older last_comp_version. */
	assert_in_range(taken, 2 * ARRAY_SIZE(values), 2 * ARRAY_SIZE(values) + 12);
	blob_free(&blob);
}

/* Cut off anywhere, also within data; and no tree at all. */
static void truncated(void **state)
{
	struct blob blob = usual();
	size_t whole = blob.len;
	int ends[2];
	struct fit *fit;

	for (blob.len = 0; blob.len < whole; blob.len++)
		refuses(&blob, NULL, NULL, "");
	blob.len = whole;
	blob.data[0] ^= 1;
	refuses(&blob, NULL, NULL, "is no FIT image and no tree");
	blob_free(&blob);
	assert_int_equal(pipe(ends), 0);
	errors_finish(&maker_errors);
	assert_int_equal(fit_open(ends[0], "x.itb", &maker_errors, &fit), -EINVAL);
	assert_string_equal(maker_errors.lines[0], "x.itb: is not a regular file");
	close(ends[0]);
	close(ends[1]);
}

static uint32_t len_of_property, offset_of_name;

static void put_odd_property(void)
{
	builder_tag(&b, FDT_PROP);
	builder_tag(&b, len_of_property);
	builder_tag(&b, offset_of_name);
}

static void odd_properties(void **state)
{
	static const uint32_t lens[] = { UINT32_MAX, UINT32_MAX - 2, UINT32_MAX - 3, INT32_MAX,
		100000 };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		len_of_property = lens[i];
		offset_of_name = 0;
		also.in_kernel = put_odd_property;
		is_refused("bytes goes beyond the tree's end");
		len_of_property = 0;
		offset_of_name = lens[i];
		also.in_kernel = put_odd_property;
		is_refused("/images/kernel-1: the name of a property is at offset");
	}
	/* The end of a name is a name; behind the last one there is none. */
	len_of_property = 0;
	offset_of_name = 2;
	also.in_kernel = put_odd_property;
	is_taken("conf-1");
	offset_of_name = 11;
	also.in_kernel = put_odd_property;
	is_refused("a property's name is empty");
	memset(long_name, 'x', FIT_TREE_NAME + 1);
	long_name[FIT_TREE_NAME + 1] = 0;
	name_of_it = long_name;
	value_of_it = "";
	len_of_it = 0;
	also.in_kernel = put_it;
	is_refused("a property's name is empty, or longer than 127 bytes");
}

/* Names without an end. */
static void names_without_an_end(void **state)
{
	struct blob blob = usual();
	fdt32_t *header = (fdt32_t *)blob.data;

	takes(&blob, NULL, NULL, "conf-1");
	header[8] = cpu_to_fdt32(fdt32_to_cpu(header[8]) - 1);
	refuses(&blob, NULL, NULL, "/configurations/conf-1: the name of a property is at offset");
	blob_free(&blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USUAL_TEST(names_of_nodes),
		USUAL_TEST(roots_and_ends),
		USUAL_TEST(what_is_there_twice),
		USUAL_TEST(bounds),
		USUAL_TEST(headers),
		USUAL_TEST(truncated),
		USUAL_TEST(odd_properties),
		USUAL_TEST(names_without_an_end),
	};

	return cmocka_run_group_tests_name("fit-tree", tests, NULL, usual_forget);
}
