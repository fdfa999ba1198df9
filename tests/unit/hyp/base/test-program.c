/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: where one is found, and what of this one is mapped. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hyp/base/program.h"
#include "tests/unit/helpers/unit.h"

/* Code that nothing runs, far from all that is needed: what is mapped beside a page in use reaches 64 KiB. */
__asm__(".text\n.balign 65536\nfar_code: .skip 4 * 65536\n");
extern const char far_code[];

/* Whether this process has the page mapped (Documentation/admin-guide/mm/pagemap.rst, bit 63). */
static bool is_mapped(const char *at)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t offset = (off_t)((uintptr_t)at / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof(entry));

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, sizeof(entry), offset), sizeof(entry));
	close(fd);
	return entry >> 63;
}

static void code_is_mapped_when_it_runs(void **state)
{
	const volatile char *far = far_code + 2 * 65536;
	char before = *far;

	assert_true(is_mapped((const char *)far));
	program_forget_code();
	assert_false(is_mapped((const char *)far));
	assert_int_equal(*far, before);
	assert_true(is_mapped((const char *)far));
}

static void the_first_in_path_is_found(void **state)
{
	char folder[] = "/tmp/program-XXXXXX", path[64], list[128], found[256];
	int fd;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/mine", folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	snprintf(list, sizeof(list), "/nonexistent::%s:/usr/bin", folder);
	setenv("PATH", list, 1);
	/* One that cannot be executed is none, and neither is one that does not fit. */
	assert_false(program_find("mine", found, sizeof(found)));
	assert_int_equal(chmod(path, 0700), 0);
	assert_true(program_find("mine", found, sizeof(found)));
	assert_string_equal(found, path);
	assert_false(program_find("mine", found, strlen(path)));
	assert_true(program_find("mine", found, strlen(path) + 1));
	setenv("PATH", "", 1);
	assert_false(program_find("mine", found, sizeof(found)));
	unsetenv("PATH");
	assert_false(program_find("mine", found, sizeof(found)));
	assert_true(program_find("sh", found, sizeof(found)));
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_is_mapped_when_it_runs),
		cmocka_unit_test(the_first_in_path_is_found),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
