/* SPDX-License-Identifier: Apache-2.0 */
/* Text without control characters; see plain.h. */
#include "board/text/plain.h"

#include <stddef.h>

/*
 * The bytes of the character that the text begins with; 0: it is a control character, or none. Strict, since a terminal
 * may take what is longer than needed for a control character (Unicode, table 3-7).
 */
static size_t printable(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t len = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
	unsigned least = c[0] == 0xc2 ? 0xa0 : c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80;
	unsigned most = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;

	if (c[0] < 0x80)
		return c[0] >= ' ' && c[0] != 0x7f;
	if (c[0] < 0xc2 || c[0] > 0xf4 || c[1] < least || c[1] > most)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (c[i] >> 6 != 2)
			return 0;
	return len;
}

char *plain_text(char *text)
{
	for (char *c = text; *c;) {
		size_t len = printable(c);

		if (!len)
			*c = '?';
		c += len ? len : 1;
	}
	return text;
}

void plain_print(const char *text, FILE *stream)
{
	for (size_t len; text && *text; text += len ? len : 1) {
		len = printable(text);
		fprintf(stream, "%.*s", len ? (int)len : 1, len ? text : "?");
	}
}
