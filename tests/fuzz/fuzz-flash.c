/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the flash: any accesses, in an order that often makes whole commands, with VMs that come and go, resets, a state
 * that moves to another device, and a KVM that refuses. Each write to its file is judged where it is made: inside the
 * file, while the guest does not read it as memory, and either erasing or only clearing bits.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/arm/cfi-flash.h"
#include "devices/backend/flash-file.h"
#include "devices/state.h"
#include "hyp/base/log.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"
#include "tests/fuzz/fuzz.h"

#define SIZE  (2 * CFI_FLASH_BLOCK_BYTES)
#define GPA   UINT64_C(0x4000000)
#define SLOT  5
#define VM_FD 1000

enum {
	STEP_STORE,
	STEP_COMMAND,
	STEP_BUFFER,
	STEP_LOAD,
	STEP_ATTACH,
	STEP_RESET,
	STEP_MOVE,
	STEP_REFUSE,
	STEPS
};

static struct device *device;
static int fd = -1;
static uint8_t original[SIZE];
static uint64_t dirty_from, dirty_end;
static bool attached, refuses;
static struct flash_config config;

/* ---- KVM ---- */

static struct {
	bool open, refused;
} slot;

static int set_slot(int vm_fd, unsigned long request, void *arg)
{
	const struct kvm_userspace_memory_region *region = arg;

	CHECK(vm_fd == VM_FD && request == KVM_SET_USER_MEMORY_REGION && attached);
	CHECK(region->slot == SLOT && region->flags == KVM_MEM_READONLY);
	CHECK(region->guest_phys_addr == GPA);
	CHECK(region->memory_size == (slot.open ? 0 : SIZE));
	slot.refused = refuses;
	if (refuses)
		return -ENOMEM;
	slot.open = !slot.open;
	return 0;
}

/* ---- The file ---- */

ssize_t __real_pwrite64(int file, const void *from, size_t len, off_t at);
ssize_t __wrap_pwrite64(int file, const void *from, size_t len, off_t at);
ssize_t __wrap_pwrite64(int file, const void *from, size_t len, off_t at)
{
	static uint32_t old[CFI_FLASH_BUFFER_BYTES / 4];
	const uint32_t *new = from;
	bool erases = true, clears = true;

	CHECK(!config.read_only && !slot.open);
	CHECK(at >= 0 && at % 4 == 0 && len % 4 == 0 && len <= sizeof(old) && at + len <= SIZE);
	CHECK(pread(file, old, len, at) == (ssize_t)len);
	for (size_t i = 0; i < len / 4; i++) {
		erases &= new[i] == UINT32_MAX;
		clears &= !(new[i] & ~old[i]);
	}
	CHECK(erases || clears);
	dirty_from = (uint64_t)at < dirty_from ? (uint64_t)at : dirty_from;
	dirty_end = at + len > dirty_end ? at + len : dirty_end;
	return __real_pwrite64(file, from, len, at);
}

static void restore_file(void)
{
	static char path[32];

	if (fd < 0) {
		for (size_t i = 0; i < SIZE; i++)
			original[i] = (uint8_t)(i * 167 >> 3);
		fd = memfd_create("flash", MFD_CLOEXEC);
		CHECK(fd >= 0 && write(fd, original, SIZE) == SIZE);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		config.path.name = path;
	}
	if (dirty_from < dirty_end)
		CHECK(__real_pwrite64(fd, original + dirty_from, dirty_end - dirty_from,
			      (off_t)dirty_from) == (ssize_t)(dirty_end - dirty_from));
	dirty_from = SIZE;
	dirty_end = 0;
}

/* ---- The device ---- */

static void make(void)
{
	const struct device_env env = { .id = "fuzz" };

	CHECK(!device_create(&cfi_flash_class, &config, &env, &device));
	CHECK(device->region.size == SIZE);
	device->region.gpa = GPA;
}

static void attach(bool to)
{
	static const struct vm vm = { .fd = VM_FD };

	/* As KVM does, whose slots go with the VM. */
	memset(&slot, 0, sizeof(slot));
	attached = to;
	cfi_flash_class.attach(device, to ? &vm : NULL, SLOT);
}

static uint8_t records[8192];

/* A value of the state that was taken last. */
static uint64_t taken(const char *name)
{
	struct state_record head;
	const uint8_t *at = records;
	uint64_t value = 0;

	for (;; at += sizeof(head) + head.name_bytes + (size_t)head.count * head.value_bytes) {
		memcpy(&head, at, sizeof(head));
		if (head.name_bytes == strlen(name) &&
			!memcmp(at + sizeof(head), name, head.name_bytes))
			break;
	}
	memcpy(&value, at + sizeof(head) + head.name_bytes, head.value_bytes);
	return value;
}

static uint64_t access_at(uint64_t offset, unsigned size, bool write, uint64_t data)
{
	struct mmio_access one = { .offset = offset, .size = size, .write = write };

	one.data = write ? data : 0;
	pthread_mutex_lock(&device->lock);
	device->region.access(&device->region, &one);
	pthread_mutex_unlock(&device->lock);
	return one.data;
}

static void store(uint64_t offset, uint32_t data)
{
	access_at(offset, 4, true, data);
}

static void load(uint64_t offset, unsigned size)
{
	uint64_t data = access_at(offset, size, false, 0), array = 0;

	CHECK(size == 8 || !(data >> 8 * size));
	device_take_state(device, records);
	if (!taken("mode")) {
		CHECK(pread(fd, &array, size, (off_t)offset) == (ssize_t)size);
		CHECK(data == array);
	}
}

static void move(void)
{
	static uint8_t first[sizeof(records)];
	const size_t bytes = device_state_bytes(&cfi_flash_class);
	const bool was = attached;

	CHECK(bytes <= sizeof(records));
	device_take_state(device, first);
	attach(false);
	device_destroy(device);
	make();
	attach(was);
	CHECK(!device_put_state(device, first, bytes));
	device_take_state(device, records);
	CHECK(!memcmp(first, records, bytes));
}

/* ---- A run ---- */

static uint64_t take_offset(struct input *input)
{
	static const uint64_t places[] = { 0, 0x1000, CFI_FLASH_BLOCK_BYTES - 0x20,
		CFI_FLASH_BLOCK_BYTES, SIZE - 0x20 };
	const uint8_t how = input_take(input, 1);

	if (how & 128)
		return input_take(input, 3) % (SIZE - 7);
	return places[how >> 4 & 7 ? (how >> 4 & 7) % ARRAY_SIZE(places) : 0] + (how & 15) % 7 * 4;
}

static void store_any(struct input *input)
{
	const uint8_t how = input_take(input, 1);
	const uint64_t offset = take_offset(input);

	access_at(offset, how & 4 ? 4 : 1u << how % 4, true, input_take(input, how & 8 ? 4 : 1));
}

static void command(struct input *input)
{
	static const uint8_t commands[] = { 0xff, 0x70, 0x90, 0x98, 0x50, 0x40, 0x10, 0x20, 0x60,
		0xe8, 0xd0, 0x01, 0xf0, 0x00, 0x2f };
	const uint8_t which = commands[input_take(input, 1) % ARRAY_SIZE(commands)];

	store(take_offset(input) & ~3ull, which * 0x00010001u);
}

/* A whole buffer, or one whose words are elsewhere, too few or too many. */
static void buffer(struct input *input)
{
	const uint16_t count = input_take(input, 2) % 1100;
	const uint8_t how = input_take(input, 1);
	uint64_t at = take_offset(input) & ~3ull;

	store(0, 0x00e800e8);
	store(0, count);
	for (unsigned i = 0; i <= count + (how & 1) && at < SIZE; i++, at += how & 2 ? 8 : 4)
		store(at, how * 0x01010101u);
	if (!(how & 4))
		store(0, 0x00d000d0);
}

static void step(struct input *input)
{
	const uint8_t what = input_take(input, 1);
	uint64_t offset;

	switch (what % STEPS) {
	case STEP_STORE:
		store_any(input);
		break;
	case STEP_COMMAND:
		command(input);
		break;
	case STEP_BUFFER:
		buffer(input);
		break;
	case STEP_LOAD:
		offset = take_offset(input);
		load(offset, 1u << (what / STEPS) % 4);
		break;
	case STEP_ATTACH:
		attach(!attached);
		break;
	case STEP_RESET:
		cfi_flash_class.reset(device);
		device_take_state(device, records);
		CHECK(!taken("mode") && !taken("cycle") && !taken("status"));
		break;
	case STEP_MOVE:
		move();
		break;
	case STEP_REFUSE:
		refuses = !refuses;
		break;
	}
}

static void check(void)
{
	uint64_t mode;

	device_take_state(device, records);
	mode = taken("mode");
	CHECK(mode < 4 && !(taken("status") & ~0x32ull));
	CHECK(!taken("cycle") || mode == 1);
	CHECK(taken("filled") <= taken("count") && taken("count") <= 1024);
	CHECK(attached || !slot.open);
	CHECK(!attached || slot.refused || slot.open == !mode);
}

static void no_log(enum log_level severity, const char *line)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	static struct kvm_seam seam;

	seam = kvm_kernel;
	seam.ioctl = set_slot;
	kvm_seam = &seam;
	log_set_sink(no_log);
	attached = refuses = false;
	memset(&slot, 0, sizeof(slot));
	restore_file();
	config.read_only = input_take(&input, 1) % 8 == 7;
	make();
	attach(true);
	while (input.at < input.end) {
		step(&input);
		check();
	}
	CHECK(lseek(fd, 0, SEEK_END) == SIZE);
	device_destroy(device);
	return 0;
}
