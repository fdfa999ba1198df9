/* SPDX-License-Identifier: Apache-2.0 */
/* The fake machine; see fake-machine.h. */
#include "tests/unit/helpers/fake-machine.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <string.h>

#include "board/config/growth.h"
#include "hyp/base/util.h"
#include "hyp/memory/slots.h"
#include "hyp/memory/window.h"

static const struct device_class mem_class, blk_class, net_class, balloon_class, console_class;
static struct device other = { .class = &net_class, .id = "net0" };
static struct device disk = { .class = &blk_class, .id = "disk0" };
static struct device balloon = { .class = &balloon_class, .id = "balloon0" };
static struct device console = { .class = &console_class, .id = "console0" };
bool fake_link;
uint64_t fake_disk_size;
unsigned fake_columns, fake_rows;
struct fake_mem fake_vmem[2];
uint64_t fake_balloon_requested, fake_balloon_actual, fake_balloon_given;
unsigned fake_balloon_queries;
struct balloon_statistics fake_statistics;
unsigned fake_interval;
unsigned fake_open_ports;
bool fake_no_balloon;
struct machine_growth fake_growth;
struct host_memory fake_host_memory;
struct machine *const fake_machine = (struct machine *)&fake_vmem;
enum machine_state fake_state;
unsigned fake_buttons, fake_resets, fake_quits;
void (*fake_notify)(enum machine_notice notice, const char *reason);
bool fake_map_unreadable;
uint64_t fake_exposed, fake_slot_blocks;
unsigned fake_slots;
int fake_request_error;

void fake_machine_init(void)
{
	for (int i = 0; i < 2; i++)
		fake_vmem[i] = (struct fake_mem){
			.device = { .class = &mem_class, .id = i ? "vmem1" : "vmem0" },
			.info = { .gpa = (1 + (uint64_t)i) * 4 * GiB,
				.region_bytes = GiB,
				.block_bytes = 2 * MiB,
				.usable_bytes = GiB,
				.node = (uint16_t)i },
		};
	fake_growth = (struct machine_growth){ 256 * MiB, 0, 4 * KiB, GROWTH_UNBOUND, { 0 }, false };
	fake_host_memory = (struct host_memory){ 64 * GiB, HOST_MEMORY_UNKNOWN, HOST_MEMORY_UNKNOWN,
		0 };
	fake_state = MACHINE_RUNNING;
	fake_buttons = fake_resets = fake_quits = 0;
	fake_notify = NULL;
	fake_map_unreadable = fake_no_balloon = false;
	fake_balloon_queries = 0;
	fake_balloon_requested = fake_balloon_actual = fake_balloon_given = fake_open_ports = 0;
	fake_interval = 0;
	memset(&fake_statistics, 0xff, sizeof(fake_statistics));
	fake_statistics.updated_sec = fake_statistics.plugged_bytes = 0;
	fake_exposed = 162 * MiB;
	fake_disk_size = GiB;
	fake_slot_blocks = 64;
	fake_slots = 8;
	fake_request_error = 0;
}

void fake_machine_plug(int i, uint64_t bytes)
{
	fake_vmem[i].info.plugged_bytes = bytes;
	device_changed(&fake_vmem[i].device);
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

void machine_pause(struct machine *machine)
{
	fake_state = MACHINE_PAUSED;
	notify(MACHINE_STOP, NULL);
}

void machine_resume(struct machine *machine)
{
	fake_state = MACHINE_RUNNING;
	notify(MACHINE_RESUME, NULL);
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
	return fake_no_balloon ? 5 : 6;
}

struct device *machine_device(const struct machine *machine, size_t index)
{
	static struct device *const devices[] = { &fake_vmem[0].device, &other,
		&fake_vmem[1].device, &console, &disk, &balloon };

	return devices[index];
}

void machine_growth(const struct machine *machine, struct machine_growth *ret)
{
	*ret = fake_growth;
}

void host_memory(const char *root, struct host_memory *ret)
{
	*ret = fake_host_memory;
}

uint64_t machine_memory_bytes(const struct machine *machine)
{
	return 256 * MiB + fake_vmem[0].info.plugged_bytes + fake_vmem[1].info.plugged_bytes;
}

void fake_balloon_change(uint64_t bytes)
{
	fake_balloon_actual = bytes;
	device_changed(&balloon);
}

void fake_ports_change(unsigned open)
{
	fake_open_ports = open;
	device_changed(&console);
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

const struct window_config *window_config(const struct window *window)
{
	static struct window_config config = { .slot_bytes = 128 * MiB, .block_bytes = 2 * MiB };

	config.gpa = ((const struct fake_mem *)window)->info.gpa;
	return &config;
}

unsigned window_slot_count(const struct window *window)
{
	return fake_slots;
}

unsigned window_open_slots(const struct window *window)
{
	return 2 + fake_slots - 8;
}

/* Slots 1 and 2 are open, and those from 8 on; 2 holds its first quarter and one block more. */
void window_slot(const struct window *window, unsigned index, struct window_slot *ret)
{
	*ret = (struct window_slot){ .index = index,
		.offset = index * 128 * MiB,
		.size = fake_slot_blocks * 2 * MiB,
		.open = index == 1 || index == 2 || index >= 8,
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

unsigned fake_map_turns, fake_map_walks;

int window_walk_begin(struct window_usage *usage, size_t count, struct window_walk **ret)
{
	if (fake_map_unreadable)
		return -EACCES;
	for (size_t i = 0; i < count; i++) {
		usage[i].exposed_bytes = fake_exposed;
		usage[i].resident_bytes = 4 * KiB;
	}
	*ret = (struct window_walk *)&fake_map_turns;
	fake_map_walks++;
	return 0;
}

/* As many turns as a test says. */
bool window_walk_go_on(struct window_walk *walk, uint64_t until_ms)
{
	return !fake_map_turns || !fake_map_turns--;
}

void window_walk_end(struct window_walk *walk)
{
	fake_map_walks -= walk != NULL;
}

/* ---- The classes ---- */

static void memory(struct device *device, struct device_memory *ret)
{
	*ret = ((struct fake_mem *)device)->info;
	ret->window = (struct window *)device;
}

static uint64_t get_field(struct device *device, unsigned offset)
{
	return *(uint64_t *)((char *)&((struct fake_mem *)device)->info + offset);
}

static int set_requested(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	struct device_memory *info = &((struct fake_mem *)device)->info;

	if (fake_request_error) {
		snprintf(ret_why, len, "cannot be had");
		return fake_request_error;
	}
	info->requested_bytes = bytes;
	return 0;
}

#define FIELD(name, field)                                                                         \
	{                                                                                          \
		name, "size", get_field, offsetof(struct device_memory, field)                     \
	}

static const struct device_value mem_values[] = {
	{ "requested-size", "size", get_field, offsetof(struct device_memory, requested_bytes),
		set_requested, .expects = "a size of 0 or more", .guest_memory = true },
	FIELD("size", plugged_bytes),
	FIELD("block-size", block_bytes),
	FIELD("region-size", region_bytes),
	FIELD("usable-region-size", usable_bytes),
	FIELD("memaddr", gpa),
	{ 0 },
};

static const struct device_class mem_class = {
	.compatible = "sluice,virtio-mem",
	.values = mem_values,
	.event = { EVENT_VALUE, "MEMORY_DEVICE_SIZE_CHANGE", &mem_values[1] },
	.memory = memory,
};

static uint64_t get_link(struct device *device, unsigned index)
{
	return fake_link;
}

static int set_link(struct device *device, uint64_t up, char *ret_why, size_t len)
{
	fake_link = device == &other ? up : !up;
	return 0;
}

static const struct device_class net_class = {
	.compatible = "sluice,virtio-net",
	.values = (const struct device_value[]){ { "x-sluice-link", "bool", get_link, 0, set_link }, { 0 } },
};

static uint64_t get_disk(struct device *device, unsigned index)
{
	return fake_disk_size;
}

static int set_disk(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	CHECK(device == &disk);
	if (bytes && bytes < fake_disk_size) {
		snprintf(ret_why, len, "root.img does not shrink");
		return -EINVAL;
	}
	fake_disk_size = bytes ? bytes : fake_disk_size + MiB; /* it was made longer meanwhile */
	return 0;
}

static const struct device_class blk_class = {
	.compatible = "sluice,virtio-blk",
	.values = (const struct device_value[]){
		{ "x-sluice-size", "size", get_disk, 0, set_disk, .expects = "a size of 0 or more" }, { 0 } },
};

static uint64_t get_balloon(struct device *device, unsigned index)
{
	const uint64_t values[] = { fake_balloon_actual, fake_balloon_requested, fake_balloon_given, fake_interval,
		fake_statistics.plugged_bytes, fake_statistics.updated_sec };

	fake_balloon_queries += index == 1;
	return values[index];
}

static int set_balloon(struct device *device, uint64_t bytes, char *ret_why, size_t len)
{
	fake_balloon_requested = bytes;
	return 0;
}

static int set_interval(struct device *device, uint64_t sec, char *ret_why, size_t len)
{
	fake_interval = (unsigned)sec;
	return 0;
}

static uint64_t get_statistic(struct device *device, unsigned index)
{
	return fake_statistics.value[index];
}

static const struct device_value statistics[] = {
	{ "stat-swap-in", "uint64", get_statistic, VIRTIO_BALLOON_S_SWAP_IN },
	{ "stat-swap-out", "uint64", get_statistic, VIRTIO_BALLOON_S_SWAP_OUT },
	{ "stat-major-faults", "uint64", get_statistic, VIRTIO_BALLOON_S_MAJFLT },
	{ "stat-minor-faults", "uint64", get_statistic, VIRTIO_BALLOON_S_MINFLT },
	{ "stat-free-memory", "uint64", get_statistic, VIRTIO_BALLOON_S_MEMFREE },
	{ "stat-total-memory", "uint64", get_statistic, VIRTIO_BALLOON_S_MEMTOT },
	{ "stat-available-memory", "uint64", get_statistic, VIRTIO_BALLOON_S_AVAIL },
	{ "stat-disk-caches", "uint64", get_statistic, VIRTIO_BALLOON_S_CACHES },
	{ "stat-htlb-pgalloc", "uint64", get_statistic, VIRTIO_BALLOON_S_HTLB_PGALLOC },
	{ "stat-htlb-pgfail", "uint64", get_statistic, VIRTIO_BALLOON_S_HTLB_PGFAIL },
	{ 0 },
};

static const struct device_value balloon_values[] = {
	{ "x-sluice-actual", "size", get_balloon, 0 },
	{ "x-sluice-requested", "size", get_balloon, 1, set_balloon, .expects = "a size of 0 or more" },
	{ "x-sluice-given-back", "size", get_balloon, 2 },
	{ "guest-stats-polling-interval", "int", get_balloon, 3, set_interval, .max = 86400,
		.expects = "seconds, 0 (never) to 86400" },
	{ "x-sluice-guest-available", "size", get_statistic, VIRTIO_BALLOON_S_AVAIL },
	{ "x-sluice-guest-plugged", "size", get_balloon, 4 },
	{ "guest-stats", "guest statistics",
		.members = (const struct device_value[]){ { "stats", "guest statistics", .members = statistics },
			{ "last-update", "uint64", get_balloon, 5 }, { 0 } } },
	{ 0 },
};

static const struct device_class balloon_class = {
	.compatible = "sluice,virtio-balloon",
	.values = balloon_values,
	.event = { EVENT_LEFT, "BALLOON_CHANGE", &balloon_values[0] },
};

static unsigned open_ports(struct device *device)
{
	return fake_open_ports;
}

static const char *port_name(struct device *device, unsigned port)
{
	return port ? "log" : "agent";
}

static bool set_size(struct device *device, const char *port, uint16_t columns, uint16_t rows)
{
	CHECK(device == &console);
	if (strcmp(port, "agent"))
		return false;
	fake_columns = columns;
	fake_rows = rows;
	return true;
}

static const struct device_class console_class = {
	.compatible = "sluice,virtio-console",
	.event = { EVENT_PORTS, "VSERPORT_CHANGE" },
	.ports = &(const struct device_ports){ open_ports, port_name, set_size },
};
