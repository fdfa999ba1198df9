/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines out of FITs: which file and configuration is meant, its tree and overlays and what they may name; what has to be
 * signed by the command line and by the policy of the host, which no option weakens.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/policy.h"
#include "board/config/tree-file.h"
#include "board/config/verification.h"
#include "board/fit/fit-file.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"
#include "tests/unit/helpers/tree-source.h"

/* ---- The host's owner ---- */

static const char *policy_text; /* NULL: there is no such file */
static size_t policy_len;	/* 0: to its zero byte */
static int policy_errno;	/* why it cannot be opened */
static bool policy_is_roots = true, key_is_roots = true, tree_is_roots, policy_is_folder;

FILE *__real_fopen64(const char *name, const char *mode);
FILE *__wrap_fopen64(const char *name, const char *mode);
FILE *__wrap_fopen64(const char *name, const char *mode)
{
	if (strcmp(name, "/etc/sluice/policy") != 0)
		return __real_fopen64(name, mode);
	if (policy_is_folder)
		return __real_fopen64(".", mode);
	if (policy_text)
		return fmemopen((char *)policy_text, policy_len ?: strlen(policy_text), "r");
	errno = policy_errno ? policy_errno : ENOENT;
	return NULL;
}

bool __wrap_etc_has(int fd);
bool __wrap_etc_has(int fd)
{
	return fd < 0 ? policy_is_roots : tree_is_roots; /* the policy, in memory, has none */
}

bool __wrap_etc_is_roots(int fd);
bool __wrap_etc_is_roots(int fd)
{
	return key_is_roots;
}

static char versions[100]; /* "": there is no place */
static bool of_host;	   /* the last question was for the policy's */

char *__wrap_versions_folder(bool asked_of_host);
char *__wrap_versions_folder(bool asked_of_host)
{
	of_host = asked_of_host;
	return *versions ? strdup(versions) : NULL;
}

/* ---- Machines ---- */

static bool ready;
static char place[64], signed_itb[100], plain_itb[100], key[100], control[100];
static struct errors errors;

#define NEEDS_TOOLS()                                                                              \
	do {                                                                                       \
		if (!ready)                                                                        \
			skip();                                                                    \
	} while (0)

static const char machine_source[] =
	"/dts-v1/; / { description = \"a machine\"; #address-cells = <1>; images {"
	" kernel-1 { data = /incbin/(\"kernel\"); type = \"kernel\"; arch = \"arm64\"; compression = \"none\"; %H };"
	" fdt-1 { data = /incbin/(\"machine.dtb\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
	" fdt-2 { data = /incbin/(\"more.dtbo\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
	" fdt-3 { data = /incbin/(\"lost.dtbo\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
	" fdt-4 { data = /incbin/(\"machine.dtb.gz\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"gzip\"; %H };"
	" ramdisk-1 { data = /incbin/(\"ramdisk\"); type = \"ramdisk\"; arch = \"arm64\"; compression = \"none\"; %H };"
	"}; configurations { default = \"conf-1\";"
	" conf-1 { kernel = \"kernel-1\"; fdt = \"fdt-1\"; %S };"
	" conf-2 { kernel = \"kernel-1\"; fdt = \"fdt-1\", \"fdt-2\"; ramdisk = \"ramdisk-1\"; %S };"
	" conf-3 { kernel = \"kernel-1\"; fdt = \"fdt-1\", \"fdt-2\", \"fdt-3\"; %S };"
	" conf-4 { kernel = \"kernel-1\"; %S };"
	" conf-5 { kernel = \"kernel-1\"; fdt = \"fdt-4\"; %S }; }; };";

static void write_itb(const char *name, const char *signature, const char *options)
{
	struct blob blob = maker_image(machine_source, maker_sha256, signature, options);

	blob_free(&blob);
	maker_run("cp x.itb %s", name);
}

static void make_dtb(const char *source, const char *name)
{
	char command[300];

	snprintf(command, sizeof(command), "dtc -@ -q -O dtb -o %s %s", name, source);
	maker_run("%s", command);
}

static int begin(void **state)
{
	struct blob blob;

	ready = maker_begin();
	if (!ready)
		return 0;
	maker_run("pwd >where");
	blob = maker_read("where");
	snprintf(place, sizeof(place), "%.*s", (int)blob.len - 1, (char *)blob.data);
	blob_free(&blob);
	make_dtb(tree_source_file("machine.dts", good_machine,
			 "&chosen { sluice,initrd = \"initramfs\"; };"
			 "/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"disk\"; }; };"),
		"machine.dtb");
	make_dtb(tree_source_file("more.dtso", "/dts-v1/; /plugin/;\n",
			 "&memory { reg = <0x0 0x40000000 0x0 0x30000000>; };"),
		"more.dtbo");
	make_dtb(tree_source_file("lost.dtso", "/dts-v1/; /plugin/;\n", "&nothing { a; };"),
		"lost.dtbo");
	maker_run("gzip -k machine.dtb");
	maker_control("control.dtb", "");
	write_itb("signed.itb", maker_signature("sha256,rsa2048", "rsa2048", ""),
		"-k . -K control.dtb -r");
	write_itb("plain.itb", "", "");
	maker_run("cp plain.itb 'x#conf-2'; cp plain.itb x; cp more.dtbo more2.dtbo");
	snprintf(signed_itb, sizeof(signed_itb), "%s/signed.itb", place);
	snprintf(plain_itb, sizeof(plain_itb), "%s/plain.itb", place);
	snprintf(key, sizeof(key), "%s/rsa2048.pub", place);
	snprintf(control, sizeof(control), "%s/control.dtb", place);
	return 0;
}

static int end(void **state)
{
	maker_end();
	tree_source_finish();
	return 0;
}

static int clear(void **state)
{
	policy_text = NULL;
	policy_len = 0;
	policy_errno = 0;
	policy_is_roots = key_is_roots = true;
	tree_is_roots = policy_is_folder = false;
	snprintf(versions, sizeof(versions), "%s/versions", place);
	errors_finish(&errors);
	return 0;
}

static struct machine_config *read_machine(const struct tree_source *source)
{
	struct machine_config *config = NULL;
	int err;

	errors_finish(&errors);
	err = config_read(source, &big_host, &errors, &config);
	assert_int_equal(err < 0, errors_any(&errors));
	assert_int_equal(!err, !!config);
	return config;
}

static struct machine_config *good_machine_of(const struct tree_source *source)
{
	struct machine_config *config = read_machine(source);

	if (!config)
		errors_show(&errors);
	assert_non_null(config);
	return config;
}

static void refuses_machine(const struct tree_source *source, const char *words)
{
	struct machine_config *config = read_machine(source);

	if (config || !errors_say(&errors, words)) {
		errors_show(&errors);
		fail_msg("%s: not said: %s", config ? "it is taken" : "it is refused", words);
	}
}

static void takes_machine(const struct tree_source *source)
{
	config_destroy(good_machine_of(source));
}

/* ---- What is meant ---- */

static void names(void **state)
{
	static const struct {
		const char *word, *file, *configuration;
	} cases[] = {
		{ "%s/plain.itb", "%s/plain.itb", NULL },
		{ "%s/plain.itb#conf-1", "%s/plain.itb", "conf-1" },
		{ "%s/plain.itb#", "%s/plain.itb", "" },
		{ "%s/plain.itb#a#b", "%s/plain.itb#a#b", NULL },
		{ "%s/x#conf-2", "%s/x#conf-2", NULL }, /* it is a file */
		{ "%s/x#conf-2#conf-1", "%s/x#conf-2", "conf-1" },
		{ "%s/nothing#conf-1", "%s/nothing#conf-1", NULL },
		{ "#conf-1", "#conf-1", NULL },
	};

	NEEDS_TOOLS();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tree_source source = { 0 };
		char word[200], file[200];

		snprintf(word, sizeof(word), cases[i].word, place);
		snprintf(file, sizeof(file), cases[i].file, place);
		tree_source_name(&source, word);
		assert_string_equal(source.file, file);
		assert_int_equal(!source.configuration, !cases[i].configuration);
		if (cases[i].configuration)
			assert_string_equal(source.configuration, cases[i].configuration);
	}
}

static void trees_of_configurations(void **state)
{
	struct tree_source source = { .file = plain_itb };
	struct machine_config *config;

	NEEDS_TOOLS();
	config = good_machine_of(&source);
	assert_int_equal(config->memory[0].size, 512 * MiB);
	assert_string_equal(config->fit->configuration.name, "conf-1");
	/* The kernel is the FIT's; without a ramdisk there, the tree's initrd holds, beside the file. */
	assert_null(config->kernel.name);
	assert_string_equal(config->initrd.name + strlen(place), "/initramfs");
	assert_int_equal(errors.warnings, 1);
	assert_true(errors_say(&errors,
		"/chosen: sluice,kernel: is not used: the configuration conf-1, which this tree is from, has /images/kernel-1"));
	config_destroy(config);
	source.configuration = "conf-2";
	config = good_machine_of(&source);
	assert_int_equal(config->memory[0].size, 768 * MiB);
	assert_null(config->initrd.name);
	assert_true(errors_say(&errors, "/chosen: sluice,initrd: is not used"));
	config_destroy(config);
	source.configuration = "conf-3";
	refuses_machine(&source,
		"/plain.itb: /images/fdt-3: fragment@0: the overlay wants the label nothing");
	source.configuration = "conf-4";
	refuses_machine(&source,
		"/configurations/conf-4: fdt: is missing, so this describes no machine: give the configuration a tree, or give its kernel to a tree of your own, by sluice,kernel = \"FILE#CONFIGURATION\" in its /chosen");
	source.configuration = "conf-5";
	refuses_machine(&source, "/images/fdt-4: compression: a tree in gzip");
	source.configuration = "conf-6";
	refuses_machine(&source, "has no configuration \"conf-6\"; there are: conf-1");
	/* More than a guest's tree could be. */
	maker_run("cp machine.dtb kept && truncate -s 2097153 machine.dtb");
	write_itb("plain.itb", "", "");
	source.configuration = NULL;
	refuses_machine(&source, "fdt: names trees of 2097153 bytes together");
	maker_run("mv kept machine.dtb");
	write_itb("plain.itb", "", "");
	/* It may say where a raw binary belongs that the FIT has. */
	maker_run("mv machine.dtb kept");
	make_dtb(tree_source_file("machine.dts", good_machine,
			 "&chosen { /delete-property/ sluice,kernel; sluice,kernel-address = <0 0x40400000>; };"),
		"machine.dtb");
	write_itb("plain.itb", "", "");
	config = good_machine_of(&source);
	assert_int_equal(errors.count, 0);
	assert_true(config->raw_kernel);
	assert_int_equal(config->kernel_gpa, 0x40400000);
	config_destroy(config);
	maker_run("mv kept machine.dtb");
	write_itb("plain.itb", "", "");
	/* Overlays of the command line come last. */
	source.configuration = NULL;
	source.overlays[0] = tree_source_file("own.dtso", "/dts-v1/; /plugin/;\n",
		"&memory { reg = <0x0 0x40000000 0x0 0x8000000>; };");
	source.overlay_count = 1;
	config = good_machine_of(&source);
	assert_int_equal(config->memory[0].size, 128 * MiB);
	config_destroy(config);
	source.overlays[0] = plain_itb;
	refuses_machine(&source, "a FIT image, where a tree belongs");
	/* Only a FIT has configurations. */
	source = (struct tree_source){ .file = tree_source_file("machine.dts", good_machine, ""),
		.configuration = "conf-1" };
	refuses_machine(&source, "is no FIT, and has no configuration \"conf-1\" to choose");
}

/* It may be a FIT or a tree: nobody can tell, and no message says that it is one of them. */
static void damaged(void **state)
{
	static const char large[] =
		"/dts-v1/; / { large = /incbin/(\"large\"); images { }; configurations { }; };";
	char path[300];
	struct tree_source source = { .file = path };

	NEEDS_TOOLS();
	snprintf(path, sizeof(path), "%s/damaged", place);
	maker_run("cp plain.itb damaged && truncate -s -1 damaged");
	refuses_machine(&source, "/damaged: is truncated: its tree is ");
	maker_run("truncate -s 20 damaged");
	refuses_machine(&source, "/damaged: is truncated: it ends within the header of its tree");
	maker_run("cp plain.itb damaged && printf x | dd of=damaged bs=1 seek=60 conv=notrunc status=none");
	refuses_machine(&source, "/damaged: /: ");
	maker_write("large.dts", large, sizeof(large) - 1);
	maker_run("truncate -s 2M large && dtc -q -O dtb -o damaged large.dts");
	refuses_machine(&source,
		"/damaged: /: the tree is larger than 2 MiB, without the images' data");
}

/* As a .dtb: nothing outside of its folder, unless that is allowed or root put it into /etc/sluice. */
static void rights(void **state)
{
	struct tree_source source = { .file = plain_itb };
	struct machine_config *config;

	NEEDS_TOOLS();
	make_dtb(
		tree_source_file("away.dts", good_machine,
			"/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"/dev/null\"; }; };"),
		"machine.dtb");
	write_itb("plain.itb", "", "");
	refuses_machine(&source,
		"plain.itb is a tree from elsewhere, and may name what lies in its own folder");
	source.allowed[0] = "/dev";
	source.allowed_count = 1;
	takes_machine(&source);
	source.allowed_count = 0;
	policy_text = "# the host's\n\n/nowhere\n/dev\n";
	takes_machine(&source);
	policy_text = NULL;
	tree_is_roots = true;
	takes_machine(&source);
	tree_is_roots = false;
	make_dtb(
		tree_source_file("firmware.dts", good_machine,
			"&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"code\"; };"),
		"machine.dtb");
	write_itb("plain.itb", "", "");
	refuses_machine(&source,
		"/chosen: sluice,firmware: does not go with the kernel of the configuration conf-1");
	/* A board's, as those of Linux's image.fit. */
	make_dtb(
		tree_source_file("board.dts", "/dts-v1/; ",
			"/ { model = \"a board\"; compatible = \"acme,board\"; interrupt-parent = <1>; };"),
		"machine.dtb");
	write_itb("plain.itb", "", "");
	refuses_machine(&source, "and name this file there, as sluice,kernel in /chosen");
	make_dtb(tree_source_file("machine.dts", good_machine, ""), "machine.dtb");
	write_itb("plain.itb", "", "");
	/* "image.fit#conf" in a tree, unless there is a file of that name. */
	source.file = tree_source_file(
		"machine.dts", good_machine, "&chosen { sluice,kernel = \"image.fit#conf-2\"; };");
	config = good_machine_of(&source);
	assert_string_equal(config->kernel.name + strlen(config->folder), "image.fit");
	assert_string_equal(config->kernel_configuration, "conf-2");
	config_destroy(config);
	tree_source_file("image.fit#conf-2", "", "");
	source.file = tree_source_file(
		"machine.dts", good_machine, "&chosen { sluice,kernel = \"image.fit#conf-2\"; };");
	config = good_machine_of(&source);
	assert_string_equal(config->kernel.name + strlen(config->folder), "image.fit#conf-2");
	assert_null(config->kernel_configuration);
	config_destroy(config);
	source.file = tree_source_file(
		"machine.dts", good_machine, "&chosen { sluice,kernel = \"folder#1/image\"; };");
	config = good_machine_of(&source);
	assert_string_equal(config->kernel.name + strlen(config->folder), "folder#1/image");
	config_destroy(config);
}

/* ---- What has to be signed ---- */

static void by_options(void **state)
{
	char images[100];
	struct tree_source source = { .file = signed_itb, .keys = { key }, .key_count = 1 };
	struct machine_config *config;
	char overlay[100], elsewhere[100];

	NEEDS_TOOLS();
	config = good_machine_of(&source);
	assert_string_equal(fit_trust_signatures(config->fit->trust), "rsa2048 (sha256,rsa2048)");
	config_destroy(config);
	source.keys[0] = control;
	source.verify = VERIFY_REQUIRED;
	takes_machine(&source);
	/* What was signed, with an overlay on top, is something else. */
	snprintf(overlay, sizeof(overlay), "%s/more2.dtbo", place);
	source.overlays[0] = overlay;
	source.overlay_count = 1;
	refuses_machine(&source,
		"more2.dtbo: an overlay would change what was signed, and --verify required refuses it");
	source.verify = VERIFY_UNSAID;
	refuses_machine(&source, "and --key refuses it");
	source.key_count = 0;
	takes_machine(&source);
	source.overlay_count = 0;
	source.allowed[0] = "/dev";
	source.allowed_count = source.key_count = 1;
	takes_machine(&source);
	source.file = plain_itb;
	refuses_machine(&source, "/configurations/conf-1: ");
	source.verify = VERIFY_NONE;
	refuses_machine(&source, "--key: has no use with --verify none");
	source.key_count = 0;
	takes_machine(&source);
	source.verify = VERIFY_REQUIRED;
	refuses_machine(&source, "--verify required: wants keys");
	source.key_count = 1;
	source.keys[0] = "/nonexistent/key";
	refuses_machine(&source, "/nonexistent/key: the key cannot be opened");
	source.keys[0] = "/dev/null";
	refuses_machine(&source, "/dev/null: is not a regular file with a key");
	source.keys[0] = plain_itb;
	refuses_machine(&source, "plain.itb: ");
	/* Keys of images alone say neither which one is the kernel nor where it is entered. */
	maker_run("cp control.dtb images.dtb && for k in $(fdtget -l images.dtb /signature); do fdtput -t s images.dtb /signature/$k required image; done");
	snprintf(images, sizeof(images), "%s/images.dtb", place);
	source.keys[0] = images;
	source.file = signed_itb;
	refuses_machine(&source, "--verify required: wants a key that is required of configurations, and the keys given are of images alone");
	/* A tree of one's own may have a signed kernel; one from elsewhere not. */
	source.keys[0] = key;
	source.file = tree_source_file("machine.dts", good_machine, "");
	takes_machine(&source);
	/* Its name says that it is a tree: a user who can replace a FIT could put a source there. */
	source.file = tree_source_file("machine.itb2", good_machine, "");
	refuses_machine(&source, "is a source, and no FIT, which --verify required asks for: a source of your own is named NAME.dts");
	source.key_count = 0;
	source.verify = VERIFY_UNSAID;
	takes_machine(&source);
	source.key_count = 1;
	source.verify = VERIFY_REQUIRED;
	snprintf(elsewhere, sizeof(elsewhere), "%s/machine.dtb", place);
	source.file = elsewhere;
	refuses_machine(&source,
		"is a tree from elsewhere, which nobody has signed, and --verify required refuses it");
}

static void by_policy(void **state)
{
	char text[300], overlay[100];
	struct tree_source source = { .file = signed_itb }, other;

	NEEDS_TOOLS();
	snprintf(text, sizeof(text), "# all machines\nverify required\nkey %s\n", key);
	policy_text = text;
	takes_machine(&source);
	source.verify = VERIFY_REQUIRED;
	takes_machine(&source);
	/* No option weakens it. */
	other = source;
	other.verify = VERIFY_NONE;
	refuses_machine(&other, "--verify none: is refused by /etc/sluice/policy");
	other = source;
	other.keys[other.key_count++] = key;
	refuses_machine(&other, "--key: is refused by /etc/sluice/policy");
	other = source;
	snprintf(overlay, sizeof(overlay), "%s/more2.dtbo", place);
	other.overlays[other.overlay_count++] = overlay;
	refuses_machine(&other, "and /etc/sluice/policy refuses it");
	other = source;
	other.allowed[other.allowed_count++] = "/dev";
	takes_machine(&other);
	source.file = plain_itb;
	refuses_machine(&source, "/configurations/conf-1: ");
	source.file = tree_source_file("machine.dts", good_machine, "");
	refuses_machine(
		&source, "is a tree, which nobody has signed, and /etc/sluice/policy refuses it");
	/* Even root's own, since it says what is for the whole host. */
	tree_is_roots = true;
	refuses_machine(&source, "and /etc/sluice/policy refuses it");
	tree_is_roots = false;
	source.file = signed_itb;
	key_is_roots = false;
	refuses_machine(&source, "others than root can write this key of /etc/sluice/policy");
	key_is_roots = true;
	/* Whoever owns a link on the way would choose the key. */
	maker_run("ln -s rsa2048.pub link.pub && ln -s . links && mkdir sub");
	for (unsigned i = 0; i < 3; i++) {
		static const char *const ways[] = { "link.pub", "links/rsa2048.pub",
			"sub/../rsa2048.pub" };
		char saved[300];

		memcpy(saved, text, sizeof(saved));
		snprintf(text, sizeof(text), "verify required\nkey %s/%s\n", place, ways[i]);
		refuses_machine(&source, "has a symbolic link or \"..\" in it: name the file itself");
		memcpy(text, saved, sizeof(text));
	}
	/* Keys that are there for who asks; it has to be said. */
	snprintf(text, sizeof(text), "key\t%s  \n", key);
	source.verify = VERIFY_UNSAID;
	source.file = signed_itb;
	refuses_machine(&source, "/etc/sluice/policy: has a key or requires a version, and does not say what for");
	snprintf(text, sizeof(text), "key\t%s  \nverify none\n", key);
	source.verify = VERIFY_UNSAID;
	source.file = plain_itb;
	takes_machine(&source);
	source.verify = VERIFY_REQUIRED;
	refuses_machine(&source, "/configurations/conf-1: ");
	source.file = signed_itb;
	takes_machine(&source);
	source.keys[source.key_count++] = control;
	takes_machine(&source);
}

/* A FIT whose configurations have these properties, signed. */
static void write_version(const char *properties)
{
	char signature[600];

	snprintf(signature, sizeof(signature), "%s %s", properties,
		maker_signature("sha256,rsa2048", "rsa2048", ""));
	write_itb("version.itb", signature, "-k . -r");
}

static void older_ones(void **state)
{
	char file[100], text[300];
	struct tree_source source = { .file = file, .keys = { key }, .key_count = 1 };
	struct machine_config *config;

	NEEDS_TOOLS();
	snprintf(file, sizeof(file), "%s/version.itb", place);
	write_version("sluice,product = \"gateway\"; sluice,version = <5>;");
	config = good_machine_of(&source);
	assert_false(of_host);
	assert_string_equal(config->fit->configuration.product, "gateway");
	assert_int_equal(config->fit->configuration.version, 5);
	/* To read it is not to start it. */
	assert_int_equal(access(versions, F_OK), -1);
	assert_int_equal(
		verification_keep_version(config->verification, config->fit, &errors), 0);
	config_destroy(config);
	takes_machine(&source);
	write_version("sluice,product = \"gateway\"; sluice,version = <4>;");
	refuses_machine(&source,
		"/configurations/conf-1: sluice,version: this is version 4, and version 5 was started here");
	/* Nobody asks of what need not be signed, since anybody could have written it. */
	source.key_count = 0;
	config = good_machine_of(&source);
	assert_int_equal(
		verification_keep_version(config->verification, config->fit, &errors), 0);
	config_destroy(config);
	source.key_count = 1;
	write_version("sluice,product = \"another\"; sluice,version = <4>;");
	takes_machine(&source);
	write_version("");
	takes_machine(&source);
	/* Unless the host's owner does. */
	snprintf(text, sizeof(text), "verify required\nversion required\nkey %s\n", key);
	policy_text = text;
	source.key_count = 0;
	refuses_machine(&source, "/configurations/conf-1: it has no version, which /etc/sluice/policy requires");
	write_version("sluice,product = \"gateway\"; sluice,version = <5>;");
	takes_machine(&source);
	assert_true(of_host);
	write_version("sluice,product = \"gateway\"; sluice,version = <4>;");
	refuses_machine(&source, "this is version 4, and version 5 was started here");
	/* What is kept cannot be read, or there is no place. */
	maker_run("touch versions/gateway/5x");
	refuses_machine(&source, "holds what is no version that was started");
	*versions = '\0';
	refuses_machine(&source, "sluice,version: there is no place where the version can be kept");
}

static void policies(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "verify required\n", "/etc/sluice/policy: says \"verify required\", and no key" },
		{ "verify  required", "and no key" },
		{ "verify\n", "\"verify\" is no folder's absolute path" },
		{ "verify nothing\n", "\"verify nothing\" is no folder's absolute path" },
		{ "verify required please\n", "\"verify required please\" is no" },
		{ "verifyrequired\n", "\"verifyrequired\" is no" },
		{ "Verify required\n", "\"Verify required\" is no" },
		{ "key relative.pub\n", "\"key relative.pub\" is no" },
		{ "key\n", "\"key\" is no" },
 		{ "version required\n", "has a key or requires a version, and does not say what for" },
		{ "version 5\n", "\"version 5\" is no" },
		{ "here\n", "\"here\" is no folder's absolute path" },
		{ "  /srv\n", "is no folder's absolute path" },
		{ "verify required\nkey /nonexistent\n", "/nonexistent: the key cannot be opened" },
	};
	struct tree_source source = { .file = tree_source_file("machine.dts", good_machine, "") };
	static char line[POLICY_LINE + 100];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		policy_text = cases[i].text;
		refuses_machine(&source, cases[i].says);
	}
	policy_text = "\n# nothing\n/srv\n\r\n/nowhere\r\n";
	takes_machine(&source);
	/* What cannot be read may require something. */
	policy_is_roots = false;
	refuses_machine(&source, "/etc/sluice/policy: others than root can write it");
	policy_is_roots = true;
	policy_text = NULL;
	policy_errno = EACCES;
	refuses_machine(
		&source, "/etc/sluice/policy: cannot be opened, and it may say what is required");
	policy_errno = ENOTDIR;
	takes_machine(&source);
	memset(line, '#', POLICY_LINE - 2);
	policy_text = line;
	takes_machine(&source);
	line[POLICY_LINE - 2] = '\n';
	takes_machine(&source);
	line[POLICY_LINE - 2] = '#';
	refuses_machine(&source, "has a line of more than 4094 bytes");
}

/* As a crash of the host may leave the file: it does not count as one that requires nothing. */
static void damaged_policies(void **state)
{
	static const char lines[] = "# all machines\nverify none\n";
	struct tree_source source = { .file = tree_source_file("machine.dts", good_machine, "") };
	char text[sizeof(lines)];

	policy_text = text;
	policy_len = sizeof(lines) - 1;
	for (size_t at = 0; at < policy_len; at++) {
		memcpy(text, lines, sizeof(lines));
		memset(text + at, 0, policy_len - at);
		refuses_machine(&source, "/etc/sluice/policy: has a zero byte");
	}
	memcpy(text, lines, sizeof(lines));
	takes_machine(&source);
	policy_is_folder = tree_is_roots = true;
	refuses_machine(&source, "/etc/sluice/policy: cannot be read: Is a directory");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup(test, clear)
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(trees_of_configurations),
		TEST(damaged),
		TEST(rights),
		TEST(by_options),
		TEST(by_policy),
		TEST(older_ones),
		TEST(policies),
		TEST(damaged_policies),
	};

	return cmocka_run_group_tests_name("verification", tests, begin, end);
}
