/* SPDX-License-Identifier: Apache-2.0 */
/* Machines out of PE bundles: the tree in a section, its kernel, what else the tree may name; and hostile bundles. */
#include "tests/unit/helpers/unit.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/config.h"
#include "board/config/pe.h"
#include "board/config/tree-file.h"
#include "board/config/verification.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fds.h"
#include "tests/unit/helpers/tree-source.h"

#define HEAD	0x80  /* where the PE header is */
#define TABLE	(HEAD + 24)
#define CONTENT 0x2000

static uint8_t file[64 * KiB];
static size_t file_len, section_count;
static struct errors errors;

static uint8_t *entry(size_t i)
{
	return file + TABLE + 40 * i;
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void put_section(const char *name, const void *data, size_t len)
{
	uint8_t *at = entry(section_count++);

	strncpy((char *)at, name, 8);
	put32(at + 8, (uint32_t)len);
	put32(at + 16, (uint32_t)align_up(len, 512));
	put32(at + 20, (uint32_t)file_len);
	memcpy(file + file_len, data, len);
	file_len += align_up(len, 512);
	file[HEAD + 6] = (uint8_t)section_count;
}

static void begin_bundle(void)
{
	memset(file, 0, sizeof(file));
	memcpy(file, "MZ", 2);
	put32(file + 0x3c, HEAD);
	memcpy(file + HEAD, "PE\0\0\x64\xaa", 6);
	section_count = 0;
	file_len = CONTENT;
}

/* The tree of this source, as dtc makes it, in a section. */
static void put_tree(const char *name, const char *base, const char *change)
{
	const char *source = tree_source_file("tree.dts", base, change);
	char command[300];
	static uint8_t blob[16 * KiB];
	FILE *pipe;
	size_t len;

	snprintf(command, sizeof(command), "dtc -q -@ -O dtb %s", source);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	len = fread(blob, 1, sizeof(blob), pipe);
	assert_int_equal(pclose(pipe), 0);
	put_section(name, blob, len);
}

/* $folder/x.efi */
static const char *write_bundle(void)
{
	const char *name = tree_source_file("x.efi", "", "");
	FILE *stream = fopen(name, "w");

	assert_non_null(stream);
	assert_int_equal(fwrite(file, 1, file_len, stream), file_len);
	fclose(stream);
	return name;
}

/* With an overlay of this text, or NULL. */
static struct machine_config *read_bundle(const char *overlay)
{
	struct tree_source source = { 0 };
	struct machine_config *config = NULL;
	char *own = NULL;

	if (overlay) {
		own = strdup(tree_source_file("own.dtso", "/dts-v1/; /plugin/;\n", overlay));
		source.overlays[source.overlay_count++] = own;
	}
	source.file = write_bundle();
	errors_finish(&errors);
	if (config_read(&source, &big_host, &errors, &config))
		config = NULL;
	free(own);
	return config;
}

static struct machine_config *good_bundle(const char *overlay)
{
	struct machine_config *config = read_bundle(overlay);

	if (!config)
		errors_show(&errors);
	assert_non_null(config);
	return config;
}

static void refuses_bundle(const char *words)
{
	struct machine_config *config = read_bundle(NULL);

	if (config || !errors_say(&errors, words)) {
		errors_show(&errors);
		fail_msg("%s, not: %s", config ? "taken" : "refused", words);
	}
}

#define NO_KERNEL "&chosen { /delete-property/ sluice,kernel; };"

static void its_tree_and_its_kernel(void **state)
{
	char magic[2];
	struct machine_config *config;

	begin_bundle();
	put_section(".text", "code", 4);
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", good_machine, NO_KERNEL);
	put_tree(".dtb", "/dts-v1/; / { };", ""); /* the first one counts */
	config = good_bundle(NULL);
	assert_true(config->bundle);
	assert_string_equal(strrchr(config->kernel.name, '/'), "/x.efi");
	assert_int_equal(pread(config->bundle_fd, magic, 2, 0), 2);
	assert_memory_equal(magic, "MZ", 2);
	assert_int_equal(config->memory[0].size, 512 * MiB);
	assert_int_equal(errors.count, 1);
	assert_true(errors_say(
		&errors, "x.efi: has 2 sections .dtb: the first one describes the machine"));
	config_destroy(config);
	/* Overlays of the command line are on top. */
	config = good_bundle("&memory { reg = <0x0 0x40000000 0x0 0x8000000>; };");
	assert_int_equal(config->memory[0].size, 128 * MiB);
	assert_string_equal(strrchr(config->kernel.name, '/'), "/x.efi");
	config_destroy(config);
}

/* Its own file, however it was named and whatever has that name by now; the tree's rights are about other files. */
static void its_own_file(void **state)
{
	struct tree_source source = { 0 };
	struct machine_config *config = NULL;
	unsigned before = open_fds();
	struct stat st, of;

	begin_bundle();
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", good_machine, "/delete-node/ &chosen;");
	assert_int_equal(stat(write_bundle(), &st), 0);
	source.file = tree_source_file(".link.efi", "", "");
	assert_int_equal(unlink(source.file), 0);
	assert_int_equal(symlink("x.efi", source.file), 0);
	errors_finish(&errors);
	assert_int_equal(config_read(&source, &big_host, &errors, &config), 0);
	assert_true(config->bundle && config_has_kernel(config));
	assert_string_equal(config->kernel.name, source.file);
	assert_int_equal(fstat(config->bundle_fd, &of), 0);
	assert_int_equal(of.st_ino, st.st_ino);
	assert_int_equal(unlink(source.file), 0);
	config_probe(config, false, true, &errors);
	assert_int_equal(errors.count, 0);
	config_destroy(config);
	/* Nor does it stay open where there is an error, or another kernel. */
	assert_null(read_bundle("&nothing { a; };"));
	config = good_bundle("&{/} { chosen { sluice,kernel = \"vmlinuz\"; }; };");
	assert_false(config->bundle);
	config_destroy(config);
	begin_bundle();
	put_section(".linux", "a kernel", 8);
	refuses_bundle("without a section .dtb");
	assert_int_equal(open_fds(), before);
}

static void what_its_tree_names(void **state)
{
	struct machine_config *config;

	begin_bundle();
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", good_machine, "");
	config = good_bundle(NULL);
	assert_false(config->bundle);
	assert_string_not_equal(strrchr(config->kernel.name, '/'), "/x.efi");
	config_destroy(config);
	begin_bundle();
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", good_machine, NO_KERNEL "&chosen { sluice,firmware = \"code\"; };");
	config = good_bundle(NULL);
	assert_null(config->kernel.name);
	config_destroy(config);
	/* It is from elsewhere. */
	begin_bundle();
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", good_machine,
		NO_KERNEL "/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"/dev/null\"; }; };");
	refuses_bundle("x.efi is a tree from elsewhere, and may name what lies in its own folder");
	begin_bundle();
	put_section(".linux", "a kernel", 8);
	put_tree(".dtb", "/dts-v1/; ",
		"/ { model = \"a board\"; compatible = \"acme,board\"; interrupt-parent = <1>; };");
	refuses_bundle("and name this file there, as sluice,kernel in /chosen");
}

static void without_a_tree(void **state)
{
	begin_bundle();
	put_section(".linux", "a kernel", 8);
	refuses_bundle("x.efi: is a PE bundle without a section .dtb, so it describes no machine");
	put_section(".dtb", "", 0);
	refuses_bundle("is a PE bundle without a section .dtb");
	put_section(".dtbauto", "a tree", 6);
	refuses_bundle(
		"describes no machine (its sections .dtbauto are for boards, and not used): name it in a tree of your own");
	/* No bundle, so no tree. */
	begin_bundle();
	put_tree(".dtb", good_machine, NO_KERNEL);
	refuses_bundle("x.efi: not a tree: ");
}

static void hostile(void **state)
{
	uint8_t *dtb;
	size_t whole;

	begin_bundle();
	put_section(".linux", "a kernel", 8);
	dtb = entry(section_count);
	put_tree(".dtb", good_machine, NO_KERNEL);
	whole = file_len;
	file_len = whole - 512;
	refuses_bundle("its section .dtb cannot be read: it is truncated");
	file_len = whole;
	put32(dtb + 20, UINT32_MAX);
	refuses_bundle("it is truncated");
	put32(dtb + 20, CONTENT + 512);
	put32(dtb + 8, UINT32_MAX);
	put32(dtb + 16, UINT32_MAX);
	refuses_bundle("its section .dtb is larger than 16 MiB");
	put32(dtb + 8, 16 * MiB);
	refuses_bundle("it is truncated");
	put32(dtb + 8, 512);
	refuses_bundle("x.efi: "); /* a tree that is cut short */
	put32(dtb + 20, CONTENT);
	refuses_bundle("x.efi: "); /* no tree */
	/* The table of sections. */
	file[HEAD + 6] = PE_SECTIONS + 1;
	refuses_bundle("x.efi: not a tree: ");
	file[HEAD + 6] = PE_SECTIONS;
	file_len = 0x400;
	refuses_bundle("x.efi: not a tree: ");
	put32(file + 0x3c, UINT32_MAX);
	refuses_bundle("x.efi: not a tree: ");
	file_len = 0x3c;
	refuses_bundle("x.efi: not a tree: ");
}

/* Nobody has signed it for Sluice, wherever it is and whatever its name. */
static void unsigned_ones(void **state)
{
	struct verification required = { .required = true, .by = "--key" };
	const struct tree_source source = { .file = "/etc/sluice/x.dtb" };
	struct tree_origin origin = { .bundle = true };

	for (unsigned i = 0; i < 4; i++) {
		required.by_policy = i & 1;
		origin.elsewhere = i & 2 ? source.file : NULL;
		errors_finish(&errors);
		assert_int_equal(
			verification_check_tree(&required, &source, &origin, &errors), -EINVAL);
		assert_true(errors_say(&errors,
			"/etc/sluice/x.dtb: is a PE bundle, whose signature for UEFI Sluice does not check, and --key refuses it"));
	}
	required.required = false;
	assert_int_equal(verification_check_tree(&required, &source, &origin, &errors), 0);
}

static int finish(void **state)
{
	errors_finish(&errors);
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_tree_and_its_kernel),
		cmocka_unit_test(its_own_file),
		cmocka_unit_test(what_its_tree_names),
		cmocka_unit_test(without_a_tree),
		cmocka_unit_test(hostile),
		cmocka_unit_test(unsigned_ones),
	};

	return cmocka_run_group_tests_name("tree-bundle", tests, NULL, finish);
}
