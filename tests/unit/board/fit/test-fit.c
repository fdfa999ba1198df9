/* SPDX-License-Identifier: Apache-2.0 */
/* What a FIT holds, and what Sluice cannot start of it. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-usual.h"

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

/* ---- Versions ---- */

static const char *product; /* of the configuration; NULL: none */
static size_t version_len;  /* bytes of its version, of 0x01020304 each 4 */

static void put_version(void)
{
	if (product)
		builder_property(&b, "sluice,product", product, strlen(product) + 1);
	if (version_len)
		builder_property(&b, "sluice,version", "\1\2\3\4\1\2\3\4", version_len);
}

static void versions(void **state)
{
	static const struct {
		const char *product;
		size_t version_len;
		const char *says; /* NULL: it is good */
	} cases[] = {
		{ "gateway", 4, NULL },
		{ NULL, 0, NULL },
		{ "gateway", 0, "/configurations/conf-1: sluice,version: is missing" },
		{ NULL, 4, "/configurations/conf-1: sluice,product: is missing" },
		{ "gateway", 8, "/configurations/conf-1: sluice,version: " },
		{ "gateway", 3, "/configurations/conf-1: sluice,version: " },
		{ "", 4, "/configurations/conf-1: sluice,product: " },
		{ "../gateway", 4, "sluice,product: is no name of 1 to 63 letters" },
		{ ".gateway", 4, "sluice,product: is no name of 1 to 63 letters" },
		{ "a\nb", 4, "sluice,product: is no name of 1 to 63 letters" },
		{ "1234567890123456789012345678901234567890123456789012345678901234", 4,
			"sluice,product: is no name of 1 to 63 letters" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		product = cases[i].product;
		version_len = cases[i].version_len;
		also.in_configuration = put_version;
		if (cases[i].says)
			is_refused(cases[i].says);
		else
			is_taken("");
	}
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

static int probe(const struct blob *blob)
{
	int fd = blob_fd(blob), is_fit;

	errors_finish(&maker_errors);
	is_fit = fit_probe(fd, "x", &maker_errors);
	assert_int_equal(is_fit < 0, errors_any(&maker_errors));
	close(fd);
	return is_fit;
}

/* What cannot be told is neither, and the words are right for both. */
static void fit_or_tree(void **state)
{
	struct blob blob = usual();
	size_t len = blob.len;

	assert_int_equal(probe(&blob), 1);
	blob.len--;
	assert_int_equal(probe(&blob), -EINVAL);
	assert_non_null(strstr(maker_errors.lines[0], "x: is truncated: its tree is "));
	blob.len = 39;
	assert_int_equal(probe(&blob), -EINVAL);
	assert_string_equal(maker_errors.lines[0],
		"x: is truncated: it ends within the header of its tree");
	blob.len = 3;
	assert_int_equal(probe(&blob), 0);
	blob.len = len;
	blob.data[0] ^= 1;
	assert_int_equal(probe(&blob), 0);
	blob_free(&blob);
	builder_begin(&b, "");
	builder_begin(&b, "images@0");
	builder_end(&b);
	builder_begin(&b, "configurations");
	builder_end(&b);
	builder_end(&b);
	blob = builder_finish(&b);
	assert_int_equal(probe(&blob), 0);
	blob_free(&blob);
	name_of_it = "large";
	len_of_it = 2 << 20;
	also.in_kernel = put_large;
	blob = usual();
	assert_int_equal(probe(&blob), -EINVAL);
	assert_string_equal(maker_errors.lines[0],
		"x: /images/kernel-1: the tree is larger than 2 MiB, without the images' data");
	blob_free(&blob);
	usual_clear(NULL);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		USUAL_TEST(all_of_it),
		USUAL_TEST(linux_image),
		USUAL_TEST(fit_or_tree),
		USUAL_TEST(compressions),
		USUAL_TEST(types_and_architectures),
		USUAL_TEST(images_that_cannot_be),
		USUAL_TEST(references),
		USUAL_TEST(versions),
		USUAL_TEST(long_values),
		USUAL_TEST(data_outside),
	};

	return cmocka_run_group_tests_name("fit", tests, NULL, usual_forget);
}
