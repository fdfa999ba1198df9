/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FIT of any bytes, opened, verified and read whole, without keys and with one; and the same bytes as keys. The key
 * below has signed one image, of which the corpus has two forms, and its private half is gone: whatever else is taken
 * with it was forged.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/fit/fit-digest.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"

static const char key[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERIPlXntjpggjHRdMIZdoRHqVhfgf\n"
			  "lkfltUDUqI4d3+8jrltG9SFyyeFrTFwjt0iEgL7zk0zy2g8KyCWH/IKNAg==\n"
			  "-----END PUBLIC KEY-----\n";

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("fit", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

static bool is(const void *data, uint64_t size, const char *text)
{
	return size == strlen(text) && !memcmp(data, text, size);
}

/* All that can be used of the signed image is what was signed. */
static void check_signed(const struct fit_configuration *found, const void *kernel)
{
	CHECK(!strcmp(found->name, "c") && !strcmp(found->kernel.name, "k"));
	CHECK(found->kernel.type == FIT_KERNEL && found->kernel.compression == FIT_NONE);
	CHECK(found->kernel.has_load && found->kernel.load == 4 && !found->kernel.has_entry);
	CHECK(!found->has_ramdisk && found->fdt_count == 1 && !strcmp(found->fdts[0].name, "f"));
	CHECK(is(kernel, found->kernel.data.size, "the signed kernel"));
}

static int read_all(int fd, const struct fit *fit, const char *name, const struct fit_keys *keys,
	struct errors *errors)
{
	static struct fit_configuration found;
	struct fit_trust *trust;
	void *kernel, *data;
	int err = fit_configuration(fit, name, errors, &found);

	if (err)
		return err;
	err = fit_verify(fit, &found, keys, errors, &trust);
	if (err)
		return err;
	err = fit_digest_file(trust, &found.kernel, fd, 1 << 20, errors, &kernel, NULL);
	if (!err && keys)
		check_signed(&found, kernel);
	if (!err)
		free(kernel);
	if (!err && found.has_ramdisk)
		err = fit_digest_file(trust, &found.ramdisk, fd, 1 << 20, errors, NULL, NULL);
	for (unsigned i = 0; !err && i < found.fdt_count; i++) {
		err = fit_digest_file(trust, &found.fdts[i], fd, 1 << 20, errors, &data, NULL);
		if (!err)
			free(data);
	}
	fit_trust_destroy(trust);
	return err;
}

static void read_fit(int fd, const struct fit_keys *keys)
{
	struct errors errors = { 0 };
	const char *compatible = NULL;
	struct fit *fit;
	int err = fit_open(fd, "x.itb", &errors, &fit);

	CHECK((err < 0) == errors_any(&errors));
	if (!err) {
		err = read_all(fd, fit, NULL, keys, &errors);
		CHECK((err < 0) == errors_any(&errors));
		for (unsigned i = 0; i < fit_configuration_count(fit) && i < 4; i++) {
			errors_finish(&errors);
			err = read_all(fd, fit, fit_configuration_name(fit, i), keys, &errors);
			CHECK((err < 0) == errors_any(&errors));
			while ((compatible = fit_configuration_compatible(fit, i, compatible)))
				CHECK(strlen(compatible) < 1 << 20);
		}
		fit_close(fit);
	}
	errors_finish(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fit_keys *known;
	struct errors errors = { 0 };
	struct fit_keys *keys;
	int fd, err;

	if (!known) {
		fd = file_of(key, strlen(key));
		CHECK(!fit_keys_create(&known) && !fit_keys_add(known, fd, "k.pub", &errors));
		close(fd);
	}
	fd = file_of(data, size);
	read_fit(fd, NULL);
	read_fit(fd, known);
	CHECK(!fit_keys_create(&keys));
	err = fit_keys_add(keys, fd, "keys", &errors);
	CHECK((err < 0) == errors_any(&errors) && (err || keys->count));
	fit_keys_destroy(keys);
	errors_finish(&errors);
	close(fd);
	return 0;
}
