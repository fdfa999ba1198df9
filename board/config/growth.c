/* SPDX-License-Identifier: Apache-2.0 */
/* What boot memory carries; see growth.h. */
#include "board/config/growth.h"

#include <string.h>

#include "board/config/config.h"
#include "board/host/host-memory.h"
#include "board/text/errors.h"
#include "board/text/size.h"
#include "devices/device.h"
#include "hyp/base/util.h"

/*
 * Bytes that Linux needs for a plugged page: its struct page (64), its page table entry in a program (8), and other
 * data about it (8).
 */
#define COST_OF_PAGE 80
/* The kernel with its allocations at boot, and a share of boot memory for that memory's own entries and more. */
#define KERNEL_BYTES (64 * MiB)
#define BOOT_SHARE   16
#define CMA_BYTES    (64 * MiB) /* Debian's and the architecture's defconfig, without cma= */

/* Copies the value of the last `name` in a kernel's command line to `buf`; "" if there is none. */
static const char *argument(const char *bootargs, const char *name, char *buf, size_t len)
{
	size_t name_len = strlen(name);

	*buf = '\0';
	for (const char *at = bootargs; *at; at += strcspn(at, " ")) {
		at += strspn(at, " ");
		if (strncmp(at, name, name_len))
			continue;
		snprintf(buf, len, "%.*s", (int)strcspn(at + name_len, " "), at + name_len);
	}
	return buf;
}

void growth_read_bootargs(const char *bootargs, struct growth_policy *ret)
{
	char state[32], policy[32], cma[32];

	argument(bootargs, "memhp_default_state=", state, sizeof(state));
	argument(bootargs, "memory_hotplug.online_policy=", policy, sizeof(policy));
	ret->self_carried = strcmp(state, "online_movable") && strcmp(state, "offline") &&
			    (*state || !strcmp(policy, "auto-movable"));
	if (size_parse(argument(bootargs, "cma=", cma, sizeof(cma)), &ret->cma_bytes))
		ret->cma_bytes = CMA_BYTES;
}

static uint64_t boot_bytes(const struct machine_config *config)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < config->memory_count; i++)
		bytes += config->memory[i].size;
	return bytes;
}

/* The plugged memory that `bytes` of boot memory carry, in whole memory blocks of a guest with 4K pages. */
static uint64_t carried_by(uint64_t bytes, uint64_t page_bytes)
{
	return align_down(bytes / COST_OF_PAGE * page_bytes, 128 * MiB);
}

static uint64_t less(uint64_t from, uint64_t bytes)
{
	return bytes < from ? from - bytes : 0;
}

uint64_t growth_carried(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes)
{
	uint64_t boot = boot_bytes(config);

	if (!page_bytes || policy->self_carried)
		return GROWTH_UNBOUND;
	return carried_by(
		less(boot, KERNEL_BYTES + boot / BOOT_SHARE + policy->cma_bytes), page_bytes);
}

/* Available boot memory is least if all plugged memory is available too, and most if none of it is. */
uint64_t growth_by_guest(uint64_t carried, const struct growth_policy *policy, uint64_t page_bytes,
	uint64_t plugged, uint64_t available)
{
	uint64_t reserve = policy->cma_bytes + KERNEL_BYTES / 2, least, most;

	if (carried == GROWTH_UNBOUND)
		return carried;
	least = plugged + carried_by(less(less(available, plugged), reserve), page_bytes);
	most = plugged + carried_by(available, page_bytes);
	return carried < least ? least : carried > most ? most : carried;
}

/* The requested-size of its node: what is requested at the start. */
static uint64_t requested_of(const struct device_config *device)
{
	const struct property *property = device->class->properties;

	while (property && property->name && strcmp(property->name, "requested-size"))
		property++;
	return property && property->name
		       ? *(const uint64_t *)((const char *)device->config + property->offset)
		       : 0;
}

/* The size of /memory that would carry `bytes`, a multiple of 64 MiB. */
static uint64_t boot_for(const struct growth_policy *policy, uint64_t page_bytes, uint64_t bytes)
{
	uint64_t cost = bytes / page_bytes * COST_OF_PAGE + KERNEL_BYTES + policy->cma_bytes;

	return align_up(cost + cost / (BOOT_SHARE - 1), 64 * MiB);
}

/* The sum of all windows' sizes and requests at the start. Returns the last one's node; NULL: there are none. */
static const char *sum_windows(
	const struct machine_config *config, uint64_t *ret_windows, uint64_t *ret_requested)
{
	const char *last = NULL;

	*ret_windows = *ret_requested = 0;
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		if (!device->has_window)
			continue;
		last = device->path;
		*ret_windows += device->window.size;
		*ret_requested += requested_of(device);
	}
	return last;
}

#define WAY                                                                                        \
	"Give /memory %s, ask for less, or have Linux keep a part of plugged memory for "          \
	"itself: memhp_default_state=online memory_hotplug.online_policy=auto-movable in bootargs"

void growth_check_start(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes, struct errors *errors)
{
	uint64_t carried = growth_carried(config, policy, page_bytes), windows, requested;
	const char *where = sum_windows(config, &windows, &requested);

	if (where && requested > carried)
		warning_add(errors, where, "requested-size",
			"%s are plugged from the start, and the guest's kernel runs out of memory above about %s, which is what its %s of boot memory describe (page array, page tables). " WAY,
			SIZE(requested), SIZE(carried), SIZE(boot_bytes(config)),
			SIZE(boot_for(policy, page_bytes, requested)));
}

static void check_windows(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes, struct errors *errors)
{
	uint64_t carried = growth_carried(config, policy, page_bytes), windows, requested;
	const char *where = sum_windows(config, &windows, &requested);

	growth_check_start(config, policy, page_bytes, errors);
	if (where && windows > carried && requested <= carried)
		warning_add(errors, where, "memory-region",
			"%s of window cannot be filled: the guest's %s of boot memory describe about %s of plugged memory (page array, page tables), and `sluice mem` stops there. " WAY,
			SIZE(windows), SIZE(boot_bytes(config)), SIZE(carried),
			SIZE(boot_for(policy, page_bytes, windows)));
}

uint64_t growth_pool_bytes(const struct machine_config *config)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < config->ram_count; i++)
		for (size_t n = 0; n < config->memory_count; n++)
			if (config->ram[i].backing == BACKING_HUGETLB &&
				config->ram[i].gpa == config->memory[n].gpa)
				bytes += config->memory[n].size;
	return bytes;
}

static void check_host(
	const struct machine_config *config, const struct host_memory *host, struct errors *errors)
{
	uint64_t bytes = boot_bytes(config) - growth_pool_bytes(config);

	for (size_t i = 0; i < config->device_count; i++)
		if (config->devices[i].has_window &&
			config->devices[i].window.backing != BACKING_HUGETLB)
			bytes += requested_of(&config->devices[i]);
	if (host->limit != HOST_MEMORY_UNKNOWN && bytes > host->limit)
		warning_add(errors, "/memory", "reg",
			"the guest begins with %s, and the memory cgroup here allows %s (memory.max): the host's kernel ends the machine when the guest uses more. Run it where more is allowed (MemoryMax of the session or unit)",
			SIZE(bytes), SIZE(host->limit));
	else if (host->available != HOST_MEMORY_UNKNOWN && bytes > host->available)
		warning_add(errors, "/memory", "reg",
			"the guest begins with %s, and this host has %s left, swap included: when the guest uses more, the host's kernel ends one of its programs, most likely this one",
			SIZE(bytes), SIZE(align_down(host->available, MiB)));
}

static void check_merging(
	const struct machine_config *config, const struct host_memory *host, struct errors *errors)
{
	const char *where = config->mergeable_count ? "/memory" : NULL,
		   *property = "sluice,mergeable";

	for (size_t i = 0; i < config->device_count && !where; i++)
		if (config->devices[i].has_window && config->devices[i].window.mergeable) {
			where = config->devices[i].path;
			property = "mergeable";
		}
	if (where && !host->merges)
		warning_add(errors, where, property,
			"this host does not merge equal pages: echo 1 > /sys/kernel/mm/ksm/run, as root (a kernel with CONFIG_KSM)");
}

void growth_check(const struct machine_config *config, const struct growth_policy *policy,
	uint64_t page_bytes, const struct host_memory *host, struct errors *errors)
{
	check_windows(config, policy, page_bytes, errors);
	check_host(config, host, errors);
	check_merging(config, host, errors);
}
