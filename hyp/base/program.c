/* SPDX-License-Identifier: Apache-2.0 */
/* Programs; see program.h. */
#include "hyp/base/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"

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

/* The linker's: where the program's first segment begins, and where its code ends. All between them is only read. */
extern const char __executable_start[], etext[];

void program_forget_code(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t start = align_down((uintptr_t)__executable_start, page);
	uint64_t end = align_down((uintptr_t)etext, page);

	(void)madvise((void *)(uintptr_t)start, end - start, MADV_DONTNEED);
}
