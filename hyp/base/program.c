/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that work beside this one; see program.h. */
#include "hyp/base/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool program_find(const char *name, char *path, size_t size)
{
	const char *folders = getenv("PATH");
	size_t len;

	for (folders = folders ? folders : "/usr/bin:/bin"; *folders; folders += len) {
		folders += *folders == ':';
		len = strcspn(folders, ":");
		if (snprintf(path, size, "%.*s/%s", (int)len, folders, name) < (int)size &&
			!access(path, X_OK))
			return true;
	}
	return false;
}
