/* SPDX-License-Identifier: Apache-2.0 */
/* What a terminal would obey is not printed, by whatever bytes it is meant; what people write is. */
#include "tests/unit/helpers/unit.h"

#include <stdlib.h>
#include <string.h>

#include "board/text/columns.h"
#include "board/text/plain.h"
#include "hyp/base/util.h"

static void texts(void **state)
{
	static const struct {
		const char *text, *plain; /* NULL: the same */
	} all[] = {
		{ "", NULL },
		{ " ~", NULL },
		{ "\xc2\xa0\xc3\x9b\xdf\xbf", NULL },
		{ "\xe0\xa0\x80\xe2\x82\xac\xed\x9f\xbf\xef\xbf\xbd", NULL },
		{ "\xf0\x90\x80\x80\xf0\x9f\x99\x82\xf4\x8f\xbf\xbf", NULL },
		{ "\x1b[m\x01\t\n\x1f\x7f", "?[m?????" },
		/* C1: alone, as UTF-8, and in more bytes than it takes. */
		{ "a\x80\x9b\x9f", "a???" },
		{ "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "??????\xc2\xa0" },
		{ "\xc0\x9b\xc1\x9b\xe0\x82\x9b\xf0\x80\x82\x9b", "???????????" },
		/* No UTF-8. */
		{ "\xe4", "?" },
		{ "\xc3~\xe2\x82~\xf0\x90\x80~", "?~??~???~" },
		{ "\xc3\xc3\xa4", "?\xc3\xa4" },
		{ "\xed\xa0\x80\xf4\x90\x80\x80\xf5\x80\x80\x80\xff", "????????????" },
		{ "\xe2\x82", "??" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *plain = all[i].plain ? all[i].plain : all[i].text;
		char *text = strdup(all[i].text), *printed = NULL;
		size_t size;
		FILE *stream = open_memstream(&printed, &size);

		plain_print(text, stream);
		fclose(stream);
		assert_string_equal(printed, plain);
		assert_ptr_equal(plain_text(text), text);
		assert_string_equal(text, plain);
		free(printed);
		free(text);
	}
	plain_print(NULL, stdout);
}

static void tables(void **state)
{
	struct columns columns = { .align = "lr" };
	char *printed = NULL;
	size_t size;
	FILE *stream = open_memstream(&printed, &size);

	columns_add(&columns, "\x1b[2J\t%s", "\xc2\x9b");
	columns_print(&columns, ">", stream);
	fclose(stream);
	assert_string_equal(printed, ">?[2J  ??\n");
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
