/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes one QMP client's bytes, in pieces of any size: each request is answered by one line of JSON. */
#include <errno.h>
#include <string.h>

#include "board/control/qmp.h"
#include "hyp/base/util.h"
#include "tests/fuzz/fuzz.h"

static json_t *run(struct qmp *qmp, json_t *arguments)
{
	CHECK(json_is_object(arguments));
	return json_object_get(arguments, "fail") ? qmp_fail(qmp, QMP_GENERIC_ERROR, "as it wants")
						  : json_incref(arguments);
}

static const struct qmp_argument arguments[] = {
	{ "name", "string" },
	{ "count", "integer", true },
	{ "list", "array", true },
	{ "fail", "any", true },
	{ 0 },
};
static const struct qmp_command commands[] = {
	{ "plain", run },
	{ "takes", run, arguments },
	{ 0 },
};

static void on_line(struct qmp *qmp, const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, 0, NULL);

	CHECK(len && line[len - 1] == '\n' && memchr(line, '\n', len) == line + len - 1);
	CHECK(json_is_object(json));
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp qmp = { .commands = commands, .send = on_line };
	size_t piece = size ? 1 + data[0] : 1;
	ssize_t n = 0;

	qmp_greet(&qmp);
	for (size_t at = 1; at < size && n >= 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		n = qmp_feed(&qmp, (const char *)data + at, len);
		CHECK(n == (ssize_t)len || n == -EMSGSIZE);
	}
	qmp_finish(&qmp);
	return 0;
}
