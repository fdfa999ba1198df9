/* SPDX-License-Identifier: Apache-2.0 */
/* Read-only memory that is shown and hidden, on a KVM that records what it was asked. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "hyp/kvm/kvm.h"
#include "hyp/kvm/rom.h"
#include "hyp/kvm/vm.h"
#include "tests/unit/helpers/unit.h"

#define GPA  0x4000000
#define SIZE 0x40000

static struct kvm_userspace_memory_region asked;
static unsigned calls;
static int answer, asked_fd;
static uint8_t content[1];

static int ask(int fd, unsigned long request, void *arg)
{
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	memcpy(&asked, arg, sizeof(asked));
	asked_fd = fd;
	calls++;
	return answer;
}

static const struct kvm_seam seam = { .ioctl = ask };

static int setup(void **unused)
{
	kvm_seam = &seam;
	calls = 0;
	answer = 0;
	return 0;
}

static void assert_asked(int fd, unsigned slot, uint64_t size)
{
	assert_int_equal(calls, 1);
	calls = 0;
	assert_int_equal(asked_fd, fd);
	assert_int_equal(asked.slot, slot);
	assert_int_equal(asked.flags, KVM_MEM_READONLY);
	assert_int_equal(asked.guest_phys_addr, GPA);
	assert_int_equal(asked.memory_size, size);
	assert_int_equal(asked.userspace_addr, (uintptr_t)content);
}

/* Once each, however often it is asked for. */
static void shown_and_hidden(void **unused)
{
	const struct vm vm = { .fd = 7 };
	struct rom rom;

	rom_init(&rom, content, SIZE);
	rom_attach(&rom, &vm, GPA, 99);
	assert_int_equal(rom_hide(&rom), 0);
	assert_int_equal(calls, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rom_show(&rom), 0);
		assert_true(rom.open);
		assert_asked(7, 99, SIZE);
		assert_int_equal(rom_show(&rom), 0);
		assert_int_equal(calls, 0);
		assert_int_equal(rom_hide(&rom), 0);
		assert_false(rom.open);
		assert_asked(7, 99, 0);
		assert_int_equal(rom_hide(&rom), 0);
		assert_int_equal(calls, 0);
	}
}

static void refused(void **unused)
{
	const struct vm vm = { .fd = 7 };
	struct rom rom;

	rom_init(&rom, content, SIZE);
	rom_attach(&rom, &vm, GPA, 99);
	answer = -ENOMEM;
	assert_int_equal(rom_show(&rom), -ENOMEM);
	assert_false(rom.open);
	answer = 0;
	assert_int_equal(rom_show(&rom), 0);
	calls = 0;
	answer = -ENOMEM;
	assert_int_equal(rom_hide(&rom), -ENOMEM);
	assert_true(rom.open);
	assert_asked(7, 99, 0);
	answer = 0;
	assert_int_equal(rom_hide(&rom), 0);
	assert_asked(7, 99, 0);
}

/* A VM takes its slots with it; the next is made with another slot. */
static void from_vm_to_vm(void **unused)
{
	const struct vm vm = { .fd = 7 }, next = { .fd = 8 };
	struct rom rom;

	rom_init(&rom, content, SIZE);
	assert_int_equal(rom_show(&rom), 0);
	assert_int_equal(rom_hide(&rom), 0);
	rom_forget(&rom);
	assert_false(rom.open);
	assert_int_equal(calls, 0);
	rom_attach(&rom, &vm, GPA, 99);
	assert_int_equal(rom_show(&rom), 0);
	assert_asked(7, 99, SIZE);
	rom_forget(&rom);
	assert_false(rom.open);
	assert_int_equal(rom_hide(&rom), 0);
	assert_int_equal(rom_show(&rom), 0);
	assert_int_equal(calls, 0);
	rom_attach(&rom, &next, GPA, 5);
	assert_int_equal(rom_show(&rom), 0);
	assert_asked(8, 5, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(shown_and_hidden, setup),
		cmocka_unit_test_setup(refused, setup),
		cmocka_unit_test_setup(from_vm_to_vm, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
