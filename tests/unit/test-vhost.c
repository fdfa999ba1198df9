/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost, with the part of the kernel's that it speaks to played here: the table of memory, which may
 * be refused, and the rings. The device that it serves is the sockets'.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/vhost.h"
#include "devices/virtio-vsock.h"
#include "hyp/irq.h"
#include "hyp/log.h"
#include "hyp/slots.h"
#include "mmio-driver.h"

#define RINGS 2
#define QUEUE 8

/* ---- The kernel ---- */

static struct kernel {
	int fd, last_fd;   /* of this worker, and of the one before */
	bool full;	   /* no more are opened */
	uint64_t features; /* that it lacks */
	struct vhost_memory_region regions[100];
	unsigned region_count, tables;
	unsigned long refuse; /* this request; 0: none */
	struct ring {
		unsigned size, base;
		int kick, call, failed;
		struct vhost_vring_addr addr;
	} rings[RINGS];
	bool running;
	uint64_t cid;
	unsigned taken; /* so many times more the cid is another's */
} kernel;

int __wrap_open64(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	if (strncmp(path, "/dev/vhost-", 11))
		return __real_open64(path, flags, 0600);
	if (kernel.full) {
		errno = EMFILE;
		return -1;
	}
	kernel.last_fd = kernel.fd;
	kernel.fd = dup(0);
	return kernel.fd;
}

static int take_table(const struct vhost_memory *table)
{
	kernel.tables++;
	kernel.region_count = table->nregions;
	memcpy(kernel.regions, table->regions, table->nregions * sizeof(table->regions[0]));
	return 0;
}

static struct ring *ring_of(const void *arg)
{
	unsigned index = *(const unsigned *)arg; /* the first field of each of them */

	assert_in_range(index, 0, RINGS - 1);
	return &kernel.rings[index];
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	assert_int_equal(fd, kernel.fd);
	if (request == kernel.refuse) {
		errno = ENOMEM;
		return -1;
	}
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = ~kernel.features;
		return 0;
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_SET_FEATURES:
		return 0;
	case VHOST_SET_MEM_TABLE:
		return take_table(arg);
	case VHOST_SET_VRING_NUM:
		ring_of(arg)->size = ((struct vhost_vring_state *)arg)->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		ring_of(arg)->base = ((struct vhost_vring_state *)arg)->num;
		return 0;
	case VHOST_GET_VRING_BASE:
		((struct vhost_vring_state *)arg)->num = ring_of(arg)->base;
		return 0;
	case VHOST_SET_VRING_ADDR:
		ring_of(arg)->addr = *(struct vhost_vring_addr *)arg;
		return 0;
	case VHOST_SET_VRING_CALL:
		ring_of(arg)->call = ((struct vhost_vring_file *)arg)->fd;
		return 0;
	case VHOST_SET_VRING_ERR:
		ring_of(arg)->failed = ((struct vhost_vring_file *)arg)->fd;
		return 0;
	case VHOST_SET_VRING_KICK:
		ring_of(arg)->kick = ((struct vhost_vring_file *)arg)->fd;
		return 0;
	case VHOST_VSOCK_SET_GUEST_CID: /* which the worker before, if any, has still */
		assert_true(!kernel.last_fd || fcntl(kernel.last_fd, F_GETFD) < 0);
		if (kernel.taken) {
			kernel.taken--;
			errno = EADDRINUSE;
			return -1;
		}
		kernel.cid = *(uint64_t *)arg;
		return 0;
	case VHOST_VSOCK_SET_RUNNING:
		kernel.running = *(int *)arg;
		return 0;
	}
	fail_msg("request %lx", request);
	return -1;
}

/* ---- The machine ---- */

static void count_interrupt(struct irq_line *line, bool level)
{
	assert_device_locked();
	interrupts += level;
}

static struct irq_line irq = { .set = count_interrupt };
static const uint32_t cid = 7;
static struct device_env env = {
	.id = "vsock0",
	.loop = (struct loop *)&device,
	.mem = &driver.mem,
	.irq = &irq,
	.registers = registers,
};
static struct listener *listener;

static int setup(void **unused)
{
	kernel = (struct kernel){ 0 };
	irq.event_fd = eventfd(0, 0);
	driver_init(&driver, QUEUE);
	assert_int_equal(virtio_vsock_class.create(&cid, &env, &device), 0);
	listener = virtio_vsock_class.listener(device, 0);
	assert_null(virtio_vsock_class.listener(device, 1));
	return 0;
}

static int teardown(void **unused)
{
	virtio_vsock_class.destroy(device);
	assert_false(kernel.running);
	close(irq.event_fd);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	return 0;
}

/* As driver_run(), with both rings, that lie one on the other. */
static void run(void)
{
	driver_run(1ull << VIRTIO_F_VERSION_1);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 1);
	mmio(VIRTIO_MMIO_QUEUE_NUM, 4, true, QUEUE);
	mmio(VIRTIO_MMIO_QUEUE_DESC_LOW, 4, true, RAM_GPA);
	mmio(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4, true, RAM_GPA + AVAIL_AT);
	mmio(VIRTIO_MMIO_QUEUE_USED_LOW, 4, true, RAM_GPA + USED_AT);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	fake_loop_serve();
}

static uint32_t status(void)
{
	return (uint32_t)mmio(VIRTIO_MMIO_STATUS, 4, false, 0);
}

static struct memory_slot slot(unsigned n)
{
	return (struct memory_slot){ n, n * GiB, GiB, (void *)(uintptr_t)(n * 2 * GiB) };
}

/* Whether the kernel has exactly the slots whose bits are set. */
static bool has(unsigned slots)
{
	for (unsigned i = 0; i < kernel.region_count; i++) {
		unsigned n = (unsigned)(kernel.regions[i].guest_phys_addr / GiB);

		if (kernel.regions[i].userspace_addr != n * 2 * GiB ||
			kernel.regions[i].memory_size != GiB || !(slots >> n & 1))
			return false;
		slots &= ~(1u << n);
	}
	return !slots;
}

/* ---- Tests ---- */

static void the_table_follows_the_slots(void **unused)
{
	struct memory_slot a = slot(1), b = slot(2), c = slot(3);

	assert_int_equal(listener->ops->open(listener, &a), 0);
	assert_int_equal(listener->ops->open(listener, &b), 0);
	assert_int_equal(listener->ops->open(listener, &c), 0);
	assert_true(has(1 << 1 | 1 << 2 | 1 << 3));
	assert_int_equal(listener->ops->close(listener, &a), 0);
	assert_true(has(1 << 2 | 1 << 3));
	assert_int_equal(listener->ops->close(listener, &c), 0);
	assert_int_equal(kernel.tables, 5);
	listener->ops->forget(listener);
	assert_true(has(0));
}

/* What is refused has changed nothing, and the next call tells no leftovers. */
static void a_table_is_refused(void **unused)
{
	struct memory_slot a = slot(1), b = slot(2), c = slot(3);

	listener->ops->open(listener, &a);
	listener->ops->open(listener, &b);
	kernel.refuse = VHOST_SET_MEM_TABLE;
	assert_int_equal(listener->ops->open(listener, &c), -ENOMEM);
	assert_int_equal(listener->ops->close(listener, &a), -ENOMEM);
	kernel.refuse = 0;
	assert_true(has(1 << 1 | 1 << 2));
	assert_int_equal(listener->ops->open(listener, &c), 0);
	assert_true(has(1 << 1 | 1 << 2 | 1 << 3));
	assert_int_equal(listener->ops->close(listener, &a), 0);
	assert_int_equal(listener->ops->close(listener, &b), 0);
	assert_true(has(1 << 3));
}

static void its_limit_is_the_slots(void **unused)
{
	struct slots slots;

	slots_init(&slots);
	listener->limit = 64;
	assert_int_equal(slots_add_listener(&slots, listener), 0);
	assert_int_equal(slots_reserve(&slots, "vmem0", 65), -ENOSPC);
	assert_string_equal(slots_tightest(&slots)->name, "vhost (vsock0)");
	slots_finish(&slots);
}

static void rings_run_when_the_driver_does(void **unused)
{
	assert_false(kernel.running);
	run();
	assert_true(kernel.running);
	for (unsigned i = 0; i < RINGS; i++) {
		const struct ring *ring = &kernel.rings[i];

		assert_int_equal(ring->size, QUEUE);
		assert_int_equal(ring->call, irq.event_fd);
		assert_int_equal(ring->kick, device->region.doorbells[i].fd);
		assert_ptr_equal(ring->addr.desc_user_addr, driver.ram);
		assert_ptr_equal(ring->addr.avail_user_addr, driver.ram + AVAIL_AT);
		assert_ptr_equal(ring->addr.used_user_addr, driver.ram + USED_AT);
	}
	/* Who interrupts says nothing of why. */
	assert_int_equal(mmio(VIRTIO_MMIO_INTERRUPT_STATUS, 4, false, 0), VIRTIO_MMIO_INT_VRING);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	assert_false(kernel.running);
	assert_int_equal(mmio(VIRTIO_MMIO_INTERRUPT_STATUS, 4, false, 0), 0);
	run();
	assert_true(kernel.running);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 1);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
	assert_false(kernel.running);
}

static void a_ring_that_is_nowhere(void **unused)
{
	static const struct {
		unsigned reg;
		uint32_t gpa;
	} bad[] = {
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA + RAM_BYTES - 16 * QUEUE + 16 },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + RAM_BYTES - 4 },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		run();
		mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
		mmio(bad[i].reg, 4, true, bad[i].gpa);
		mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
		fake_loop_serve();
		assert_false(kernel.running);
		assert_int_equal(status(), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	}
	run();
	assert_true(kernel.running);
}

static void the_kernel_refuses_a_ring(void **unused)
{
	static const unsigned long requests[] = { VHOST_SET_FEATURES, VHOST_SET_VRING_NUM,
		VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_CALL,
		VHOST_SET_VRING_ERR, VHOST_SET_VRING_KICK, VHOST_VSOCK_SET_RUNNING };

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		kernel.refuse = requests[i];
		run();
		assert_false(kernel.running);
		assert_true(status() & VIRTIO_CONFIG_S_NEEDS_RESET);
		kernel.refuse = 0;
	}
}

/* The worker says that a ring makes no sense: it stops, and does not go on with the next kick. */
static void a_ring_fails(void **unused)
{
	run();
	(void)!eventfd_write(kernel.rings[0].failed, 1);
	fake_loop_serve();
	assert_false(kernel.running);
	assert_int_equal(status(), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(interrupts, 1);
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
	assert_false(kernel.running);
	run();
	assert_true(kernel.running);
}

/* The machine's reset ends the worker, and with it the connections that the host has with the guest. */
static void a_reset_has_another_worker(void **unused)
{
	struct memory_slot a = slot(1);
	int first = kernel.fd;

	listener->ops->open(listener, &a);
	run();
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0); /* the driver's leaves it */
	run();
	assert_int_equal(kernel.fd, first);

	virtio_vsock_class.quiesce(device);
	listener->ops->forget(listener);
	kernel.cid = 0;
	virtio_vsock_class.reset(device);
	assert_int_not_equal(kernel.fd, first);
	assert_int_equal(kernel.cid, cid);
	assert_int_equal(listener->ops->open(listener, &a), 0);
	assert_true(has(1 << 1));
	run();
	assert_true(kernel.running);
}

static void a_reset_without_another_worker(void **unused)
{
	virtio_vsock_class.quiesce(device);
	kernel.full = true;
	virtio_vsock_class.reset(device);
	run();
	assert_true(kernel.running);
}

static char line[200];

static void keep_line(enum log_level level, const char *text)
{
	snprintf(line, sizeof(line), "%s", text);
}

/* For a moment by who looks at a tree that names it; or for good, till the reset after. */
static void its_cid_is_taken(void **unused)
{
	log_set_sink(keep_line);
	line[0] = '\0';
	kernel.cid = 0;
	kernel.taken = 2;
	virtio_vsock_class.reset(device);
	assert_int_equal(kernel.cid, cid);
	assert_string_equal(line, "");
	kernel.cid = 0;
	kernel.taken = UINT_MAX;
	virtio_vsock_class.reset(device);
	assert_int_equal(kernel.cid, 0);
	assert_string_equal(line, "vsock0: cid 7 is lost to another: Address already in use");
	run();
	assert_int_equal(status(), 15);
	kernel.taken = 0;
	virtio_vsock_class.reset(device);
	assert_int_equal(kernel.cid, cid);
}

static void a_kernel_without_features(void **unused)
{
	struct device *none;

	kernel.features = 1ull << VIRTIO_F_VERSION_1;
	assert_int_equal(virtio_vsock_class.create(&cid, &env, &none), -ENOTSUP);
	kernel.features = 0;
	kernel.refuse = VHOST_SET_OWNER;
	assert_int_equal(virtio_vsock_class.create(&cid, &env, &none), -ENOMEM);
	kernel.refuse = VHOST_VSOCK_SET_GUEST_CID;
	assert_int_equal(virtio_vsock_class.create(&cid, &env, &none), -ENOMEM);
	kernel.refuse = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_table_follows_the_slots),
		TEST(a_table_is_refused),
		TEST(its_limit_is_the_slots),
		TEST(rings_run_when_the_driver_does),
		TEST(a_ring_that_is_nowhere),
		TEST(the_kernel_refuses_a_ring),
		TEST(a_ring_fails),
		TEST(a_reset_has_another_worker),
		TEST(a_reset_without_another_worker),
		TEST(its_cid_is_taken),
		TEST(a_kernel_without_features),
	};

	return cmocka_run_group_tests_name("vhost", tests, NULL, NULL);
}
