/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost, with the part of the kernel's that it speaks to played here: the table of memory, which may
 * be refused, and the rings. The device that it serves is the sockets'.
 */
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_vsock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/device.h"
#include "devices/virtio/vhost.h"
#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-vsock.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/log.h"
#include "hyp/kvm/irq.h"
#include "hyp/memory/slots.h"
#include "tests/unit/helpers/mmio-driver.h"

#define RINGS 2
#define QUEUE 8

/* ---- The kernel ---- */

static struct kernel {
	int fd, last_fd; /* of this worker, and of the one before */
	bool full;	 /* no more are opened */
	int open_error;
	uint64_t features; /* that it lacks */
	uint64_t features_set;
	struct vhost_memory_region regions[100];
	unsigned region_count, tables;
	unsigned long refuse;  /* this request; 0: none */
	int refuse_error;      /* 0: ENOMEM */
	unsigned refuse_times; /* less one; 0: always */
	struct ring {
		unsigned size, base;
		int kick, call, failed;
		struct vhost_vring_addr addr;
	} rings[RINGS];
	bool running;
	unsigned starts;
	uint64_t cid;
	unsigned taken; /* so many times more the cid is another's */
} kernel;

int __wrap_open64(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	if (strncmp(path, "/dev/vhost-", 11))
		return __real_open64(path, flags, 0600);
	if (kernel.full || kernel.open_error) {
		errno = kernel.full ? EMFILE : kernel.open_error;
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
	if (request == kernel.refuse && (!kernel.refuse_times || kernel.refuse_times-- > 1)) {
		errno = kernel.refuse_error ? kernel.refuse_error : ENOMEM;
		return -1;
	}
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = ~kernel.features;
		return 0;
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_SET_FEATURES:
		kernel.features_set = *(uint64_t *)arg;
		return 0;
	case VHOST_SET_MEM_TABLE:
		return take_table(arg);
	case VHOST_SET_VRING_NUM:
		ring_of(arg)->size = ((struct vhost_vring_state *)arg)->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		ring_of(arg)->base = ((struct vhost_vring_state *)arg)->num;
		return 0;
	case VHOST_GET_VRING_BASE: /* which is final once the worker has stopped */
		assert_false(kernel.running);
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
		assert_true(!kernel.last_fd || kernel.last_fd == kernel.fd ||
			    fcntl(kernel.last_fd, F_GETFD) < 0);
		if (kernel.taken) {
			kernel.taken--;
			errno = EADDRINUSE;
			return -1;
		}
		kernel.cid = *(uint64_t *)arg;
		return 0;
	case VHOST_VSOCK_SET_RUNNING:
		kernel.running = *(int *)arg;
		kernel.starts += kernel.running;
		return 0;
	}
	fail_msg("request %lx", request);
	return -1;
}

/* What the module's parameter says; NULL: it is not loaded. */
static const char *parameter;

FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (strcmp(path, "/sys/module/vhost/parameters/max_mem_regions"))
		return __real_fopen64(path, mode);
	return parameter ? fmemopen((void *)parameter, strlen(parameter), "r") : NULL;
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
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&device,
	.mem = &driver.mem,
	.irq = &irq,
	.registers = registers,
};
static struct listener *listener;
static unsigned fds_before;

static int setup(void **unused)
{
	kernel = (struct kernel){ 0 };
	fds_before = open_fds();
	irq.event_fd = eventfd(0, 0);
	fds_before++;
	parameter = NULL;
	driver_init(&driver, QUEUE);
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &device), 0);
	listener = virtio_vsock_class.listener(device, 0);
	assert_null(virtio_vsock_class.listener(device, 1));
	return 0;
}

static int teardown(void **unused)
{
	device_destroy(device);
	assert_false(kernel.running);
	close(irq.event_fd);
	assert_int_equal(fake_loop_watches() + fake_loop_timers(), 0);
	assert_int_equal(open_fds(), fds_before - 1);
	return 0;
}

/* All lie one on the other. */
static void set_up(unsigned queue)
{
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, queue);
	mmio(VIRTIO_MMIO_QUEUE_NUM, 4, true, QUEUE);
	mmio(VIRTIO_MMIO_QUEUE_DESC_LOW, 4, true, RAM_GPA);
	mmio(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4, true, RAM_GPA + AVAIL_AT);
	mmio(VIRTIO_MMIO_QUEUE_USED_LOW, 4, true, RAM_GPA + USED_AT);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
}

/* As driver_run(), with both rings. */
static void run(void)
{
	driver_run(1ull << VIRTIO_F_VERSION_1);
	set_up(1);
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

/* What is refused has changed nothing, and the next call has no leftovers. */
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

/* More slots than there is room for at first, each in the table, and given up again. */
static void the_table_grows(void **unused)
{
	for (unsigned n = 1; n <= 65; n++) {
		struct memory_slot one = slot(n);

		assert_int_equal(listener->ops->open(listener, &one), 0);
		assert_int_equal(kernel.region_count, n);
		assert_int_equal(kernel.regions[n - 1].guest_phys_addr, n * GiB);
	}
	for (unsigned n = 1; n <= 65; n++) {
		struct memory_slot one = slot(n);

		assert_int_equal(listener->ops->close(listener, &one), 0);
	}
	assert_int_equal(kernel.region_count, 0);
}

/* The module says how many regions a table has; where it is not there yet, its default holds. */
static void regions_are_the_module_s(void **unused)
{
	static const struct {
		const char *text;
		unsigned regions;
	} cases[] = { { NULL, 64 }, { "509\n", 509 }, { "0\n", 64 }, { "many\n", 64 } };

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		parameter = cases[i].text;
		assert_int_equal(vhost_regions(), cases[i].regions);
	}
	parameter = "100\n";
	device_destroy(device);
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &device), 0);
	assert_int_equal(virtio_vsock_class.listener(device, 0)->limit, 100);
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

/* What the worker writes would be missed: while there is one, and none is left behind where none could be made. */
static void no_log_is_kept_beside_it(void **unused)
{
	struct device *other;

	assert_int_equal(guestmem_log_start(&driver.mem), -EOPNOTSUPP);
	device_destroy(device);
	assert_int_equal(guestmem_log_start(&driver.mem), 0);
	guestmem_log_stop(&driver.mem);
	kernel.open_error = EACCES;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &other), -EACCES);
	kernel.open_error = 0;
	assert_int_equal(guestmem_log_start(&driver.mem), 0);
	guestmem_log_stop(&driver.mem);
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &device), 0);
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
	/* The worker interrupts without a reason. */
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

/* Each part of a ring may end where memory does, and no further: with the index that each side writes last. */
static void a_ring_that_is_nowhere(void **unused)
{
	static const struct {
		unsigned reg;
		uint32_t gpa;
		bool good;
	} cases[] = {
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA + RAM_BYTES - 16 * QUEUE, true },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, RAM_GPA + RAM_BYTES - 16 * QUEUE + 16, false },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + RAM_BYTES - 2 * QUEUE - 6, true },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + RAM_BYTES - 2 * QUEUE - 4, false },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM_GPA + RAM_BYTES - 4, false },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + RAM_BYTES - 8 * QUEUE - 8, true },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, RAM_GPA + RAM_BYTES - 8 * QUEUE - 4, false },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, 0, false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		run();
		mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
		mmio(cases[i].reg, 4, true, cases[i].gpa);
		mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
		fake_loop_serve();
		assert_int_equal(kernel.running, cases[i].good);
		assert_int_equal(status(), cases[i].good ? 15 : 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	}
	run();
	assert_true(kernel.running);
}

/* Whether the driver's doorbell of a ring was rung since this was asked last. */
static bool rung(unsigned ring)
{
	eventfd_t count;

	return !eventfd_read(device->region.doorbells[ring].fd, &count);
}

/* One ring stops the worker, so both serve what the driver has offered once it goes on. */
static void rings_that_go_on_are_served_again(void **unused)
{
	run();
	assert_true(rung(0) && rung(1));
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 1);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
	assert_false(kernel.running);
	assert_false(rung(0) || rung(1));
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	fake_loop_serve();
	assert_true(kernel.running);
	assert_true(rung(0) && rung(1));
}

/* Where the driver begins a ring anew the worker does, with what this driver took. */
static void a_ring_begins_anew(void **unused)
{
	run();
	kernel.rings[1].base = 5;
	kernel.features_set = 0;
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 1);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
	kernel.rings[1].base = 99;
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 1);
	fake_loop_serve();
	assert_int_equal(kernel.rings[1].base, 0);
	assert_int_equal(kernel.features_set, 1ull << VIRTIO_F_VERSION_1);
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

/* A ring that runs is left alone, whatever the driver notifies of. */
static void a_ring_begins_once(void **unused)
{
	run();
	kernel.rings[0].base = 5;
	kernel.starts = 0;
	mmio(VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, 0);
	fake_loop_serve();
	assert_int_equal(kernel.rings[0].base, 5);
	assert_int_equal(kernel.starts, 0);
}

/* The queue of events is ours, and none of the worker's. */
static void events_are_not_the_worker_s(void **unused)
{
	run();
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	for (uint32_t so_far = 0; so_far <= 3; so_far += so_far + 1)
		mmio(VIRTIO_MMIO_STATUS, 4, true, so_far);
	mmio(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, true, 1);
	mmio(VIRTIO_MMIO_DRIVER_FEATURES, 4, true, 1);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 11);
	set_up(2);
	mmio(VIRTIO_MMIO_STATUS, 4, true, 15);
	fake_loop_serve();
	assert_int_equal(status(), 15);
	assert_false(kernel.running);
	/* One ring of two does not begin alone. */
	set_up(0);
	fake_loop_serve();
	assert_false(kernel.running);
	set_up(1);
	fake_loop_serve();
	assert_true(kernel.running);
	mmio(VIRTIO_MMIO_QUEUE_SEL, 4, true, 2);
	mmio(VIRTIO_MMIO_QUEUE_READY, 4, true, 0);
	assert_true(kernel.running);
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

/* What was said of a ring that runs no more is nothing to a driver that has not begun. */
static void a_ring_failed_before(void **unused)
{
	run();
	mmio(VIRTIO_MMIO_STATUS, 4, true, 0);
	(void)!eventfd_write(kernel.rings[1].failed, 1);
	assert_int_equal(fake_loop_serve(), 1);
	assert_int_equal(status(), 0);
	run();
	assert_int_equal(status(), 15);
	/* And of either ring the worker says it in the same way. */
	(void)!eventfd_write(kernel.rings[1].failed, 1);
	fake_loop_serve();
	assert_int_equal(status(), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
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

/* The driver reads it, and no node asks for one of the host's own. */
static void its_cid(void **unused)
{
	const struct property *property = virtio_vsock_class.properties;

	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG, 4, false, 0), cid);
	assert_int_equal(mmio(VIRTIO_MMIO_CONFIG + 4, 4, false, 0), 0);
	assert_int_equal(kernel.cid, cid);
	assert_string_equal(property->name, "cid");
	assert_true(property->required);
	assert_int_equal(property->min, 3);
	assert_int_equal(property->max, UINT32_MAX - 1);
	assert_int_equal(virtio_vsock_class.vhost_workers(&cid), 1);
}

static char said[200];

static void note_error(struct device_check *check, const char *property, const char *format, ...)
{
	int len = snprintf(said, sizeof(said), "%s: ", property);
	va_list args;

	va_start(args, format);
	vsnprintf(said + len, sizeof(said) - (size_t)len, format, args);
	va_end(args);
}

/* What this host lacks for it, with what to do. */
static void what_a_probe_says(void **unused)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = {
		{ EACCES, "cid: this user may not open /dev/vhost-vsock: usermod -aG kvm $USER, as "
			  "root" },
		{ ENOENT, "cid: there is no /dev/vhost-vsock: modprobe vhost_vsock" },
		{ ENODEV, "cid: there is no /dev/vhost-vsock: modprobe vhost_vsock" },
		{ EBUSY, "cid: /dev/vhost-vsock cannot be opened: Device or resource busy" },
		{ 0, "" },
	};
	struct device_check check = { .error = note_error };

	device_destroy(device);
	device = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		said[0] = '\0';
		kernel.open_error = cases[i].err;
		virtio_vsock_class.probe(&cid, &check);
		assert_string_equal(said, cases[i].says);
	}
	kernel.taken = 1;
	virtio_vsock_class.probe(&cid, &check);
	assert_string_equal(said, "cid: 7 is another machine's on this host");
}

/* Whatever the host refuses on the way, nothing is left (teardown() counts). */
static void nothing_is_left_of_a_card(void **unused)
{
	struct device *none = NULL;

	device_destroy(device);
	device = NULL;
	for (unsigned nth = 1; nth <= 4; nth++) { /* three queues, and the worker's complaints */
		fake_loop_refuse(nth);
		assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOSPC);
		assert_int_equal(open_fds(), fds_before);
		assert_int_equal(fake_loop_watches(), 0);
	}
	fake_loop_refuse(0);
	assert_null(none);
}

static void a_kernel_without_features(void **unused)
{
	struct device *none;

	device_destroy(device);
	device = NULL;
	kernel.features = 1ull << VIRTIO_F_VERSION_1;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOTSUP);
	kernel.features = 0;
	kernel.features = 1ull << VIRTIO_RING_F_EVENT_IDX;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOTSUP);
	kernel.features = ~(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			    1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_VSOCK_F_SEQPACKET);
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), 0);
	device_destroy(none);
	kernel.features = 0;
	kernel.refuse = VHOST_GET_FEATURES;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOMEM);
	kernel.refuse = VHOST_SET_OWNER;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOMEM);
	kernel.refuse = VHOST_VSOCK_SET_GUEST_CID;
	assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &none), -ENOMEM);
	kernel.refuse = 0;
}

/* The worker is a thread, and a signal that is pending ends its making: as EINTR, or as ENOMEM (Linux 6.4 on). */
static void a_signal_while_the_worker_is_made(void **unused)
{
	static const int errors[] = { EINTR, ENOMEM };
	struct device *made;

	device_destroy(device);
	device = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		kernel.refuse = VHOST_SET_OWNER;
		kernel.refuse_error = errors[i];
		kernel.refuse_times = 3;
		assert_int_equal(device_create(&virtio_vsock_class, &cid, &env, &made), 0);
		assert_int_equal(kernel.refuse_times, 0);
		device_destroy(made);
	}
	kernel.refuse = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_table_follows_the_slots),
		TEST(a_table_is_refused),
		TEST(the_table_grows),
		TEST(regions_are_the_module_s),
		TEST(its_limit_is_the_slots),
		TEST(no_log_is_kept_beside_it),
		TEST(rings_run_when_the_driver_does),
		TEST(a_ring_that_is_nowhere),
		TEST(rings_that_go_on_are_served_again),
		TEST(a_ring_begins_anew),
		TEST(the_kernel_refuses_a_ring),
		TEST(events_are_not_the_worker_s),
		TEST(a_ring_begins_once),
		TEST(a_ring_fails),
		TEST(a_ring_failed_before),
		TEST(a_reset_has_another_worker),
		TEST(a_reset_without_another_worker),
		TEST(its_cid),
		TEST(what_a_probe_says),
		TEST(nothing_is_left_of_a_card),
		TEST(a_kernel_without_features),
		TEST(a_signal_while_the_worker_is_made),
	};

	return cmocka_run_group_tests_name("vhost", tests, NULL, NULL);
}
