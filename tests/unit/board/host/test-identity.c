/* SPDX-License-Identifier: Apache-2.0 */
/* Identities: the hash against its authors' own values, the host's id, and what makes a difference. */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "board/host/identity.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

/* vectors_sip64 of the reference: key 00 01 ... 0f, message 00 01 ... of each length. */
static void hash(void **state)
{
	static const uint64_t expected[] = { 0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
		0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462,
		0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7, 0x751e8fbc860ee5fb, 0x14ea5627c0843d90,
		0xf723ca908e7af2ee, 0xa129ca6149be45e5 };
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t len = 0; len < ARRAY_SIZE(expected); len++)
		assert_int_equal(siphash(bytes, bytes, len), expected[len]);
}

static void differs(void **state)
{
	static const char *const names[][2] = { { "machine", "net0" }, { "another", "net0" }, { "machine", "net1" },
		{ "machinen", "et0" }, { "machin", "enet0" }, { NULL, "net0" }, { "machine", "" } };
	uint8_t host[HOST_ID_BYTES] = { 0 };
	uint64_t have[2 * ARRAY_SIZE(names)];
	size_t count = 0;

	for (host[15] = 0; host[15] < 2; host[15]++)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			have[count] = identity_of(host, names[i][0], names[i][1]);
			assert_int_equal(have[count], identity_of(host, names[i][0], names[i][1]));
			for (size_t k = 0; k < count; k++)
				assert_int_not_equal(have[k], have[count]);
			count++;
		}
}

/* Whatever a file says: an id, or none. */
static void ids_of_hosts(void **state)
{
	static const struct {
		const char *etc, *dbus;
		uint8_t first; /* of the id; 0: none */
	} hosts[] = {
		{ "0123456789abcdef0123456789ABCDEF\n", NULL, 0x01 },
		{ "a123456789abcdef0123456789abcdef", "b123456789abcdef0123456789abcdef\n", 0xa1 },
		{ "", "b123456789abcdef0123456789abcdef\n", 0xb1 },
		{ "uninitialized\n", NULL, 0 },
		{ "0123456789abcdef0123456789abcde\n", NULL, 0 },
		{ "0123456789abcdef0123456789abcdef0\n", NULL, 0 },
		{ "0123456789abcdef0123456789abcdeg\n", NULL, 0 },
		{ NULL, NULL, 0 },
	};
	uint8_t none[HOST_ID_BYTES] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		static const char *const files[] = { "etc/machine-id", "var/lib/dbus/machine-id" };
		uint8_t id[HOST_ID_BYTES] = { 7 };
		char root[256];
		/* A folder of this test's own, with a file that means nothing. */
		const char *path = tree_source_file("here", "", "");

		snprintf(root, sizeof(root), "%.*s/%zu", (int)(strrchr(path, '/') - path), path, i);
		for (size_t f = 0; f < 2; f++) {
			const char *text = f ? hosts[i].dbus : hosts[i].etc;
			char file[512];
			FILE *stream;

			if (!text)
				continue;
			snprintf(file, sizeof(file), "%s/%s", root, files[f]);
			for (char *slash = strchr(file + strlen(root), '/'); slash; slash = strchr(slash + 1, '/')) {
				*slash = '\0';
				mkdir(file, 0700);
				*slash = '/';
			}
			stream = fopen(file, "w");
			assert_non_null(stream);
			fputs(text, stream);
			fclose(stream);
		}
		assert_int_equal(identity_read_host(root, id), hosts[i].first ? 0 : -ENOENT);
		if (hosts[i].first)
			assert_int_equal(id[0], hosts[i].first);
		else
			assert_memory_equal(id, none, sizeof(none));
	}
}

static int discard(void **state)
{
	tree_source_finish();
	return 0;
}

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest tests[] = { TEST(hash), TEST(differs), TEST(ids_of_hosts) };

	return cmocka_run_group_tests_name("identity", tests, NULL, discard);
}
