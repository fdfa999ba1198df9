/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice check` and `sluice show`: what they print and how they end, in a child each. */
#include "tests/unit/helpers/unit.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/cli/check.h"
#include "board/config/tree-file.h"
#include "board/host/identity.h"
#include "board/host/limits.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/fit-maker.h"
#include "tests/unit/helpers/tree-source.h"

static char text[256 * KiB];
static const char *tree, *name; /* what check and show are given */
static const char *key;
static enum tree_verify verify;

/* ---- The host's owner ---- */

static char policy[300]; /* "": there is none */

FILE *__real_fopen64(const char *file, const char *mode);
FILE *__wrap_fopen64(const char *file, const char *mode);
FILE *__wrap_fopen64(const char *file, const char *mode)
{
	return *policy && !strcmp(file, "/etc/sluice/policy")
		       ? fmemopen(policy, strlen(policy), "r")
		       : __real_fopen64(file, mode);
}

bool __real_etc_has(int fd);
bool __wrap_etc_has(int fd);
bool __wrap_etc_has(int fd)
{
	return fd < 0 || __real_etc_has(fd); /* the policy, in memory, has no descriptor */
}

bool __wrap_etc_is_roots(int fd);
bool __wrap_etc_is_roots(int fd)
{
	return true;
}

/* What a command printed, both streams, is in `text`; its exit status. */
static int in_child(int (*command)(const struct tree_source *source, const char *name))
{
	const struct tree_source source = {
		.file = tree, .keys = { key }, .key_count = !!key, .verify = verify
	};
	FILE *out = tmpfile();
	int status;
	size_t len;
	pid_t pid;

	assert_non_null(out);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(out), STDERR_FILENO);
		status = command(&source, name);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(out);
	len = fread(text, 1, sizeof(text) - 1, out);
	text[len] = '\0';
	fclose(out);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void assert_printed(const char *part)
{
	if (!strstr(text, part))
		fail_msg("not printed: %s\nbut: %s", part, text);
}

/* The good machine without a kernel, so that there is no file to check. */
static void write_tree(const char *change)
{
	char *whole;

	assert_true(
		asprintf(&whole, "&chosen { /delete-property/ sluice,kernel; }; %s", change) > 0);
	tree = tree_source_file("machine.dts", good_machine, whole);
	free(whole);
}

static void a_good_machine(void **state)
{
	write_tree("/ { model = \"gate\\x9b\\xc2\\x9b\\xc3\\x9bway\"; rng0 { compatible = \"sluice,virtio-rng\"; }; };"
		   "&growth { reg = <0x1 0x0 0x0 0x10200000>; };");
	assert_int_equal(in_child(check_command), 0);
	assert_printed("machine.dts: good, the machine gate???\xc3\x9bway\n");
	assert_printed("CPUs         1, guest addresses of 33 bits");
	assert_printed("memory       0x040000000 to 0x060000000, 512 MiB\n");
	assert_printed("reserved     0x100000000 to 0x110200000, 258 MiB\n");
	assert_printed("rng0         sluice,virtio-rng at 0x0a000000, SPI 16 (virtio0)\n");
	assert_printed("vmem0        sluice,virtio-mem at 0x0a000200, SPI 17 (virtio1)\n");
	assert_printed("window 0x100000000 to 0x110200000, 258 MiB: 3 slots of 128 MiB, blocks of "
		       "2 MiB, stray reads see zeros\n");
	assert_printed("kernel       none: it cannot run\n");
	assert_int_equal(in_child(show_command), 0);
	assert_printed("// What the guest of the machine \"machine\" gets on this host.");
	assert_printed("/dts-v1/;");
	assert_printed("serial-number = ");
	assert_printed("virtio_mmio@a000200 {");
	assert_null(strstr(text, "sluice,"));
}

static void wrong_machines(void **state)
{
	write_tree("&memory { status = \"disabled\"; };");
	assert_int_equal(in_child(check_command), 1);
	assert_printed("machine.dts: /memory@40000000: missing: the machine has no memory");
	assert_null(strstr(text, "good"));
	assert_int_equal(in_child(show_command), 1);
	/* check probes the host resources that a device will use; for show they need not be there. */
	write_tree("/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"/nonexistent/disk\"; "
		   "}; };");
	assert_int_equal(in_child(check_command), 1);
	assert_printed("machine.dts: /disk0: file: ");
	assert_printed("`truncate -s 8G /nonexistent/disk`. Paths in the tree begin at its folder, /");
	assert_int_equal(in_child(show_command), 0);
	/* Of one that is there, it does not matter. */
	write_tree("/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"/\"; }; };");
	assert_int_equal(in_child(check_command), 1);
	assert_printed("machine.dts: /disk0: file: / is a folder\n");
	/* So are kernel and initrd. */
	tree = tree_source_file("machine.dts", good_machine, "");
	assert_int_equal(in_child(check_command), 1);
	assert_printed("machine.dts: /chosen: sluice,kernel: ");
}

/* Mistakes of the tree, and missing files: one round reports all, each with the tree, node and property. */
static void all_in_one_round(void **state)
{
	char cwd[4096], line[400], *folder;

	tree = tree_source_file("machine.dts", good_machine,
		"&chosen { sluice,initrd = \"/nonexistent/initrd\"; }; &vmem0 { memslot = <1>; };"
		"/ { disk0 { compatible = \"sluice,virtio-blk\"; file = \"/nonexistent/disk\"; };"
		" disk1 { compatible = \"sluice,virtio-blk\"; file = \"/nonexistent/disk1\"; queues = <99>; };"
		" disk2 { compatible = \"sluice,virtio-blk\"; }; };");
	folder = strndup(tree, (size_t)(strrchr(tree, '/') - tree));
	assert_int_equal(in_child(check_command), 1);
	assert_printed("machine.dts: /vmem0: memslot: unknown here; did you mean memslots?\n");
	assert_printed("machine.dts: /chosen: sluice,kernel: ");
	assert_printed("/vmlinuz cannot be opened: No such file or directory. Paths in the tree begin at its folder, ");
	assert_printed(folder);
	assert_printed("machine.dts: /chosen: sluice,initrd: /nonexistent/initrd cannot be opened: No such file");
	snprintf(line, sizeof(line), "`truncate -s 8G /nonexistent/disk`. Paths in the tree begin at its folder, %s\n", folder);
	assert_printed("machine.dts: /disk0: file: there is no /nonexistent/disk; ");
	assert_printed(line);
	assert_printed("machine.dts: /disk1: queues: 99");
	assert_printed("machine.dts: /disk2: file: missing");
	/* What is wrong itself is not probed: there may be nothing to probe. */
	assert_null(strstr(text, "/disk1: file: "));
	/* From the tree's own folder too. */
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(folder), 0);
	tree = "machine.dts";
	assert_int_equal(in_child(check_command), 1);
	assert_int_equal(chdir(cwd), 0);
	assert_printed("sluice: machine.dts: /chosen: sluice,kernel: vmlinuz cannot be opened: No such file or directory. Paths in the tree begin at its folder, /");
	free(folder);
}

/* Where a card's address is made by Sluice, people can see it: the same both times, and in both commands. */
static void identities(void **state)
{
	char mac[32], serial[64];
	struct host_limits host;

	write_tree("/ { net0 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; }; };");
	assert_int_equal(in_child(show_command), 0);
	assert_printed("// net0: MAC ");
	snprintf(mac, sizeof(mac), "%.21s", strstr(text, "MAC "));
	assert_int_equal(strlen(mac), 21);
	assert_int_equal(in_child(show_command), 0);
	assert_printed(mac);
	assert_int_equal(in_child(check_command), 0);
	assert_printed(mac);
	/* By another name it is another machine, as with run --name. */
	name = "ma\nchine";
	assert_int_equal(in_child(check_command), 0);
	assert_null(strstr(text, mac));
	assert_int_equal(in_child(show_command), 0);
	assert_null(strstr(text, mac));
	assert_printed("the machine \"ma?chine\" gets");
	host_probe(&host);
	snprintf(serial, sizeof(serial), "serial-number = \"%016llx\"",
		(unsigned long long)identity_of(host.id, name, "serial-number"));
	assert_printed(serial);
	name = "machine";
	assert_int_equal(in_child(show_command), 0);
	assert_printed(mac);
	name = NULL;
}

/* A warning is printed, and the machine is good, however many there are. */
static void warnings(void **state)
{
	char *change = NULL;
	size_t size;
	FILE *stream = open_memstream(&change, &size);

	fputs("/ { aliases { ", stream);
	for (unsigned i = 0; i < 101; i++)
		fprintf(stream, "lost%u = \"/nowhere\"; ", i);
	fputs("}; };", stream);
	fclose(stream);
	write_tree(change);
	free(change);
	assert_int_equal(in_child(check_command), 0);
	assert_printed("machine.dts: good\n");
	assert_printed("machine.dts: /aliases: lost");
	assert_printed("sluice: and 1 more\n");
}

/* A blob whose guest's tree is larger than the space reserved for it. */
static void too_large(void **state)
{
	size_t filler = 1930 * KiB;
	void *fdt, *grown = malloc(3 * MiB), *value = calloc(1, filler);
	struct errors errors = { 0 };
	FILE *file;

	write_tree("");
	assert_int_equal(tree_source_open(tree, NULL, &errors, &fdt), 0);
	assert_int_equal(fdt_open_into(fdt, grown, 3 * MiB), 0);
	assert_int_equal(fdt_setprop(grown, 0, "acme,filler", value, (int)filler), 0);
	tree = tree_source_file("large.dtb", "", "");
	file = fopen(tree, "w");
	assert_int_equal(fwrite(grown, 1, fdt_totalsize(grown), file), fdt_totalsize(grown));
	fclose(file);
	assert_int_equal(in_child(check_command), 1);
	assert_printed("large.dtb: the guest's tree would be larger than 1920 KiB\n");
	free(value);
	free(grown);
	free(fdt);
}

/* The usual tree as machine.dtb, for a FIT; the name of its folder, with a line end. */
static struct blob make_dtb(void)
{
	write_tree("");
	maker_run("dtc -q -O dtb -o machine.dtb %s; pwd", tree);
	return maker_read("said");
}

/* What was checked of a FIT, and where it goes. */
static void fits(void **state)
{
	static const char source[] =
		"/dts-v1/; / { description = \"a machine\"; #address-cells = <1>; images {"
		" kernel-1 { data = /incbin/(\"kernel\"); type = \"kernel\"; arch = \"arm64\"; compression = \"none\"; %H };"
		" ramdisk-1 { data = /incbin/(\"ramdisk\"); type = \"ramdisk\"; arch = \"arm64\"; compression = \"none\"; %H };"
		" fdt-1 { data = /incbin/(\"machine.dtb\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
		"}; configurations { default = \"conf-1\"; conf-1 { kernel = \"kernel-1\"; ramdisk = \"ramdisk-1\"; fdt = \"fdt-1\"; %S }; }; };";
	char *file, *public;
	uint8_t *ramdisk;
	struct blob blob, where;

	if (!maker_begin())
		skip();
	where = make_dtb();
	blob = maker_image(source, "hash-1 { algo = \"crc32\"; }; hash-2 { algo = \"sha256\"; };",
		maker_signature("sha256,rsa2048", "rsa2048", ""), "-k .");
	assert_true(asprintf(&file, "%.*s/x.itb", (int)where.len - 1, (char *)where.data) > 0);
	assert_true(asprintf(&public, "%.*s/rsa2048.pub", (int)where.len - 1, (char *)where.data) > 0);
	tree = file;
	assert_int_equal(in_child(check_command), 0);
	assert_printed("x.itb: good\n");
	assert_printed(
		"kernel       0x040200000 to 0x0402003e8, 1000 bytes: ");
	assert_printed("x.itb: /images/kernel-1 (raw binary), entered at 0x040200000\n");
	assert_printed("700 bytes: ");
	assert_printed("x.itb: /images/ramdisk-1\n");
	assert_printed("not verified conf-1 of ");
	assert_printed("x.itb, signatures not checked: give --key FILE\n"
		       "             fdt-1: crc32, sha256, kernel-1: crc32, sha256, ramdisk-1: crc32, sha256\n");
	key = public;
	assert_int_equal(in_child(check_command), 0);
	assert_printed("\nverified     conf-1 of ");
	assert_printed("x.itb, signed by rsa2048 (sha256,rsa2048)\n");
	assert_int_equal(in_child(show_command), 0);
	assert_printed("/dts-v1/;");
	/* A bit of the ramdisk, which only loading it would show. */
	ramdisk = memmem(blob.data, blob.len, "ramdisk-1", 9);
	assert_non_null(ramdisk);
	ramdisk[200] ^= 1;
	maker_write("x.itb", blob.data, blob.len);
	assert_int_equal(in_child(check_command), 1);
	assert_printed("x.itb: /images/ramdisk-1/hash-1: value: the image's data has another crc32");
	assert_null(strstr(text, "good"));
	/* Where nothing can be checked, nothing was. */
	key = NULL;
	blob_free(&blob);
	blob = maker_image(source, "", "", "");
	assert_int_equal(in_child(check_command), 0);
	assert_printed("\nnot verified conf-1 of ");
	assert_printed("fdt-1: no hash, kernel-1: no hash, ramdisk-1: no hash\n");
	/* And what is signed, for show too. */
	verify = VERIFY_REQUIRED;
	assert_int_equal(in_child(show_command), 1);
	assert_printed("--verify required: wants keys");
	verify = VERIFY_UNSAID;
	free(file);
	free(public);
	blob_free(&blob);
	blob_free(&where);
	maker_end();
}

/* Under a policy check refuses what run would; show starts nothing, and shows it all the same. */
static void under_a_policy(void **state)
{
	static const char source[] =
		"/dts-v1/; / { description = \"a machine\"; #address-cells = <1>; images {"
		" kernel-1 { data = /incbin/(\"kernel\"); type = \"kernel\"; arch = \"arm64\"; compression = \"none\"; %H };"
		" fdt-1 { data = /incbin/(\"machine.dtb\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
		"}; configurations { default = \"conf-1\"; conf-1 { kernel = \"kernel-1\"; fdt = \"fdt-1\"; %S }; }; };";
	char file[100];
	struct blob blob, where;

	if (!maker_begin())
		skip();
	where = make_dtb();
	blob = maker_image(source, maker_sha256, "", "");
	snprintf(file, sizeof(file), "%.*s/x.itb", (int)where.len - 1, (char *)where.data);
	snprintf(policy, sizeof(policy), "verify required\nkey %.*s/rsa2048.pub\n",
		(int)where.len - 1, (char *)where.data);
	assert_int_equal(in_child(check_command), 1);
	assert_printed("is a tree, which nobody has signed, and /etc/sluice/policy refuses it");
	assert_int_equal(in_child(show_command), 0);
	assert_printed("/dts-v1/;");
	tree = file;
	assert_int_equal(in_child(check_command), 1);
	assert_printed("/configurations/conf-1: a required signature is missing");
	assert_int_equal(in_child(show_command), 0);
	assert_printed("/dts-v1/;");
	/* Who asks for signatures gets them, with the policy's keys. */
	verify = VERIFY_REQUIRED;
	assert_int_equal(in_child(show_command), 1);
	assert_printed("/configurations/conf-1: a required signature is missing");
	verify = VERIFY_UNSAID;
	*policy = '\0';
	blob_free(&blob);
	blob_free(&where);
	maker_end();
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_machine),
		cmocka_unit_test(wrong_machines),
		cmocka_unit_test(all_in_one_round),
		cmocka_unit_test(identities),
		cmocka_unit_test(warnings),
		cmocka_unit_test(too_large),
		cmocka_unit_test(fits),
		cmocka_unit_test(under_a_policy),
	};

	return cmocka_run_group_tests_name("commands", tests, NULL, remove_files);
}
