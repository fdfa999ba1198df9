/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into the guest's tree; see guest-tree-internal.h. */
#include <libfdt.h>
#include <string.h>

#include "board/boot/guest-tree-internal.h"
#include "hyp/base/util.h"

void writer_note(struct writer *w, int err)
{
	if (err < 0 && !w->err)
		w->err = err;
}

void writer_begin(struct writer *w, const char *name)
{
	if (!w->err)
		writer_note(w, fdt_begin_node(w->fdt, name));
}

void writer_end(struct writer *w)
{
	if (!w->err)
		writer_note(w, fdt_end_node(w->fdt));
}

/* Room for a property of `len` bytes; NULL after an error. */
static uint8_t *room_for(struct writer *w, const char *name, size_t len)
{
	void *room = NULL;

	if (!w->err)
		writer_note(w, fdt_property_placeholder(w->fdt, name, (int)len, &room));
	return w->err ? NULL : room;
}

void writer_put(struct writer *w, const char *name, const void *value, int len)
{
	if (!w->err)
		writer_note(w, fdt_property(w->fdt, name, value, len));
}

void writer_put_string(struct writer *w, const char *name, const char *value)
{
	writer_put(w, name, value, (int)strlen(value) + 1);
}

void writer_put_u64(struct writer *w, const char *name, uint64_t value)
{
	if (!w->err)
		writer_note(w, fdt_property_u64(w->fdt, name, value));
}

void writer_put_cells(struct writer *w, const char *name, const uint32_t *cells, size_t count)
{
	uint8_t *at = room_for(w, name, count * sizeof(*cells));

	for (size_t i = 0; at && i < count; i++)
		fdt32_st(at + i * sizeof(*cells), cells[i]);
}

void writer_put_strings(struct writer *w, const char *name, const char *const *strings)
{
	size_t len = 0;
	char *at;

	for (size_t i = 0; strings[i]; i++)
		len += strlen(strings[i]) + 1;
	at = (char *)room_for(w, name, len);
	for (; at && *strings; strings++)
		at = stpcpy(at, *strings) + 1;
}

static uint8_t *put_number(uint8_t *at, unsigned cells, uint64_t value)
{
	if (cells == 2)
		fdt64_st(at, value);
	else
		fdt32_st(at, (uint32_t)value);
	return at + cells * sizeof(uint32_t);
}

void writer_put_reg(struct writer *w, const struct range *ranges, size_t count)
{
	uint8_t *at = room_for(
		w, "reg", count * (w->address_cells + w->size_cells) * sizeof(uint32_t));

	for (size_t i = 0; at && i < count; i++) {
		at = put_number(at, w->address_cells, ranges[i].gpa);
		at = put_number(at, w->size_cells, ranges[i].size);
	}
}
