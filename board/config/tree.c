/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to properties; see tree.h. */
#include "board/config/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/tree-file.h"
#include "board/text/errors.h"

char *tree_path(const struct tree *tree, int node)
{
	char *path = malloc(TREE_DEPTH * (TREE_NAME + 1) + 2);

	if (path && fdt_get_path(tree->fdt, node, path, TREE_DEPTH * (TREE_NAME + 1) + 2))
		strcpy(path, "?");
	return path;
}

const char *tree_name(const struct tree *tree, int node)
{
	const char *name = fdt_get_name(tree->fdt, node, NULL);

	return name ? name : "";
}

int tree_node(const struct tree *tree, const char *path)
{
	return *path == '/' ? fdt_path_offset(tree->fdt, path) : -FDT_ERR_BADPATH;
}

bool tree_name_is(const struct tree *tree, int node, const char *name)
{
	const char *have = tree_name(tree, node);
	size_t len = strlen(name);

	return !strncmp(have, name, len) && (!have[len] || have[len] == '@');
}

bool tree_type_is(const struct tree *tree, int node, const char *type)
{
	return tree_name_is(tree, node, type) ||
	       !fdt_stringlist_search(tree->fdt, node, "device_type", type);
}

static void add(const struct tree *tree, int node, const char *property, bool warning,
	const char *format, va_list args)
{
	char *path, *text;

	/* Finding a path takes a walk over the tree: not for errors that are dropped. */
	if (tree->errors->count == ERRORS_MAX) {
		(warning ? warning_add : error_add)(tree->errors, "", NULL, "%s", "");
		return;
	}
	path = tree_path(tree, node);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	(warning ? warning_add : error_add)(
		tree->errors, path ? path : "?", property, "%s", text ? text : "out of memory");
	free(text);
	free(path);
}

void tree_error(const struct tree *tree, int node, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(tree, node, property, false, format, args);
	va_end(args);
}

void tree_warning(const struct tree *tree, int node, const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(tree, node, property, true, format, args);
	va_end(args);
}

bool tree_has(const struct tree *tree, int node, const char *property)
{
	return fdt_getprop(tree->fdt, node, property, NULL);
}

bool tree_compatible(const struct tree *tree, int node, const char *compatible)
{
	return !fdt_node_check_compatible(tree->fdt, node, compatible);
}

const char *tree_sluice_compatible(const struct tree *tree, int node)
{
	const char *entry;

	for (int i = 0; (entry = fdt_stringlist_get(tree->fdt, node, "compatible", i, NULL)); i++)
		if (!strncmp(entry, "sluice,", 7))
			return entry;
	return NULL;
}

/* Devicetree specification 0.4, 2.3.4: "fail-sss" says what failed. */
static bool is_off(const char *status)
{
	return !strcmp(status, "disabled") || !strcmp(status, "reserved") ||
	       !strcmp(status, "fail") || !strncmp(status, "fail-", 5);
}

bool tree_off(const struct tree *tree, int node)
{
	int len;
	const char *status = fdt_getprop(tree->fdt, node, "status", &len);

	return status && len && strnlen(status, len) == (size_t)len - 1 && is_off(status);
}

bool tree_disabled(const struct tree *tree, int node)
{
	const char *status;

	if (tree_string(tree, node, "status", &status) != 1)
		return false;
	if (!is_off(status) && strcmp(status, "okay") && strcmp(status, "ok"))
		tree_error(tree, node, "status",
			"\"%s\" is none of \"okay\", \"disabled\", \"reserved\", \"fail\" and \"fail-...\"",
			status);
	return is_off(status);
}

int tree_string(const struct tree *tree, int node, const char *property, const char **ret)
{
	int len;
	const char *value = fdt_getprop(tree->fdt, node, property, &len);

	if (!value)
		return 0;
	if (!len || strnlen(value, len) != len - 1) {
		tree_error(tree, node, property, "one string belongs here: write %s = \"...\"",
			property);
		return -EINVAL;
	}
	*ret = value;
	return 1;
}

uint64_t tree_value(const void *cells, unsigned count)
{
	const fdt32_t *cell = cells;

	return count == 2 ? (uint64_t)fdt32_ld(cell) << 32 | fdt32_ld(cell + 1)
	       : count	  ? fdt32_ld(cell)
			  : 0;
}

uint32_t tree_cell(const struct tree *tree, int node, const char *property, uint32_t other)
{
	int len;
	const fdt32_t *value = fdt_getprop(tree->fdt, node, property, &len);

	return value && len == 4 ? fdt32_ld(value) : other;
}

int tree_u32(const struct tree *tree, int node, const char *property, uint32_t *ret)
{
	int len;
	const void *value = fdt_getprop(tree->fdt, node, property, &len);

	if (!value)
		return 0;
	if (len == 8 && tree_value(value, 2) <= UINT32_MAX)
		tree_error(tree, node, property,
			"8 bytes where a 32-bit number belongs: write <0x%" PRIx64 ">",
			tree_value(value, 2));
	else if (len != 4)
		tree_error(tree, node, property,
			"%d bytes where a 32-bit number belongs: write <N>", len);
	if (len != 4)
		return -EINVAL;
	*ret = tree_value(value, 1);
	return 1;
}

int tree_u64(const struct tree *tree, int node, const char *property, uint64_t *ret)
{
	int len;
	const void *value = fdt_getprop(tree->fdt, node, property, &len);

	if (!value)
		return 0;
	if (len == 4)
		tree_error(tree, node, property,
			"4 bytes where a 64-bit number belongs: write /bits/ 64 <0x%" PRIx64 ">",
			tree_value(value, 1));
	else if (len != 8)
		tree_error(tree, node, property,
			"%d bytes where a 64-bit number belongs: write /bits/ 64 <N>", len);
	if (len != 8)
		return -EINVAL;
	*ret = tree_value(value, 2);
	return 1;
}

int tree_cells(
	const struct tree *tree, int node, const char *property, unsigned least, unsigned *ret)
{
	uint32_t cells;
	int got = tree_u32(tree, node, property, &cells);

	if (got < 0)
		return got;
	if (!got || cells < least || cells > 2) {
		tree_error(tree, node, property,
			least ? "write %s = <2> (or <1>)" : "write %s = <0>", property);
		return -EINVAL;
	}
	*ret = cells;
	return 1;
}

int tree_ranges(const struct tree *tree, int node, const char *property, struct cells cells,
	struct range *ret, size_t max, size_t *ret_count)
{
	size_t entry = 4 * (cells.address + cells.size), count;
	int len, bad = 0;
	const char *value = fdt_getprop(tree->fdt, node, property, &len);

	if (!value)
		return 0;
	if (!len || len % entry) {
		tree_error(tree, node, property,
			"%d bytes are not addresses of %u and sizes of %u cells", len,
			cells.address, cells.size);
		return -EINVAL;
	}
	count = len / entry;
	if (count > max) {
		tree_error(
			tree, node, property, "%zu ranges, at most %zu are possible", count, max);
		return -EINVAL;
	}
	for (size_t i = 0; i < count; i++, value += entry) {
		struct range range = {
			.gpa = tree_value(value, cells.address),
			.size = tree_value(value + 4 * cells.address, cells.size),
		};

		if (!range.size)
			tree_error(tree, node, property, "the range at 0x%" PRIx64 " is empty",
				range.gpa);
		else if (range.gpa + range.size < range.gpa)
			tree_error(tree, node, property,
				"0x%" PRIx64 "+0x%" PRIx64 " goes beyond 64 bits", range.gpa,
				range.size);
		if (!range.size || range.gpa + range.size < range.gpa)
			bad = -EINVAL;
		else
			ret[i] = range;
	}
	if (bad)
		return bad;
	*ret_count = count;
	return 1;
}

int tree_number(
	const struct tree *tree, int node, const char *property, unsigned cells, uint64_t *ret)
{
	int len;
	const void *value = fdt_getprop(tree->fdt, node, property, &len);

	if (!value)
		return 0;
	if (len != 4 * (int)cells) {
		tree_error(tree, node, property, "%d bytes where one number of %u cells belongs",
			len, cells);
		return -EINVAL;
	}
	*ret = tree_value(value, cells);
	return 1;
}
