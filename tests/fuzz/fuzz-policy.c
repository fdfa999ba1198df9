/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/sluice/policy of any bytes: what is read of it is what it says, or it is refused with an error. */
#include <stdio.h>
#include <string.h>

#include "board/config/policy.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t *bytes;
static size_t len;

FILE *__wrap_fopen64(const char *name, const char *mode);
FILE *__wrap_fopen64(const char *name, const char *mode)
{
	CHECK(!strcmp(name, POLICY));
	return fmemopen((void *)bytes, len, "r");
}

bool __wrap_etc_has(int fd);
bool __wrap_etc_has(int fd)
{
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errors errors = { 0 };
	struct policy policy;
	int err;

	if (!size)
		return 0;
	bytes = data;
	len = size;
	err = policy_read(&errors, &policy);
	CHECK((err < 0) == errors_any(&errors));
	for (size_t i = 0; i < policy.folder_count; i++)
		CHECK(policy.folders[i][0] == '/' && strlen(policy.folders[i]) < POLICY_LINE);
	for (size_t i = 0; i < policy.key_count; i++)
		CHECK(policy.keys[i][0] == '/' && strlen(policy.keys[i]) < POLICY_LINE);
	CHECK(err || !memchr(data, 0, size));
	CHECK(err || policy.says_verify || (!policy.key_count && !policy.version_required));
	/* No file that says so is taken for one that does not. */
	if (!err && size >= 16 && !memcmp(data, "verify required\n", 16))
		CHECK(policy.required && policy.says_verify);
	policy_finish(&policy);
	errors_finish(&errors);
	return 0;
}
