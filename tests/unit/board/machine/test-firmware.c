/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware's file in its read-only memory: what it holds, what stores do, and what KVM is asked. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/map.h"
#include "board/machine/firmware.h"
#include "board/text/errors.h"
#include "hyp/base/host-path.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"
#include "tests/unit/helpers/unit.h"

static char path[] = "/tmp/test-firmware-XXXXXX";
static const struct host_path file = { path };
static struct firmware firmware;
static struct errors errors;
static unsigned lines;

static void note_line(enum log_level level, const char *line)
{
	lines++;
	assert_non_null(strstr(
		line, "the guest stores to its firmware at 0xed0, which is read-only: ignored"));
}

static struct kvm_userspace_memory_region asked;
static int answer;

static int ask(int fd, unsigned long request, void *arg)
{
	assert_int_equal(fd, 7);
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	memcpy(&asked, arg, sizeof(asked));
	return answer;
}

static struct kvm_seam seam;

static void write_file(const void *bytes, size_t len, off_t size)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && !ftruncate(fd, size));
	close(fd);
}

static uint64_t load(uint64_t offset, unsigned size)
{
	struct mmio_access access = { .offset = offset, .size = size };

	pthread_mutex_lock(firmware.region.lock);
	firmware.region.access(&firmware.region, &access);
	pthread_mutex_unlock(firmware.region.lock);
	return access.data;
}

static void store(uint64_t offset)
{
	struct mmio_access access = { .offset = offset, .size = 4, .write = true, .data = 1 };

	pthread_mutex_lock(firmware.region.lock);
	firmware.region.access(&firmware.region, &access);
	pthread_mutex_unlock(firmware.region.lock);
}

/* As the file was when the machine was made; zeros beyond it; stores are counted and change nothing. */
static void is_read_only(void **unused)
{
	const struct vm vm = { .fd = 7 };
	uint8_t bytes[100000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251 + 1);
	memset(bytes + 10000, 0, 70000); /* whole chunks of zeros too */
	write_file(bytes, sizeof(bytes), 64 * MiB);
	assert_int_equal(firmware_check(&file, &errors), 0);
	assert_int_equal(firmware_create(&firmware, &file, &errors), 0);
	write_file("other", 5, 5);
	assert_memory_equal(firmware.hva, bytes, sizeof(bytes));
	assert_int_equal(load(100000, 8), 0);
	assert_int_equal(load(0, 4), 0x04030201);
	assert_int_equal(load(1, 1), 2);
	assert_int_equal(load(FIRMWARE_SIZE - 8, 8), 0);
	for (unsigned i = 0; i < 1000; i++)
		store(0xed0);
	assert_int_equal(firmware.stores, 1000);
	/* Pairs too, of which KVM tells neither width nor value. */
	assert_true(firmware.region.ignores(&firmware.region, 0xed0, true));
	assert_false(firmware.region.ignores(&firmware.region, 0xed0, false));
	assert_int_equal(firmware.stores, 1001);
	assert_ptr_equal(firmware.region.memory, firmware.hva);
	assert_in_range(lines, 1, 10);
	assert_memory_equal(firmware.hva, bytes, sizeof(bytes));

	/* Each new VM shows it. */
	for (unsigned slot = 5; slot < 8; slot++) {
		assert_int_equal(firmware_attach(&firmware, &vm, slot), 0);
		assert_int_equal(asked.slot, slot);
		assert_int_equal(asked.flags, KVM_MEM_READONLY);
		assert_int_equal(asked.guest_phys_addr, 0);
		assert_int_equal(asked.memory_size, 64 * MiB);
		assert_int_equal(asked.userspace_addr, (uintptr_t)firmware.hva);
		assert_int_equal(firmware_attach(&firmware, NULL, 0), 0);
	}
	answer = -ENOSPC;
	assert_int_equal(firmware_attach(&firmware, &vm, 5), -ENOSPC);
	answer = 0;
	assert_int_equal(firmware_attach(&firmware, NULL, 0), 0);
	firmware_destroy(&firmware);
	/* None at all. */
	assert_int_equal(firmware_attach(&firmware, &vm, 5), 0);
	firmware_destroy(&firmware);
}

static void assert_refused(const struct host_path *named, const char *words)
{
	assert_int_equal(firmware_check(named, &errors), -EINVAL);
	assert_int_equal(firmware_create(&firmware, named, &errors), -EINVAL);
	assert_int_equal(errors.count, 2);
	for (unsigned i = 0; i < 2; i++)
		if (!strstr(errors.lines[i], words))
			fail_msg("\"%s\" is not in: %s", words, errors.lines[i]);
	errors_finish(&errors);
	assert_null(firmware.hva);
}

static void files_that_will_not_do(void **unused)
{
	const struct host_path missing = { "/nonexistent/firmware" }, folder = { "/tmp" };

	assert_refused(&missing, "/nonexistent/firmware: cannot be opened: No such file");
	assert_refused(&folder, "is not a regular file");
	write_file("", 0, 0);
	assert_refused(&file, "is empty");
	write_file("x", 1, 64 * MiB + 1);
	assert_refused(&file, "and firmware may have 64 MiB: name the file with its code");
	write_file("QFI\xfb", 4, 100);
	assert_refused(&file, "is a qcow2 image, and firmware is raw code");
	write_file("\x7f"
		   "ELF",
		4, 100);
	assert_refused(&file, "is an ELF, and firmware is raw code");
	write_file("x", 1, 1);
	assert_int_equal(firmware_create(&firmware, &file, &errors), 0);
	assert_int_equal(load(0, 8), 'x');
	firmware_destroy(&firmware);
}

static int make_file(void **unused)
{
	int fd = mkstemp(path);

	log_set_sink(note_line);
	seam = kvm_kernel;
	seam.ioctl = ask;
	kvm_seam = &seam;
	close(fd);
	return fd < 0;
}

static int remove_file(void **unused)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read_only),
		cmocka_unit_test(files_that_will_not_do),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
