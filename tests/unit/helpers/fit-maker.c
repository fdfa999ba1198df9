/* SPDX-License-Identifier: Apache-2.0 */
/* FIT images for tests; see fit-maker.h. */
#include "tests/unit/helpers/fit-maker.h"

#include "tests/unit/helpers/unit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"

static char folder[40];
struct errors maker_errors;

/* ---- mkimage ---- */

const char maker_sha256[] = "hash-1 { algo = \"sha256\"; };";

void maker_run(const char *format, ...)
{
	char *command, *whole;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) >= 0);
	va_end(args);
	assert_true(asprintf(&whole, "cd %s && { %s; } >said 2>&1", folder, command) >= 0);
	if (system(whole)) {
		free(whole);
		assert_true(asprintf(&whole, "sed 's/^/# /' %s/said", folder) >= 0);
		print_message("# failed: %s\n", command);
		if (system(whole))
			print_message("# and said nothing\n");
		fail();
	}
	free(whole);
	free(command);
}

static void in_folder(const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "%s/%s", folder, name);
}

struct blob maker_read(const char *name)
{
	struct blob blob;
	char path[100];
	FILE *file;

	in_folder(name, path, sizeof(path));
	file = fopen(path, "re");
	assert_non_null(file);
	blob.data = malloc(1 << 21);
	assert_non_null(blob.data);
	blob.len = fread(blob.data, 1, 1 << 21, file);
	fclose(file);
	return blob;
}

void maker_write(const char *name, const void *data, size_t len)
{
	char path[100];
	FILE *file;

	in_folder(name, path, sizeof(path));
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

bool maker_begin(void)
{
	static const char *const tools[] = { "mkimage", "openssl", "dtc" };
	uint8_t bytes[1000];

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		char command[60];

		snprintf(command, sizeof(command), "command -v %s >/dev/null", tools[i]);
		if (system(command)) {
			print_message("# skipped: no %s here (toolchain/install installs it)\n",
				tools[i]);
			return false;
		}
	}
	strcpy(folder, "/tmp/sluice-fit-XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i >> 3);
	maker_write("kernel", bytes, 1000);
	maker_write("ramdisk", bytes + 100, 700);
	maker_run(
		"for n in 2048 3072 4096; do"
		" openssl req -batch -new -x509 -newkey rsa:$n -nodes -keyout rsa$n.key -subj /CN=k -out rsa$n.crt &&"
		" openssl pkey -in rsa$n.key -pubout -out rsa$n.pub || exit; done;"
		"key() { openssl ecparam -name $2 -genkey -noout -out $1.pem && openssl pkey -in $1.pem -pubout -out $1.pub; };"
		"key ecdsa256 prime256v1 && key other prime256v1 && key ecdsa384 secp384r1 &&"
		"echo '/dts-v1/; / { compatible = \"sluice,test\"; };' | dtc -O dtb -o board.dtb &&"
		"echo '/dts-v1/; /plugin/; &{/} { a; };' | dtc -O dtb -o overlay.dtbo");
	return true;
}

void maker_end(void)
{
	char command[60];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_true(!*folder || !system(command));
	errors_finish(&maker_errors);
}

static const char usual[] =
	"/dts-v1/; / { description = \"all\"; #address-cells = <1>; images {"
	" kernel-1 { description = \"a kernel\"; data = /incbin/(\"kernel\"); type = \"kernel\"; arch = \"arm64\";"
	"  os = \"linux\"; compression = \"none\"; load = <0x40200000>; entry = <0x40200000>; %H };"
	" ramdisk-1 { data = /incbin/(\"ramdisk\"); type = \"ramdisk\"; arch = \"arm64\"; os = \"linux\"; compression = \"none\"; %H };"
	" fdt-1 { data = /incbin/(\"board.dtb\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
	" fdt-2 { data = /incbin/(\"overlay.dtbo\"); type = \"flat_dt\"; arch = \"arm64\"; compression = \"none\"; %H };"
	"}; configurations { default = \"conf-1\"; conf-1 { description = \"one\"; kernel = \"kernel-1\"; ramdisk = \"ramdisk-1\";"
	" fdt = \"fdt-1\", \"fdt-2\"; %S }; }; };";

static void write_source(const char *source, const char *hashes, const char *signature)
{
	char *its = NULL;
	size_t len;
	FILE *out = open_memstream(&its, &len);

	for (const char *c = source; *c; c++)
		if (c[0] == '%' && (c[1] == 'H' || c[1] == 'S'))
			fputs(*++c == 'H' ? hashes : signature, out);
		else
			fputc(*c, out);
	fclose(out);
	maker_write("x.its", its, len);
	free(its);
}

bool maker_knows(const char *algorithm, const char *key)
{
	char command[100];

	write_source(usual, maker_sha256, maker_signature(algorithm, key, ""));
	snprintf(command, sizeof(command), "cd %s && mkimage -k . -f x.its x.itb >said 2>&1",
		folder);
	return !system(command);
}

struct blob maker_image(
	const char *source, const char *hashes, const char *signature, const char *options)
{
	write_source(source ? source : usual, hashes, signature);
	maker_run("rm -f x.itb; mkimage %s -f x.its x.itb", options);
	return maker_read("x.itb");
}

const char *maker_signature(const char *algorithm, const char *key, const char *more)
{
	static char text[400];

	snprintf(text, sizeof(text),
		"signature-1 { algo = \"%s\"; key-name-hint = \"%s\"; sign-images = \"kernel\", \"fdt\", \"ramdisk\"; %s };",
		algorithm, key, more);
	return text;
}

void maker_require(const char *name)
{
	/* fdtget says whether there is such a node, or property. */
	maker_run(
		"for k in ecdsa256 ecdsa384; do if fdtget -p %s /signature/$k && ! fdtget %s /signature/$k required; then"
		" fdtput -t s %s /signature/$k required conf; fi; done; true",
		name, name, name);
}

void maker_keys(const char *name, struct fit_keys **keys)
{
	static char names[16][100];
	static unsigned used;
	char *path = names[used++ % 16];
	int fd, err;

	in_folder(name, path, sizeof(names[0]));
	if (!*keys)
		assert_int_equal(fit_keys_create(keys), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	errors_finish(&maker_errors);
	err = fit_keys_add(*keys, fd, path, &maker_errors);
	close(fd);
	for (size_t i = 0; i < maker_errors.count; i++)
		print_message("# %s\n", maker_errors.lines[i]);
	assert_int_equal(err, 0);
	assert_int_equal(errors_count(&maker_errors), 0);
}

void maker_control(const char *name, const char *more)
{
	maker_run(
		"echo '/dts-v1/; / { signature { %s }; };' | dtc -p 8192 -O dtb -o %s", more, name);
}

/* ---- Files ---- */

int blob_fd(const struct blob *blob)
{
	int fd = memfd_create("fit", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, blob->data, blob->len), blob->len);
	return fd;
}

struct blob blob_copy(const struct blob *blob)
{
	struct blob copy = { malloc(blob->len + 1), blob->len };

	assert_non_null(copy.data);
	memcpy(copy.data, blob->data, blob->len);
	return copy;
}

void blob_free(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){ 0 };
}

/* ---- Tag by tag ---- */

void builder_tag(struct builder *builder, uint32_t tag)
{
	fdt32_st(builder->structure + builder->structure_len, tag);
	builder->structure_len += 4;
}

static void put(struct builder *builder, const void *data, size_t len)
{
	assert_true(builder->structure_len + len + 64 < sizeof(builder->structure));
	memcpy(builder->structure + builder->structure_len, data, len);
	memset(builder->structure + builder->structure_len + len, 0, 4);
	builder->structure_len += align_up(len, 4);
}

void builder_begin(struct builder *builder, const char *name)
{
	builder_tag(builder, FDT_BEGIN_NODE);
	put(builder, name, strlen(name) + 1);
}

void builder_end(struct builder *builder)
{
	builder_tag(builder, FDT_END_NODE);
}

void builder_property(struct builder *builder, const char *name, const void *value, size_t len)
{
	size_t at = 0;

	while (at < builder->strings_len && strcmp((char *)builder->strings + at, name))
		at += strlen((char *)builder->strings + at) + 1;
	if (at == builder->strings_len) {
		assert_true(at + strlen(name) + 1 < sizeof(builder->strings));
		strcpy((char *)builder->strings + at, name);
		builder->strings_len += strlen(name) + 1;
	}
	builder_tag(builder, FDT_PROP);
	builder_tag(builder, (uint32_t)len);
	builder_tag(builder, (uint32_t)at);
	put(builder, value, len);
}

void builder_string(struct builder *builder, const char *name, const char *value)
{
	builder_property(builder, name, value, strlen(value) + 1);
}

void builder_cell(struct builder *builder, const char *name, uint32_t value)
{
	fdt32_t cell = cpu_to_fdt32(value);

	builder_property(builder, name, &cell, 4);
}

struct blob builder_finish(struct builder *builder)
{
	struct fdt_header header = { 0 };
	struct blob blob;
	size_t at = align_up(sizeof(header) + 16, 8);

	builder_tag(builder, FDT_END);
	blob.len = at + builder->structure_len + builder->strings_len;
	blob.data = calloc(1, blob.len);
	assert_non_null(blob.data);
	header.magic = cpu_to_fdt32(FDT_MAGIC);
	header.totalsize = cpu_to_fdt32((uint32_t)blob.len);
	header.off_dt_struct = cpu_to_fdt32((uint32_t)at);
	header.size_dt_struct = cpu_to_fdt32((uint32_t)builder->structure_len);
	header.off_dt_strings = cpu_to_fdt32((uint32_t)(at + builder->structure_len));
	header.size_dt_strings = cpu_to_fdt32((uint32_t)builder->strings_len);
	header.off_mem_rsvmap = cpu_to_fdt32(sizeof(header));
	header.version = cpu_to_fdt32(17);
	header.last_comp_version = cpu_to_fdt32(16);
	memcpy(blob.data, &header, sizeof(header));
	memcpy(blob.data + at, builder->structure, builder->structure_len);
	memcpy(blob.data + at + builder->structure_len, builder->strings, builder->strings_len);
	builder->structure_len = builder->strings_len = 0;
	return blob;
}

/* ---- What is said of an image ---- */

/* All of an image, its data as a sum: FNV-1a. */
static int say_image(
	FILE *out, struct fit_trust *trust, const struct fit_image *image, int fd)
{
	uint64_t sum = 0xcbf29ce484222325;
	uint8_t *data;
	void *got;
	int err = fit_digest_file(trust, image, fd, 1 << 22, &maker_errors, &got, NULL);

	if (err)
		return err;
	data = got;
	for (uint64_t i = 0; i < image->data.size; i++)
		sum = (sum ^ data[i]) * 0x100000001b3;
	free(got);
	fprintf(out,
		" %s: type %d, %s, os %s, load %d %" PRIx64 ", entry %d %" PRIx64 ", %" PRIu64
		" bytes, sum %" PRIx64 ";",
		image->name, image->type, fit_compression_name(image->compression), image->os,
		image->has_load, image->load, image->has_entry, image->entry, image->data.size,
		sum);
	return 0;
}

static int say_all(
	FILE *out, const struct fit *fit, const char *name, const struct fit_keys *keys, int fd)
{
	static struct fit_configuration found;
	struct fit_trust *trust;
	int err = fit_configuration(fit, name, &maker_errors, &found);

	if (err)
		return err;
	err = fit_verify(fit, &found, keys, &maker_errors, &trust);
	if (err)
		return err;
	fprintf(out, "%s signed by [%s]:", found.name, fit_trust_signatures(trust));
	err = say_image(out, trust, &found.kernel, fd);
	if (!err && found.has_ramdisk)
		err = say_image(out, trust, &found.ramdisk, fd);
	for (unsigned i = 0; !err && i < found.fdt_count; i++)
		err = say_image(out, trust, &found.fdts[i], fd);
	fit_trust_destroy(trust);
	return err;
}

char *judge(const struct blob *blob, const char *configuration, const struct fit_keys *keys)
{
	int fd = blob_fd(blob), err;
	char *text = NULL;
	struct fit *fit;
	size_t len;
	FILE *out;

	errors_finish(&maker_errors);
	err = fit_open(fd, "x.itb", &maker_errors, &fit);
	if (err) {
		close(fd);
		assert_true(errors_any(&maker_errors));
		return NULL;
	}
	out = open_memstream(&text, &len);
	err = say_all(out, fit, configuration, keys, fd);
	fclose(out);
	fit_close(fit);
	close(fd);
	assert_int_equal(err < 0, errors_any(&maker_errors));
	if (!err)
		return text;
	free(text);
	return NULL;
}

static void say_errors(void)
{
	for (size_t i = 0; i < maker_errors.count; i++)
		print_message("# %s\n", maker_errors.lines[i]);
}

void refuses(const struct blob *blob, const char *configuration, const struct fit_keys *keys,
	const char *what)
{
	char *text = judge(blob, configuration, keys);
	bool found = false;

	if (text)
		print_message("# it is taken: %s\n", text);
	assert_null(text);
	for (size_t i = 0; i < maker_errors.count; i++)
		found = found || strstr(maker_errors.lines[i], what);
	if (!found) {
		print_message("# no error says: %s\n", what);
		say_errors();
	}
	assert_true(found);
}

void takes(const struct blob *blob, const char *configuration, const struct fit_keys *keys,
	const char *what)
{
	char *text = judge(blob, configuration, keys);

	if (!text)
		say_errors();
	assert_non_null(text);
	if (!strstr(text, what))
		print_message("# not said: %s, but: %s\n", what, text);
	assert_non_null(strstr(text, what));
	free(text);
}
