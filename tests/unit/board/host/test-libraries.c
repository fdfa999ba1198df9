/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that load when used, and what is said where they cannot be loaded. */
#include "tests/unit/helpers/unit.h"

#include <dlfcn.h>
#include <mbedtls/pk.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "board/boot/unpack.h"
#include "board/cli/client.h"
#include "board/fit/fit-crypto.h"
#include "board/host/libraries.h"
#include "tests/unit/helpers/control-bench.h"
#include "hyp/base/log.h"

static unsigned loads;
static bool missing;
static char logged[600];

void *__real_dlopen(const char *file, int flags);
void *__wrap_dlopen(const char *file, int flags);
void *__wrap_dlopen(const char *file, int flags)
{
	loads++;
	return __real_dlopen(missing ? "/nonexistent" : file, flags);
}

static void keep(enum log_level level, const char *line)
{
	snprintf(logged, sizeof(logged), "%s", line);
}

/* First: what is loaded stays. */
static void none_can_be_loaded(void **state)
{
	struct errors refused = { 0 };
	struct client *client;
	struct fit_public_key *key;
	struct fit_hash *hash;
	const char *why;
	z_stream z = { 0 };

	missing = true;
	log_set_sink(keep);
	assert_false(library_load(LIBRARY_JANSSON));
	assert_non_null(
		strstr(logged, "QMP needs libjansson.so.4, which cannot be loaded: /nonexistent"));
	assert_null(json_object());
	assert_null(json_pack("{s:i}", "a", 1));
	assert_null(json_loadb("{}", 2, 0, NULL));
	assert_int_equal(json_object_set_new(NULL, "a", NULL), -1);
	json_delete(NULL);
	for (unsigned kind = 0; kind < UNPACK_KINDS; kind++) {
		static const char *const files[UNPACK_KINDS] = { "gzip needs libz.so.1",
			"zstd needs libzstd.so.1", "xz needs liblzma.so.5", "xz needs liblzma.so.5",
			"lz4 needs liblz4.so.1" };
		struct unpack *unpack;

		assert_int_equal(unpack_begin(kind, &unpack), -ENOENT);
		assert_non_null(strstr(logged, files[kind]));
	}
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_VERSION_ERROR);
	assert_int_equal(inflate(&z, 0), Z_STREAM_ERROR);
	assert_int_equal(client_open("/nonexistent", &refused, &client), -ENOTSUP);
	assert_non_null(
		strstr(refused.lines[0], "QMP needs jansson (libjansson.so.4): install it"));
	/* Neither hash nor signature is right for want of a library. */
	assert_int_equal(fit_crypto_load(FIT_SHA256, "x.itb", &refused), -ENOENT);
	assert_int_equal(fit_crypto_load(FIT_CRC32, "x.itb", &refused), -ENOENT);
	assert_int_equal(fit_crypto_load(FIT_HASH_KINDS, "x.itb", &refused), -ENOENT);
	assert_non_null(
		strstr(refused.lines[1], "x.itb: its sha256 needs mbedTLS (libmbedcrypto.so."));
	assert_string_equal(
		refused.lines[2], "x.itb: its crc32 needs zlib (libz.so.1): install it");
	assert_non_null(
		strstr(refused.lines[3], "x.itb: its signature needs mbedTLS (libmbedcrypto"));
	assert_non_null(strstr(logged, "FIT needs libmbedcrypto.so."));
	assert_int_equal(fit_hash_begin(FIT_SHA256, &hash), -ENOMEM);
	assert_int_equal(fit_public_key_rsa(
				 (const uint8_t *)"abc", 3, (const uint8_t *)"abc", 3, &key, &why),
		-ENOMEM);
	assert_int_equal(mbedtls_pk_verify(NULL, MBEDTLS_MD_SHA256, NULL, 0, NULL, 0),
		MBEDTLS_ERR_PK_ALLOC_FAILED);
	assert_int_equal(mbedtls_pk_verify_ext(MBEDTLS_PK_RSASSA_PSS, NULL, NULL, MBEDTLS_MD_SHA256,
				 NULL, 0, NULL, 0),
		MBEDTLS_ERR_PK_ALLOC_FAILED);
	errors_finish(&refused);
	log_set_sink(NULL);
}

/* A client of a control socket is not left waiting for a greeting. */
static void a_client_is_closed(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char byte;

	missing = true;
	open_bench(state);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	pump(0);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	close_bench(state);
}

/* What happens while nobody listens loads nothing; the first client does, once. */
static void the_first_client_loads_it(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char line[200] = "";

	missing = false;
	loads = 0;
	open_bench(state);
	control_notify(control, MACHINE_RESET, "guest-reset");
	control_notify(control, MACHINE_STOP, NULL);
	pump(0);
	assert_int_equal(loads, 0);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	pump(0);
	assert_true(recv(fd, line, sizeof(line) - 1, 0) > 0);
	assert_non_null(strstr(line, "\"QMP\""));
	assert_int_equal(loads, 1);
	close(fd);
	pump(0);
	close_bench(state);
}

static void inflate_is_zlibs(void **state)
{
	z_stream z = { 0 };

	missing = false;
	loads = 0;
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflateEnd(&z), Z_OK);
	assert_int_equal(loads, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_can_be_loaded),
		cmocka_unit_test(a_client_is_closed),
		cmocka_unit_test(the_first_client_loads_it),
		cmocka_unit_test(inflate_is_zlibs),
	};

	return cmocka_run_group_tests_name("libraries", tests, NULL, NULL);
}
