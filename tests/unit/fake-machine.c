/* SPDX-License-Identifier: Apache-2.0 */
/* The fake machine; see fake-machine.h. */
#include "tests/unit/fake-machine.h"

#include <errno.h>

#include "devices/virtio-balloon.h"
#include "devices/virtio-console.h"
#include "devices/virtio-net.h"
#include "hyp/slots.h"
#include "hyp/util.h"
#include "hyp/window.h"

const struct device_class virtio_mem_class = { .compatible = "sluice,virtio-mem" };
const struct device_class virtio_net_class = { .compatible = "sluice,virtio-net" };
const struct device_class virtio_balloon_class = { .compatible = "sluice,virtio-balloon" };
const struct device_class virtio_console_class = { .compatible = "sluice,virtio-console" };
static struct device other = { .class = &virtio_net_class, .id = "net0" };
bool fake_link;
struct fake_mem fake_vmem[2];
static struct device balloon = { .class = &virtio_balloon_class, .id = "balloon0" };
static struct device console = { .class = &virtio_console_class, .id = "console0" };
static void (*balloon_changed)(struct device *device, void *opaque);
static void (*console_changed)(struct device *device, void *opaque);
static void *balloon_opaque, *console_opaque;
uint64_t fake_balloon_requested, fake_balloon_actual;
unsigned fake_open_ports;
bool fake_no_balloon;
struct machine *const fake_machine = (struct machine *)&fake_vmem;
enum machine_state fake_state;
unsigned fake_buttons, fake_resets, fake_quits;
void (*fake_notify)(enum machine_notice notice, const char *reason);
bool fake_map_unreadable;
uint64_t fake_exposed, fake_slot_blocks;
int fake_request_error;

void fake_machine_init(void)
{
	for (int i = 0; i < 2; i++)
		fake_vmem[i] = (struct fake_mem){
			.device = { .class = &virtio_mem_class, .id = i ? "vmem1" : "vmem0" },
			.info = { .gpa = (1 + (uint64_t)i) * 4 * GiB,
				.region_bytes = GiB,
				.block_bytes = 2 * MiB,
				.usable_bytes = GiB,
				.node = (uint16_t)i },
		};
	fake_state = MACHINE_RUNNING;
	fake_buttons = fake_resets = fake_quits = 0;
	fake_notify = NULL;
	fake_map_unreadable = fake_no_balloon = false;
	fake_balloon_requested = fake_balloon_actual = fake_open_ports = 0;
	fake_exposed = 162 * MiB;
	fake_slot_blocks = 64;
	fake_request_error = 0;
}

void virtio_net_set_link(struct device *device, bool up)
{
	fake_link = device == &other ? up : !up;
}

void fake_machine_plug(int i, uint64_t bytes)
{
	fake_vmem[i].info.plugged_bytes = bytes;
	if (fake_vmem[i].changed)
		fake_vmem[i].changed(&fake_vmem[i].device, fake_vmem[i].opaque);
}

enum machine_state machine_state(const struct machine *machine)
{
	return fake_state;
}

static void notify(enum machine_notice notice, const char *reason)
{
	if (fake_notify)
		fake_notify(notice, reason);
}

void machine_power_button(struct machine *machine)
{
	fake_buttons++;
	notify(MACHINE_POWERDOWN, NULL);
}

void machine_reset(struct machine *machine, const char *reason)
{
	fake_resets++;
	notify(MACHINE_RESET, reason);
}

void machine_quit(struct machine *machine, const char *reason)
{
	fake_quits++;
	notify(MACHINE_SHUTDOWN, reason);
}

size_t machine_device_count(const struct machine *machine)
{
	return fake_no_balloon ? 4 : 5;
}

struct device *machine_device(const struct machine *machine, size_t index)
{
	static struct device *const devices[] = { &fake_vmem[0].device, &other,
		&fake_vmem[1].device, &console, &balloon };

	return devices[index];
}

uint64_t machine_memory_bytes(const struct machine *machine)
{
	return 256 * MiB + fake_vmem[0].info.plugged_bytes + fake_vmem[1].info.plugged_bytes;
}

void virtio_balloon_request(struct device *device, uint64_t bytes)
{
	fake_balloon_requested = bytes;
}

uint64_t virtio_balloon_requested(struct device *device)
{
	return fake_balloon_requested;
}

uint64_t virtio_balloon_actual(struct device *device)
{
	return fake_balloon_actual;
}

void virtio_balloon_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	balloon_changed = changed;
	balloon_opaque = opaque;
}

void fake_balloon_change(uint64_t bytes)
{
	fake_balloon_actual = bytes;
	if (balloon_changed)
		balloon_changed(&balloon, balloon_opaque);
}

unsigned virtio_console_open_ports(struct device *device)
{
	return fake_open_ports;
}

const char *virtio_console_port_name(struct device *device, unsigned port)
{
	return port ? "log" : "agent";
}

void virtio_console_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	console_changed = changed;
	console_opaque = opaque;
}

void fake_ports_change(unsigned open)
{
	fake_open_ports = open;
	if (console_changed)
		console_changed(&console, console_opaque);
}

/* KVM, and a second listener that holds fewer; RAM and two windows. */
const struct slots *machine_slots(const struct machine *machine)
{
	static struct listener kvm = { .name = "KVM", .limit = 32767 };
	static struct listener vhost = { .name = "vhost-net", .limit = 64 };
	static struct slots slots = {
		.listeners = { &kvm, &vhost },
		.listener_count = 2,
		.holders = { { "memory", 1 }, { "vmem0", 8 }, { "vmem1", 8 } },
		.holder_count = 3,
		.reserved = 17,
		.open = 5,
	};

	return &slots;
}

struct strays fake_strays;

struct strays *machine_strays(struct machine *machine)
{
	return &fake_strays;
}

void virtio_mem_info(struct device *device, struct virtio_mem_info *ret)
{
	*ret = ((struct fake_mem *)device)->info;
}

struct window *virtio_mem_window(struct device *device)
{
	return (struct window *)device;
}

int virtio_mem_request(struct device *device, uint64_t bytes)
{
	struct virtio_mem_info *info = &((struct fake_mem *)device)->info;

	if (bytes % info->block_bytes)
		return -EINVAL;
	if (bytes > info->region_bytes)
		return -ERANGE;
	if (fake_request_error)
		return fake_request_error;
	info->requested_bytes = bytes;
	return 0;
}

void virtio_mem_watch(
	struct device *device, void (*changed)(struct device *device, void *opaque), void *opaque)
{
	((struct fake_mem *)device)->changed = changed;
	((struct fake_mem *)device)->opaque = opaque;
}

const struct window_config *window_config(const struct window *window)
{
	static struct window_config config = { .slot_bytes = 128 * MiB, .block_bytes = 2 * MiB };

	config.gpa = ((const struct fake_mem *)window)->info.gpa;
	return &config;
}

unsigned window_slot_count(const struct window *window)
{
	return 8;
}

unsigned window_open_slots(const struct window *window)
{
	return 2;
}

/* Slots 1 and 2 are open; 2 holds its first quarter and one block more. */
void window_slot(const struct window *window, unsigned index, struct window_slot *ret)
{
	*ret = (struct window_slot){ .index = index,
		.offset = index * 128 * MiB,
		.size = fake_slot_blocks * 2 * MiB,
		.open = index == 1 || index == 2,
		.plugged_bytes = index == 1   ? 128 * MiB
				 : index == 2 ? 34 * MiB
					      : 0 };
}

enum window_state window_state(const struct window *window, uint64_t offset, uint64_t size)
{
	uint64_t end = 256 * MiB + 34 * MiB;

	CHECK(is_aligned(offset, 2 * MiB) && is_aligned(size, 2 * MiB) && size);
	return offset + size <= end ? WINDOW_PLUGGED
	       : offset >= end	    ? WINDOW_UNPLUGGED
				    : WINDOW_MIXED;
}

int window_exposed_bytes(const struct window *window, uint64_t *ret)
{
	*ret = fake_exposed;
	return fake_map_unreadable ? -EACCES : 0;
}

int window_resident_bytes(const struct window *window, uint64_t *ret)
{
	*ret = 4 * KiB;
	return 0;
}
