/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes read and printed; see size.h. */
#include "board/text/size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "hyp/base/util.h"

static const struct unit {
	const char *name;
	uint64_t bytes;
} units[] = {
	{ "TiB", TiB },
	{ "GiB", GiB },
	{ "MiB", MiB },
	{ "KiB", KiB },
};

/* The bytes of a unit; 0 if no unit has that name. */
static uint64_t unit_bytes(const char *text)
{
	if (!*text || !strcasecmp(text, "B") || !strcasecmp(text, "bytes"))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcasecmp(text, units[i].name) ||
			(toupper((unsigned char)text[0]) == units[i].name[0] && !text[1]))
			return units[i].bytes;
	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	unsigned __int128 digits = 0, scale = 1, bytes;
	uint64_t unit;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		digits = digits * 10 + (unsigned)(*text - '0');
		if (digits >> 63)
			return -ERANGE;
	}
	if (*text == '.') {
		text++;
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		/* Six decimals keep digits * unit far below 2^128. */
		for (; isdigit((unsigned char)*text) && scale < 1000000; text++, scale *= 10)
			digits = digits * 10 + (unsigned)(*text - '0');
	}
	if (*text == ' ' && text[1])
		text++;
	unit = unit_bytes(text);
	if (!unit)
		return -EINVAL;
	bytes = digits * unit;
	if (bytes % scale)
		return -EINVAL;
	bytes /= scale;
	if (bytes >> 63)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

const char *size_print(char buf[SIZE_TEXT], uint64_t bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t rest = bytes % units[i].bytes * 100; /* below 2^47 */
		uint64_t whole = bytes / units[i].bytes;
		unsigned hundredths = (unsigned)(rest / units[i].bytes);

		if (!whole || rest % units[i].bytes)
			continue;
		if (!hundredths)
			snprintf(buf, SIZE_TEXT, "%" PRIu64 " %s", whole, units[i].name);
		else if (hundredths % 10)
			snprintf(buf, SIZE_TEXT, "%" PRIu64 ".%02u %s", whole, hundredths,
				units[i].name);
		else
			snprintf(buf, SIZE_TEXT, "%" PRIu64 ".%u %s", whole, hundredths / 10,
				units[i].name);
		return buf;
	}
	/* 0 needs no unit. */
	snprintf(buf, SIZE_TEXT, bytes ? "%" PRIu64 " bytes" : "%" PRIu64, bytes);
	return buf;
}
