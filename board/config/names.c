/* SPDX-License-Identifier: Apache-2.0 */
/* Names of properties and classes: the nearest known name, and the class of a compatible. */
#include <stdio.h>
#include <string.h>

#include "board/config/reader.h"
#include "board/config/tree-file.h"
#include "devices/device.h"

/* Levenshtein's distance; both at most TREE_NAME long. */
static unsigned distance(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned row[TREE_NAME + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

const char *nearest_name(const char *name, const char *const *names)
{
	const char *nearest = NULL;
	size_t len = strlen(name);
	unsigned best = len < 9 ? 3 : len / 3 + 1; /* one more than what still counts as near */

	if (len > TREE_NAME)
		return NULL;
	for (; *names; names++) {
		unsigned d = strlen(*names) > TREE_NAME ? best : distance(name, *names);

		if (d < best) {
			best = d;
			nearest = *names;
		}
	}
	return nearest;
}

const char *did_you_mean(char buf[DID_YOU_MEAN], const char *name, const char *const *names)
{
	const char *nearest = nearest_name(name, names);

	/* Properties of sluice,* nodes have no prefix: the name may be right without it. */
	if (!nearest && !strncmp(name, "sluice,", 7))
		nearest = nearest_name(name + 7, names);
	*buf = '\0';
	if (nearest)
		snprintf(buf, DID_YOU_MEAN, "; did you mean %s?", nearest);
	return buf;
}

const struct device_class *device_class_of(const char *compatible)
{
	for (size_t i = 0; device_table[i]; i++)
		if (!strcmp(device_table[i]->compatible, compatible))
			return device_table[i];
	return NULL;
}
