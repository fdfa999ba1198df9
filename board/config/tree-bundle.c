/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a PE bundle, its section .dtb; see tree-file.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/pe.h"
#include "board/config/tree-file.h"
#include "board/text/errors.h"

struct file_source {
	struct pe_source source;
	int fd;
};

static bool read_file(const struct pe_source *source, uint64_t offset, void *ret_buf, size_t len)
{
	const struct file_source *file = container_of(source, struct file_source, source);

	return RETRY_EINTR(pread(file->fd, ret_buf, len, (off_t)offset)) == (ssize_t)len;
}

static unsigned count(const struct pe *pe, const char *name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < pe->count; i++)
		count += !strncmp(pe->sections[i].name, name, sizeof(pe->sections[i].name));
	return count;
}

int tree_bundle_open(
	int fd, const struct stat *st, const char *name, struct errors *errors, void **ret)
{
	const struct file_source file = { { (uint64_t)st->st_size, read_file }, fd };
	const struct pe_section *section;
	struct pe pe;
	void *blob;
	int err;

	if (!S_ISREG(st->st_mode) || !pe_read(&file.source, &pe) || !pe_find(&pe, ".linux"))
		return 1;
	section = pe_find(&pe, ".dtb");
	if (!section || !section->size) {
		error_add(errors, name, NULL,
			"is a PE bundle without a section .dtb, so it describes no machine%s: name it in a tree of your own, as sluice,kernel in /chosen",
			pe_find(&pe, ".dtbauto")
				? " (its sections .dtbauto are for boards, and not used)"
				: "");
		return -EINVAL;
	}
	if (count(&pe, ".dtb") > 1)
		warning_add(errors, name, NULL,
			"has %u sections .dtb: the first one describes the machine",
			count(&pe, ".dtb"));
	if (section->size > TREE_FILE_MAX) {
		error_add(errors, name, NULL,
			"its section .dtb is larger than 16 MiB, which no tree is");
		return -EINVAL;
	}
	blob = malloc(section->size);
	if (!blob) {
		error_add(errors, name, NULL, "out of memory");
		return -EINVAL;
	}
	if (section->offset > file.source.size ||
		section->size > file.source.size - section->offset ||
		!read_file(&file.source, section->offset, blob, section->size)) {
		error_add(errors, name, NULL, "its section .dtb cannot be read: it is truncated");
		err = -EINVAL;
	} else {
		err = tree_blob_open(blob, section->size, name, errors, ret);
	}
	free(blob);
	return err;
}
