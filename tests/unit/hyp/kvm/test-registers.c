/* SPDX-License-Identifier: Apache-2.0 */
/* Registers that are read without an exit, on a KVM that records what it was asked. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/registers.h"
#include "hyp/kvm/vm.h"
#include "tests/unit/helpers/unit.h"

#define GPA 0xa000000

static struct kvm_userspace_memory_region asked;
static unsigned calls;
static bool no_memory;

static int ask(int fd, unsigned long request, void *arg)
{
	assert_int_equal(fd, 7);
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	memcpy(&asked, arg, sizeof(asked));
	calls++;
	return 0;
}

static const struct kvm_seam seam = { .ioctl = ask };

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return no_memory ? NULL : __real_aligned_alloc(alignment, size);
}

static void the_guest_cannot_write(void **unused)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vm vm = { .fd = 7 };
	struct registers registers = { 0 };

	kvm_seam = &seam;
	calls = 0;
	assert_int_equal(registers_map(&registers, &vm, 99), 0);
	assert_int_equal(calls, 0); /* there are none */
	assert_int_equal(registers_create(&registers, GPA, page), 0);
	for (unsigned i = 0; i < page; i++)
		assert_int_equal(registers.hva[i], 0);
	assert_int_equal(registers_map(&registers, &vm, 99), 0);
	assert_int_equal(asked.slot, 99);
	assert_int_equal(asked.flags, KVM_MEM_READONLY);
	assert_int_equal(asked.guest_phys_addr, GPA);
	assert_int_equal(asked.memory_size, page);
	assert_int_equal(asked.userspace_addr, (uintptr_t)registers.hva);
	assert_int_equal(asked.userspace_addr % page, 0);
	registers_destroy(&registers);
	kvm_seam = &kvm_kernel;
}

static void what_is_shown_is_read(void **unused)
{
	const uint32_t words[] = { 1, 2, 0, UINT32_MAX };
	uint32_t at[6] = { 9, 9, 9, 9, 9, 9 };

	registers_show((uint8_t *)&at[1], words, sizeof(words));
	assert_int_equal(at[0], 9);
	assert_memory_equal(at + 1, words, sizeof(words));
	assert_int_equal(at[5], 9);
}

static void no_memory_is_reported(void **unused)
{
	struct registers registers = { 0 };

	no_memory = true;
	assert_int_equal(
		registers_create(&registers, GPA, (uint64_t)sysconf(_SC_PAGESIZE)), -ENOMEM);
	no_memory = false;
	assert_int_equal(registers.size, 0);
	registers_destroy(&registers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_cannot_write),
		cmocka_unit_test(what_is_shown_is_read),
		cmocka_unit_test(no_memory_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
