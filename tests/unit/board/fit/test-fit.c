/* SPDX-License-Identifier: Apache-2.0 */
/* What a FIT holds, and structures that no tool writes: each is refused with words that name the node. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"

static struct builder b;

/* What a test makes of the usual image, instead of what it has; NULL: nothing. */
static struct {
	void (*in_kernel)(void), (*behind_kernel_data)(void), (*in_hash)(void), (*in_images)(void),
		(*in_configuration)(void), (*in_configurations)(void), (*in_root)(void),
		(*behind_root)(void);
	const char *type, *arch, *compression; /* "": none */
	bool no_data;
} also;

static void call(void (*function)(void))
{
	if (function)
		function();
}

static void put_unless_empty(const char *name, const char *value)
{
	if (*value)
		builder_string(&b, name, value);
}

static struct blob usual(void)
{
	builder_begin(&b, "");
	builder_string(&b, "description", "all of it");
	builder_begin(&b, "images");
	builder_begin(&b, "kernel-1");
	builder_string(&b, "description", "a kernel");
	put_unless_empty("type", also.type ? also.type : "kernel");
	put_unless_empty("arch", also.arch ? also.arch : "arm64");
	builder_string(&b, "os", "linux");
	put_unless_empty("compression", also.compression ? also.compression : "none");
	builder_cell(&b, "load", 0x40200000);
	builder_property(&b, "entry", "\0\0\0\1\x40\x20\0\0", 8);
	call(also.in_kernel);
	if (!also.no_data)
		builder_property(&b, "data", "kernel's data", 13);
	call(also.behind_kernel_data);
	builder_begin(&b, "note");
	call(also.in_hash);
	builder_end(&b);
	builder_end(&b);
	call(also.in_images);
	builder_begin(&b, "fdt-1");
	builder_string(&b, "type", "flat_dt");
	builder_property(&b, "data", "a tree", 6);
	builder_end(&b);
	builder_begin(&b, "fdt-2");
	builder_string(&b, "type", "flat_dt");
	builder_property(&b, "data", "overlay", 7);
	builder_end(&b);
	builder_begin(&b, "ramdisk-1");
	builder_string(&b, "type", "ramdisk");
	builder_string(&b, "compression", "gzip");
	builder_property(&b, "data", "files", 5);
	builder_end(&b);
	builder_end(&b);
	builder_begin(&b, "configurations");
	builder_string(&b, "default", "conf-1");
	call(also.in_configurations);
	builder_begin(&b, "conf-1");
	builder_string(&b, "kernel", "kernel-1");
	builder_property(&b, "fdt", "fdt-1\0fdt-2", 12);
	builder_string(&b, "ramdisk", "ramdisk-1");
	builder_property(&b, "compatible", "a,one\0a,two", 12);
	call(also.in_configuration);
	builder_end(&b);
	builder_begin(&b, "conf-2");
	builder_string(&b, "description", "the kernel alone");
	builder_string(&b, "kernel", "kernel-1");
	builder_end(&b);
	builder_end(&b);
	call(also.in_root);
	builder_end(&b);
	call(also.behind_root);
	return builder_finish(&b);
}

/* The usual image with `also` is refused, and it is forgotten. */
static void is_refused(const char *what)
{
	struct blob blob = usual();

	refuses(&blob, "conf-1", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

static void is_taken(const char *what)
{
	struct blob blob = usual();

	takes(&blob, "conf-1", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

/* ---- What is there ---- */

static struct fit *open_blob(const struct blob *blob)
{
	int fd = blob_fd(blob);
	struct fit *fit;

	errors_finish(&maker_errors);
	assert_int_equal(fit_open(fd, "x.itb", &maker_errors, &fit), 0);
	close(fd);
	return fit;
}

static void all_of_it(void **state)
{
	static struct fit_configuration found;
	struct blob blob = usual();
	struct fit *fit = open_blob(&blob);
	const char *compatible;

	assert_true(fit_has_magic(blob.data, 4));
	assert_false(fit_has_magic(blob.data, 3));
	assert_string_equal(fit_description(fit), "all of it");
	assert_int_equal(fit_configuration_count(fit), 2);
	assert_string_equal(fit_configuration_name(fit, 0), "conf-1");
	assert_string_equal(fit_configuration_name(fit, 1), "conf-2");
	assert_string_equal(fit_configuration_description(fit, 0), "");
	assert_string_equal(fit_configuration_description(fit, 1), "the kernel alone");
	assert_string_equal(fit_default(fit), "conf-1");
	compatible = fit_configuration_compatible(fit, 0, NULL);
	assert_string_equal(compatible, "a,one");
	compatible = fit_configuration_compatible(fit, 0, compatible);
	assert_string_equal(compatible, "a,two");
	assert_null(fit_configuration_compatible(fit, 0, compatible));
	assert_null(fit_configuration_compatible(fit, 1, NULL));

	assert_int_equal(fit_configuration(fit, NULL, &maker_errors, &found), 0);
	assert_string_equal(found.name, "conf-1");
	assert_string_equal(found.kernel.name, "kernel-1");
	assert_string_equal(found.kernel.description, "a kernel");
	assert_string_equal(found.kernel.os, "linux");
	assert_int_equal(found.kernel.type, FIT_KERNEL);
	assert_int_equal(found.kernel.compression, FIT_NONE);
	assert_true(found.kernel.has_load && found.kernel.has_entry);
	assert_int_equal(found.kernel.load, 0x40200000);
	assert_int_equal(found.kernel.entry, 0x140200000);
	assert_int_equal(found.kernel.data.size, 13);
	assert_memory_equal(blob.data + found.kernel.data.offset, "kernel's data", 13);
	assert_true(found.has_ramdisk);
	assert_string_equal(found.ramdisk.name, "ramdisk-1");
	assert_int_equal(found.ramdisk.compression, FIT_GZIP);
	assert_false(found.ramdisk.has_load || found.ramdisk.has_entry);
	assert_int_equal(found.fdt_count, 2);
	assert_string_equal(found.fdts[0].name, "fdt-1");
	assert_string_equal(found.fdts[1].name, "fdt-2");
	assert_memory_equal(blob.data + found.fdts[1].data.offset, "overlay", 7);

	assert_int_equal(fit_configuration(fit, "conf-2", &maker_errors, &found), 0);
	assert_false(found.has_ramdisk);
	assert_int_equal(found.fdt_count, 0);
	/* Whole names: not what begins so, not a path. */
	assert_int_equal(fit_configuration(fit, "conf", &maker_errors, &found), -EINVAL);
	assert_string_equal(maker_errors.lines[0],
		"x.itb: has no configuration \"conf\"; there are: conf-1, conf-2");
	assert_int_equal(fit_configuration(fit, "conf-1/", &maker_errors, &found), -EINVAL);
	assert_int_equal(fit_configuration(fit, "", &maker_errors, &found), -EINVAL);
	fit_close(fit);
	blob_free(&blob);
}

/* As Linux's scripts/make_fit.py writes it, with a node and a configuration for each of so many boards. */
static struct blob of_linux(unsigned boards)
{
	char name[60];

	builder_begin(&b, "");
	builder_string(&b, "description", "Linux with devicetree set");
	builder_cell(&b, "#address-cells", 1);
	builder_cell(&b, "timestamp", 1);
	builder_begin(&b, "images");
	builder_begin(&b, "kernel");
	builder_string(&b, "type", "kernel_noload");
	builder_string(&b, "arch", "arm64");
	builder_string(&b, "os", "linux");
	builder_string(&b, "compression", "zstd");
	builder_property(&b, "data", "x", 1);
	builder_cell(&b, "load", 0);
	builder_cell(&b, "entry", 0);
	builder_end(&b);
	for (unsigned i = 1; i <= boards; i++) {
		snprintf(name, sizeof(name), "fdt-%u", i);
		builder_begin(&b, name);
		builder_string(&b, "description", "A Board of Some Maker's, Revision 2");
		builder_string(&b, "type", "flat_dt");
		builder_string(&b, "arch", "arm64");
		builder_string(&b, "compression", "gzip");
		builder_string(&b, "compatible", "maker,board-of-some-name");
		builder_property(&b, "data", name, strlen(name));
		builder_end(&b);
	}
	builder_end(&b);
	builder_begin(&b, "configurations");
	for (unsigned i = 1; i <= boards; i++) {
		snprintf(name, sizeof(name), "conf-%u", i);
		builder_begin(&b, name);
		snprintf(name, sizeof(name), "maker,board-%u", i);
		builder_string(&b, "compatible", name);
		builder_string(&b, "description", "A Board of Some Maker's, Revision 2");
		snprintf(name, sizeof(name), "fdt-%u", i);
		builder_string(&b, "fdt", name);
		builder_string(&b, "kernel", "kernel");
		builder_end(&b);
	}
	builder_end(&b);
	builder_end(&b);
	return builder_finish(&b);
}

static void linux_image(void **state)
{
	struct blob blob = of_linux(1);

	/* The only configuration is the default one. */
	takes(&blob, NULL, NULL,
		"conf-1 signed by []: kernel: type 1, zstd, os linux, load 1 0, entry 1 0, 1 bytes");
	blob_free(&blob);
	blob = of_linux(2000);
	refuses(&blob, NULL, NULL,
		"x.itb: has no default configuration: name one; there are: conf-1, conf-2, conf-3, conf-4, conf-5, conf-6, conf-7, conf-8, conf-9, conf-10, conf-11, conf-12, and 1988 more");
	takes(&blob, "conf-2000", NULL, "fdt-2000: type 3, gzip");
	blob_free(&blob);
}

/* ---- What an image may be ---- */

static void compressions(void **state)
{
	static const char *const known[] = { "none", "gzip", "zstd", "xz", "lzma", "lz4" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char what[60];

		assert_string_equal(fit_compression_name((enum fit_compression)i), known[i]);
		also.compression = known[i];
		snprintf(what, sizeof(what), "kernel-1: type 0, %s,", known[i]);
		is_taken(what);
	}
	also.compression = "";
	is_taken("kernel-1: type 0, none,");
	also.compression = "bzip2";
	is_refused(
		"x.itb: /images/kernel-1: compression: \"bzip2\" is none of none, gzip, zstd, xz, lzma and lz4");
	also.compression = "gzip2";
	is_refused("\"gzip2\" is none of");
}

static void types_and_architectures(void **state)
{
	also.type = "kernel_noload";
	is_taken("kernel-1: type 1,");
	also.type = "standalone";
	is_refused(
		"/images/kernel-1: type: \"standalone\" where a configuration has its kernel: needed is \"kernel\" or \"kernel_noload\"");
	also.type = "ramdisk";
	is_refused("\"ramdisk\" where a configuration has its kernel");
	also.type = "";
	is_refused("\"\" where a configuration has its kernel");
	also.arch = "arm";
	is_refused("/images/kernel-1: arch: it is for arm; needed is \"arm64\"");
	also.arch = "x86_64";
	is_refused("it is for x86_64");
	also.arch = "";
	is_refused("/images/kernel-1: arch: is missing: write arch = \"arm64\"");
}

static void put_cipher(void)
{
	builder_begin(&b, "cipher");
	builder_end(&b);
}

static void put_long_load(void)
{
	builder_property(&b, "entry2", "", 0);
}

static void put_load_of_12(void)
{
	builder_begin(&b, "kernel-2");
	builder_string(&b, "type", "kernel");
	builder_string(&b, "arch", "arm64");
	builder_property(&b, "load", "123456789012", 12);
	builder_property(&b, "data", "x", 1);
	builder_end(&b);
}

static void put_kernel_2(void)
{
	builder_begin(&b, "conf-3");
	builder_string(&b, "kernel", "kernel-2");
	builder_end(&b);
}

static void images_that_cannot_be(void **state)
{
	struct blob blob;

	also.in_images = NULL;
	also.in_hash = NULL;
	also.in_kernel = put_long_load;
	is_taken("kernel-1");
	also.in_images = put_load_of_12;
	also.in_configurations = put_kernel_2;
	blob = usual();
	refuses(&blob, "conf-3", NULL,
		"/images/kernel-2: load: 12 bytes where a number of 4 or 8 belongs");
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
	also.behind_kernel_data = put_cipher;
	is_refused("/images/kernel-1: cipher: the image is encrypted");
}

/* ---- What a configuration may name ---- */

static const char *name_of_it;
static const char *value_of_it;
static size_t len_of_it;

static void put_it(void)
{
	builder_property(&b, name_of_it, value_of_it, len_of_it);
}

static void conf_3(void)
{
	builder_begin(&b, "conf-3");
	builder_string(&b, "kernel", "kernel-1");
	put_it();
	builder_end(&b);
}

static void names_refused(const char *name, const char *value, size_t len, const char *what)
{
	struct blob blob;

	name_of_it = name;
	value_of_it = value;
	len_of_it = len;
	also.in_configurations = conf_3;
	blob = usual();
	refuses(&blob, "conf-3", NULL, what);
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

static void only_ramdisk(void)
{
	builder_begin(&b, "conf-3");
	builder_string(&b, "ramdisk", "ramdisk-1");
	builder_end(&b);
}

static void references(void **state)
{
	static const char *const unsupported[] = { "firmware", "loadables", "fpga", "setup",
		"standalone" };
	char many[40 * 6];
	struct blob blob;

	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
		char what[80];

		snprintf(what, sizeof(what), "/configurations/conf-3: %s: is not supported",
			unsupported[i]);
		names_refused(unsupported[i], "kernel-1", 9, what);
	}
	names_refused("fdt", "fdt-3", 6, "/configurations/conf-3: fdt: /images has no \"fdt-3\"");
	names_refused(
		"fdt", "fdt-1\0fdt-3", 12, "/configurations/conf-3: fdt: /images has no \"fdt-3\"");
	/* Neither a path, nor what is elsewhere. */
	names_refused("fdt", "../images/fdt-1", 16, "/images has no \"../images/fdt-1\"");
	names_refused("fdt", "kernel-1/note", 14, "/images has no");
	names_refused("fdt", "/images/fdt-1", 14, "/images has no");
	names_refused("fdt", "conf-1", 7, "/images has no \"conf-1\"");
	names_refused("fdt", "fdt", 4, "/images has no \"fdt\"");
	names_refused("fdt", "fdt-1", 5, "names of images belong here");
	names_refused("fdt", "", 0, "names of images belong here");
	names_refused("fdt", "", 1, "/images has no \"\"");
	names_refused("ramdisk", "fdt-1", 6,
		"/images/fdt-1: type: \"flat_dt\" where a configuration has its ramdisk");
	names_refused("fdt", "ramdisk-1", 10,
		"/images/ramdisk-1: type: \"ramdisk\" where a configuration has its fdt");
	names_refused(
		"ramdisk", "ramdisk-1\0ramdisk-1", 20, "ramdisk: it names more images than 1");
	for (unsigned i = 0; i <= FIT_FDTS; i++)
		memcpy(many + 6 * i, "fdt-1", 6);
	names_refused("fdt", many, 6 * (FIT_FDTS + 1), "fdt: it names more images than 32");
	also.in_configurations = only_ramdisk;
	blob = usual();
	refuses(&blob, "conf-3", NULL, "/configurations/conf-3: kernel: is missing");
	blob_free(&blob);
	memset(&also, 0, sizeof(also));
}

/* ---- Where data is ---- */

static uint32_t offset_of_it, position_of_it, size_of_it;
#define NONE 0xabcdefff

static void put_place(void)
{
	if (offset_of_it != NONE)
		builder_cell(&b, "data-offset", offset_of_it);
	if (position_of_it != NONE)
		builder_cell(&b, "data-position", position_of_it);
	if (size_of_it != NONE)
		builder_cell(&b, "data-size", size_of_it);
}

/* The kernel's data with these properties, with 100 bytes behind the tree; and with `data`. */
static struct blob placed(uint32_t offset, uint32_t position, uint32_t size, bool inside)
{
	struct blob blob;

	offset_of_it = offset;
	position_of_it = position;
	size_of_it = size;
	also.in_kernel = put_place;
	also.no_data = !inside;
	blob = usual();
	memset(&also, 0, sizeof(also));
	blob.data = realloc(blob.data, blob.len + 100);
	assert_non_null(blob.data);
	for (unsigned i = 0; i < 100; i++)
		blob.data[blob.len++] = (uint8_t)i;
	return blob;
}

static void data_outside(void **state)
{
	static const struct {
		uint32_t offset, position, size;
		bool inside;
		const char *what;
	} wrong[] = {
		{ NONE, NONE, NONE, false, "/images/kernel-1: it has no data" },
		{ NONE, NONE, 10, false, "it has no data" },
		{ 0, NONE, NONE, false, "/images/kernel-1: data-size: is missing" },
		{ NONE, 5000, NONE, false, "data-size: is missing" },
		{ 0, NONE, 10, true,
			"it has more than one of data, data-offset and data-position" },
		{ 0, 5000, 10, false, "it has more than one of" },
		{ 0, NONE, 0, false, "its data is empty" },
		{ 0, NONE, 102, false, "the file is truncated" },
		{ 101, NONE, 1, false, "the file is truncated" },
		{ UINT32_MAX, NONE, 10, false, "the file is truncated" },
		{ UINT32_MAX, NONE, UINT32_MAX, false, "the file is truncated" },
		{ 0, NONE, UINT32_MAX, false, "the file is truncated" },
		{ INT32_MAX, NONE, INT32_MAX, false, "the file is truncated" },
		{ NONE, UINT32_MAX, UINT32_MAX, false, "the file is truncated" },
		{ NONE, 0, 10, false, "/images/kernel-1: data-position: 0x0 is within the tree" },
		{ NONE, 100, 10, false, "data-position: 0x64 is within the tree" },
	};
	struct blob blob;
	uint32_t total;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		blob = placed(wrong[i].offset, wrong[i].position, wrong[i].size, wrong[i].inside);
		refuses(&blob, NULL, NULL, wrong[i].what);
		blob_free(&blob);
	}
	blob = placed(0, NONE, 97, false);
	takes(&blob, NULL, NULL, "97 bytes");
	blob_free(&blob);
	/* As many bytes as there are: the tree's end is rounded up to 4. */
	blob = placed(0, NONE, 1, false);
	total = (uint32_t)blob.len - 100;
	blob_free(&blob);
	blob = placed(0, NONE, (uint32_t)(100 - (align_up(total, 4) - total)), false);
	takes(&blob, NULL, NULL, "kernel-1");
	blob_free(&blob);
	blob = placed(0, NONE, (uint32_t)(101 - (align_up(total, 4) - total)), false);
	refuses(&blob, NULL, NULL, "the file is truncated");
	blob_free(&blob);
	blob = placed(NONE, 5000, 1, false);
	total = (uint32_t)blob.len - 100;
	blob_free(&blob);
	blob = placed(NONE, total, 100, false);
	takes(&blob, NULL, NULL, "100 bytes");
	blob_free(&blob);
	blob = placed(NONE, total - 1, 100, false);
	refuses(&blob, NULL, NULL, "is within the tree");
	blob_free(&blob);
	blob = placed(NONE, total + 1, 100, false);
	refuses(&blob, NULL, NULL, "the file is truncated");
	blob_free(&blob);
}

/* ---- Structures that no tool writes ---- */

static char long_name[200];

static void put_node(void)
{
	builder_begin(&b, name_of_it);
	builder_end(&b);
}

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

static void put_large(void)
{
	static char large[2 << 20];

	builder_property(&b, name_of_it, large, len_of_it);
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

static void put_at(void)
{
	builder_begin(&b, "a@1");
	builder_end(&b);
}

/* A message does not repeat what is as long as a file. */
static void long_values(void **state)
{
	static char text[100000], what[600];

	memset(text, 'x', sizeof(text) - 1);
	also.compression = text;
	is_refused("/images/kernel-1: compression: one string of at most 127 bytes belongs here");
	also.type = text;
	is_refused("/images/kernel-1: type: one string of at most 127 bytes belongs here");
	snprintf(what, sizeof(what), "/images has no \"%.127s\"", text);
	names_refused("fdt", text, sizeof(text), what);
	for (size_t i = 0; i < maker_errors.count; i++)
		assert_true(strlen(maker_errors.lines[i]) < 600);
}

static bool probe(const struct blob *blob)
{
	int fd = blob_fd(blob);
	bool is_fit = fit_probe(fd);

	close(fd);
	return is_fit;
}

static void fit_or_tree(void **state)
{
	struct blob blob = usual();

	assert_true(probe(&blob));
	blob.len--;
	assert_false(probe(&blob));
	blob_free(&blob);
	builder_begin(&b, "");
	builder_begin(&b, "images@0");
	builder_end(&b);
	builder_begin(&b, "configurations");
	builder_end(&b);
	builder_end(&b);
	blob = builder_finish(&b);
	assert_false(probe(&blob));
	blob_free(&blob);
	/* What is wrong with it is said by fit_open(). Its data may be large. */
	name_of_it = "data";
	len_of_it = 2 << 20;
	also.in_root = put_at;
	also.no_data = true;
	also.in_kernel = put_large;
	blob = usual();
	assert_true(probe(&blob));
	refuses(&blob, NULL, NULL, "has an '@' in its name");
	blob_free(&blob);
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

/* A test that fails leaves it as it was. */
static int clear(void **state)
{
	memset(&also, 0, sizeof(also));
	b.structure_len = b.strings_len = 0;
	return 0;
}

static int forget(void **state)
{
	errors_finish(&maker_errors);
	return 0;
}

#define TEST(test) cmocka_unit_test_setup(test, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it),
		TEST(linux_image),
		TEST(compressions),
		TEST(types_and_architectures),
		TEST(images_that_cannot_be),
		TEST(references),
		TEST(data_outside),
		TEST(names_of_nodes),
		TEST(roots_and_ends),
		TEST(what_is_there_twice),
		TEST(bounds),
		TEST(long_values),
		TEST(fit_or_tree),
		TEST(headers),
		TEST(truncated),
		TEST(odd_properties),
		TEST(names_without_an_end),
	};

	return cmocka_run_group_tests_name("fit", tests, NULL, forget);
}
