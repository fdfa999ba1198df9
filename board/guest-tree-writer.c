/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into the guest's tree; see guest-tree-internal.h. */
#include <libfdt.h>
#include <string.h>

#include "board/guest-tree-internal.h"
#include "hyp/util.h"

void writer_note(struct writer *w, int err)
{
	if (err < 0 && !w->err)
		w->err = err;
}

int writer_add_node(struct writer *w, int parent, const char *name)
{
	int node = w->err ? 0 : fdt_add_subnode(w->fdt, parent, name);

	writer_note(w, node);
	return node;
}

void writer_put(struct writer *w, int node, const char *name, const void *value, int len)
{
	if (!w->err)
		writer_note(w, fdt_setprop(w->fdt, node, name, value, len));
}

void writer_put_string(struct writer *w, int node, const char *name, const char *value)
{
	writer_put(w, node, name, value, strlen(value) + 1);
}

void writer_put_u64(struct writer *w, int node, const char *name, uint64_t value)
{
	if (!w->err)
		writer_note(w, fdt_setprop_u64(w->fdt, node, name, value));
}

void writer_put_cells(
	struct writer *w, int node, const char *name, const uint32_t *cells, size_t count)
{
	fdt32_t value[16];

	CHECK(count <= ARRAY_SIZE(value));
	for (size_t i = 0; i < count; i++)
		value[i] = cpu_to_fdt32(cells[i]);
	writer_put(w, node, name, value, count * sizeof(value[0]));
}

void writer_put_strings(struct writer *w, int node, const char *name, const char *const *strings)
{
	writer_put(w, node, name, NULL, 0);
	for (; *strings && !w->err; strings++)
		writer_note(w, fdt_appendprop_string(w->fdt, node, name, *strings));
}

static void append_number(
	struct writer *w, int node, const char *name, unsigned cells, uint64_t value)
{
	if (!w->err)
		writer_note(w, cells == 2 ? fdt_appendprop_u64(w->fdt, node, name, value)
					  : fdt_appendprop_u32(w->fdt, node, name, value));
}

void writer_add_reg(struct writer *w, int node, uint64_t gpa, uint64_t size)
{
	append_number(w, node, "reg", w->address_cells, gpa);
	append_number(w, node, "reg", w->size_cells, size);
}
