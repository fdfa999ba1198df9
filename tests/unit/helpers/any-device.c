/* SPDX-License-Identifier: Apache-2.0 */
/* A device of any class; see any-device.h. */
#include "tests/unit/helpers/any-device.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/arm/cfi-flash.h"
#include "devices/arm/pl011.h"
#include "devices/arm/pl031.h"
#include "devices/arm/pl061.h"
#include "devices/backend/flash-file.h"
#include "devices/virtio/virtio-mmio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"
#include "hyp/memory/guestmem.h"

unsigned interrupts;
bool line_high;
struct window window;

static struct guestmem mem;
static void *node;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	return strcmp(path, "/dev/vhost-vsock") ? __real_open64(path, flags, 0600) : dup(0);
}

unsigned cid_refusals, cid_error;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	if (request == VHOST_GET_FEATURES)
		*va_arg(args, uint64_t *) = UINT64_MAX;
	va_end(args);
	if (request != VHOST_VSOCK_SET_GUEST_CID || !cid_refusals)
		return 0;
	cid_refusals--;
	errno = (int)cid_error;
	return -1;
}

static void set_line(struct irq_line *line, bool high)
{
	line_high = high;
	interrupts += high;
}

bool end_takes;
uint8_t end_written;
unsigned end_resumed;

static size_t end_write(struct chardev *chardev, const uint8_t *buf, size_t len)
{
	end_written = buf[0];
	return end_takes ? len : 0;
}

static void end_resume(struct chardev *chardev)
{
	end_resumed++;
}

static const struct chardev_ops end_ops = { end_write, end_resume };
struct chardev ends[PORT_COUNT] = { { .ops = &end_ops }, { .ops = &end_ops } };
static struct chardev *const ports[] = { &ends[0], &ends[1] };
static struct irq_line irq = { .set = set_line };
struct device_env env = {
	.id = "tested",
	.identity = 0x1122605d48d4d766,
	.transport = &virtio_mmio_transport,
	.loop = (struct loop *)&env,
	.mem = &mem,
	.irq = &irq,
	.window = &window,
	.chardev = &ends[0],
	.ports = ports,
};

static const struct device_class *const fixed_classes[] = { &pl011_class, &pl031_class,
	&pl061_class, &cfi_flash_class };

const struct device_class *class_at(unsigned index)
{
	return index < ARRAY_SIZE(fixed_classes) ? fixed_classes[index]
						 : device_table[index - ARRAY_SIZE(fixed_classes)];
}

/* A file of the smallest size, the same for each flash of this process. */
static void fill_flash(struct flash_config *config)
{
	static char path[32];
	int fd;

	if (!path[0]) {
		fd = memfd_create("flash", MFD_CLOEXEC);
		CHECK(fd >= 0 && !ftruncate(fd, FLASH_BYTES_MIN));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	config->path.name = path;
}

/* What the properties need that no class can have a default for. */
static void fill_node(const struct device_class *class)
{
	static const struct property_ports named = { PORT_COUNT, { "one", "two" } };
	static const char *const tap = "tap0";
	static const uint32_t three = 3;

	free(node);
	node = calloc(1, class->config_bytes + 1);
	if (class->defaults)
		class->defaults(node);
	if (class == &cfi_flash_class)
		fill_flash(node);
	for (const struct property *p = class->properties; p && p->name; p++) {
		char *at = (char *)node + p->offset;

		if (p->type == PROPERTY_PORTS)
			memcpy(at, &named, sizeof(named));
		else if (!strcmp(p->name, "tap"))
			memcpy(at, &tap, sizeof(tap));
		else if (!strcmp(p->name, "cid") || !strcmp(p->name, "queue-pairs"))
			memcpy(at, &three, sizeof(three));
	}
}

int make_any(const struct device_class *class, struct device **ret)
{
	fill_node(class);
	return device_create(class, node, &env, ret);
}

void free_node(void)
{
	free(node);
	node = NULL;
}
