/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a FIT's configuration; see tree-file.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "board/fit/fit-file.h"
#include "board/text/errors.h"

int tree_fit_is(int fd, const struct stat *st, const char *file, struct errors *errors)
{
	int is_fit = S_ISREG(st->st_mode) ? fit_probe(fd, file, errors) : 0;

	if (is_fit == -ENOMEM)
		error_add(errors, file, NULL, "out of memory");
	return is_fit < 0 ? -EINVAL : is_fit;
}

int tree_fit_open(const struct tree_source *source, int fd, const struct fit_keys *keys,
	struct errors *errors, struct fit_file **ret_fit, void **ret)
{
	struct fit_file *fit;
	void *fdt = NULL, *overlay;
	size_t before = errors_count(errors);
	int err = fit_file_open(fd, source->file, source->configuration, keys, &fit);

	if (err) {
		error_add(errors, source->file, NULL, "out of memory");
		return -EINVAL;
	}
	err = fit_file_read(fit, errors);
	if (!err)
		err = fit_file_read_trees(fit, errors);
	if (!err)
		err = tree_blob_open(
			fit->trees[0].data, fit->trees[0].bytes, fit->trees[0].label, errors, &fdt);
	for (unsigned i = 1; i < fit->tree_count && !err; i++) {
		err = tree_blob_open(fit->trees[i].data, fit->trees[i].bytes, fit->trees[i].label,
			errors, &overlay);
		if (err)
			break;
		err = tree_overlay_apply(&fdt, overlay, fit->trees[i].label, errors);
		free(overlay);
	}
	if (!err) {
		*ret_fit = fit;
		*ret = fdt;
		return 0;
	}
	if (errors_count(errors) == before)
		error_add(errors, source->file, NULL, "out of memory");
	free(fdt);
	fit->fd = -1; /* the caller's */
	fit_file_close(fit);
	return -EINVAL;
}

void tree_source_name(struct tree_source *source, char *word)
{
	char *mark = strrchr(word, '#');
	bool there;

	source->file = word;
	if (!mark || mark == word || !access(word, F_OK))
		return;
	*mark = '\0';
	there = !access(word, F_OK);
	if (there)
		source->configuration = mark + 1;
	else
		*mark = '#';
}
