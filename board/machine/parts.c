/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a machine that resets do not rebuild; see machine-internal.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/config/map.h"
#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "devices/virtio/virtio-mmio.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/window.h"
#include "devices/arm/cfi-flash.h"

void machine_for_each_device(struct machine *machine,
	void (*call)(struct machine *machine, struct machine_device *device))
{
	for (size_t i = 0; i < PLATFORM_FIXED; i++)
		call(machine, &machine->fixed[i]);
	for (size_t i = 0; i < machine->config->device_count; i++)
		call(machine, &machine->devices[i]);
	if (machine->flash.device)
		call(machine, &machine->flash);
}

static bool is_mergeable(const struct machine_config *config, const struct range *range)
{
	for (size_t i = 0; i < config->mergeable_count; i++)
		if (config->mergeable[i].gpa == range->gpa)
			return true;
	return false;
}

static void add_ram_error(
	const struct guestmem_range *range, enum backing_kind kind, int err, struct errors *errors)
{
	static const struct {
		enum backing_kind kind;
		int err; /* 0: any other */
		const char *property, *format;
	} known[] = {
		{ BACKING_FILE, -EINVAL, "sluice,file", "is no plain file" },
		{ BACKING_FILE, -ERANGE, "sluice,file",
			"has less than the %llu MiB of this memory: make it as long" },
		{ BACKING_FILE, -EBUSY, "sluice,file",
			"another machine, or another program, has it locked: each has its own" },
		{ BACKING_FILE, -EOPNOTSUPP, "sluice,file",
			"its file system cannot empty a part of a file, as each reset has to: put it on another, as tmpfs, ext4 or XFS" },
		{ BACKING_FILE, 0, "sluice,file", "%llu MiB of it cannot be had: %s" },
		{ BACKING_HUGETLB, -EINVAL, "reg",
			"%llu MiB do not begin and end with a huge page of this host's, which sluice,backing = \"hugetlb\" takes" },
		{ BACKING_HUGETLB, -ENOMEM, "sluice,backing",
			"the host's pool of huge pages has no %llu MiB left (vm.nr_hugepages, or a cgroup's hugetlb.*.rsvd.max)" },
		{ BACKING_HUGETLB, -ENOTSUP, "sluice,backing",
			"this host's kernel has no such memory; leave it out for \"anonymous\"" },
		{ BACKING_MEMFD, -ENOTSUP, "sluice,backing",
			"this host's kernel has no such memory; leave it out for \"anonymous\"" },
	};
	const unsigned long long mib = range->size / MiB;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].kind == kind && (known[i].err == err || !known[i].err)) {
			error_add(errors, "/memory", known[i].property, known[i].format, mib,
				strerror(-err));
			return;
		}
	error_add(errors, "/memory", "reg",
		"the host does not give %llu MiB: %s; make it smaller, or see vm.overcommit_memory and the limits of its cgroup",
		mib, strerror(-err));
}

static int create_ram(struct machine *machine, struct errors *errors)
{
	const struct machine_config *config = machine->config;
	int err = slots_reserve(&machine->slots, "memory", (unsigned)config->memory_count);

	for (size_t i = 0; i < config->memory_count && !err; i++) {
		struct guestmem_range range = { .gpa = config->memory[i].gpa,
			.size = config->memory[i].size };
		enum backing_kind kind;
		int fd;

		if (!config_open_ram(config, range.gpa, errors, &kind, &fd))
			return -EINVAL;
		err = backing_create_ram(&machine->ram[i], kind, range.gpa, range.size, fd);
		if (err) {
			add_ram_error(&range, kind, err, errors);
			break;
		}
		if (is_mergeable(config, &config->memory[i]))
			addrspace_make_mergeable(machine->ram[i].hva, range.size);
		range.hva = machine->ram[i].hva;
		range.backing = &machine->ram[i];
		err = guestmem_add(&machine->mem, &range);
	}
	return err;
}

static int create_stolen_time(struct machine *machine)
{
	int err;

	if (!(machine->config->cpu_features & machine->limits.cpu_features & 1u << CPU_STOLEN_TIME))
		return 0;
	err = slots_reserve(&machine->slots, "stolen time", 1);
	if (!err)
		err = addrspace_allocate(STOLEN_TIME_BASE, STOLEN_TIME_SIZE, &machine->stolen_time);
	return err;
}

/*
 * Maps the pages with registers of virtio devices read-only, so that reads of them do not exit; not if one host page is
 * larger than all places. Free places in the same pages are mapped too. Reads of the other free places exit.
 */
static int create_registers(struct machine *machine)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE),
		       all = VIRTIO_MMIO_PLACES * VIRTIO_MMIO_SIZE;
	uint64_t size = 0, taken;
	int err = 0;

	for (size_t i = 0; i < machine->config->device_count; i++) {
		const struct device_config *device = &machine->config->devices[i];
		uint64_t end = device->gpa + VIRTIO_MMIO_SIZE - VIRTIO_MMIO_BASE;

		if (device->class->kind == DEVICE_VIRTIO && end > size)
			size = end;
	}
	taken = size;
	machine->free_places.gpa = VIRTIO_MMIO_BASE + taken;
	machine->free_places.size = all - taken;
	virtio_mmio_placeholders(&machine->free_places);
	if (taken < all)
		err = mmio_bus_add(&machine->bus, &machine->free_places);
	size = align_up(size, page);
	if (err || !machine->limits.readonly_slots || !size || size > all)
		return err;
	err = registers_create(&machine->registers, VIRTIO_MMIO_BASE, size);
	for (uint64_t at = taken; !err && at < size; at += VIRTIO_MMIO_SIZE)
		virtio_mmio_show_placeholder(machine->registers.hva + at);
	return err;
}

/* Says how many slots were asked for, how many are free, which devices hold the rest, and what to change. */
static void add_budget_error(struct machine *machine, const struct device_config *config,
	const struct listener *listener, unsigned asked, struct errors *errors)
{
	char text[512];

	slots_explain(&machine->slots, listener, asked, text, sizeof(text));
	error_add(errors, config->path, NULL,
		"%s; give windows larger slots (slot-size), or fewer (memslots)", text);
}

static int window_error(const struct device_config *config, int err, struct errors *errors)
{
	if (err == -EINVAL)
		error_add(errors, config->path, "block-size",
			"is not a multiple of this host's huge page, 0x%llx, which backing = \"hugetlb\" takes",
			(unsigned long long)backing_huge_page_bytes());
	else if (err == -ENOTSUP)
		error_add(errors, config->path, "backing",
			"this host's kernel has no such memory; leave it out for \"anonymous\"");
	else
		error_add(errors, config->path, "memory-region",
			"cannot reserve %llu MiB of address space: %s; see `sluice doctor`",
			(unsigned long long)(config->window.size / MiB), strerror(-err));
	return err;
}

static int create_window(struct machine *machine, const struct device_config *config,
	struct machine_device *device, struct errors *errors)
{
	struct guestmem_range range = { .gpa = config->window.gpa, .size = config->window.size };
	struct window_config window = config->window;
	int err;

	window.expensive_unmaps = machine->config->cpu_features & 1u << CPU_NESTED;
	err = window_create(&window, machine->loop, &device->window);
	if (err)
		return window_error(config, err, errors);
	err = slots_reserve(&machine->slots, config->id, window_slot_count(device->window));
	if (err) {
		add_budget_error(machine, config, slots_tightest(&machine->slots),
			window_slot_count(device->window), errors);
		return err;
	}
	range.hva = window_hva(device->window);
	range.window = device->window;
	return guestmem_add(&machine->mem, &range);
}

static int create_device(struct machine *machine, struct machine_device *device,
	const struct device_class *class, const void *config, uint64_t gpa, int spi, bool edge)
{
	int err = irq_pin_init(&device->pin, machine->loop, spi, edge);

	if (err)
		return err;
	device->has_pin = true;
	device->env.loop = machine->loop;
	device->env.identity = identity_of(
		machine->config->host_id, machine->options.name, device->env.id);
	device->env.mem = &machine->mem;
	device->env.irq = &device->pin.line;
	device->env.window = device->window;
	if (class->kind == DEVICE_VIRTIO)
		device->env.transport = &virtio_mmio_transport;
	if (machine->registers.size && class->kind == DEVICE_VIRTIO)
		device->env.registers = machine->registers.hva + (gpa - VIRTIO_MMIO_BASE);
	device->env.system_suspend = machine->limits.system_suspend;
	err = device_create(class, config, &device->env, &device->device);
	if (err)
		return err;
	device->device->region.gpa = gpa;
	return mmio_bus_add(&machine->bus, &device->device->region);
}

static int add_listeners(struct machine *machine, const struct device_config *config,
	struct device *device, struct errors *errors)
{
	struct listener *listener;
	int err = 0;

	if (!config->class->listener)
		return 0;
	for (unsigned i = 0; (listener = config->class->listener(device, i)) && !err; i++) {
		err = slots_add_listener(&machine->slots, listener);
		if (err)
			add_budget_error(
				machine, config, listener, machine->slots.reserved, errors);
	}
	return err;
}

static int create_devices(struct machine *machine, struct errors *errors)
{
	const struct machine_config *config = machine->config;
	struct chardev *const *ports = machine->options.ports;
	int err = 0;

	machine->fixed[PLATFORM_UART].env.chardev = machine->options.console;
	for (size_t i = 0; i < PLATFORM_FIXED && !err; i++) {
		machine->fixed[i].env.id = platforms[i].class->compatible;
		err = create_device(machine, &machine->fixed[i], platforms[i].class, NULL,
			platforms[i].gpa, (int)platforms[i].spi, false);
	}
	for (size_t i = 0; i < config->device_count && !err; i++) {
		const struct device_config *from = &config->devices[i];
		struct machine_device *device = &machine->devices[i];

		if (from->has_window)
			err = create_window(machine, from, device, errors);
		if (err)
			return err;
		device->env.id = from->id;
		device->env.ports = ports;
		ports += from->port_count;
		device_probe(machine->config, from, true, errors);
		if (errors_any(errors))
			return -EINVAL;
		err = create_device(machine, device, from->class, from->config, from->gpa,
			(int)from->spi, from->class->kind == DEVICE_VIRTIO);
		if (err)
			error_add(errors, from->path, NULL, "cannot be made: %s", strerror(-err));
		else
			err = add_listeners(machine, from, device->device, errors);
	}
	return err;
}

/* Firmware and flash: neither has an interrupt, and no device reaches their memory. */
static int create_firmware(struct machine *machine, struct errors *errors)
{
	const struct machine_config *config = machine->config;
	struct machine_device *flash = &machine->flash;
	char why[256];
	int err = 0;

	if (config->firmware.name && !machine->limits.readonly_slots) {
		error_add(errors, "/chosen", "sluice,firmware",
			"KVM on this host has no read-only memory (KVM_CAP_READONLY_MEM), in which firmware runs");
		return -ENOTSUP;
	}
	if (config->firmware.name)
		err = firmware_create(&machine->firmware, &config->firmware, errors);
	if (!err && config->firmware.name)
		err = mmio_bus_add(&machine->bus, &machine->firmware.region);
	if (err || !config->flash.path.name)
		return err;
	if (!config_create_flash(config, errors))
		return -EINVAL;
	flash->env.id = "flash";
	err = device_create(&cfi_flash_class, &config->flash, &flash->env, &flash->device);
	if (err) {
		if (!flash_file_probe(&config->flash, true, why, sizeof(why)))
			snprintf(why, sizeof(why), "%s", strerror(-err));
		error_add(
			errors, "/chosen", "sluice,flash", "%s: %s", config->flash.path.name, why);
		return err;
	}
	flash->device->region.gpa = FLASH_BASE;
	return mmio_bus_add(&machine->bus, &flash->device->region);
}

static int create_vcpus(struct machine *machine,
	void (*on_event)(void *opaque, enum vcpus_event event, const char *text),
	struct errors *errors)
{
	const struct machine_config *config = machine->config;
	struct vcpus_config vcpus = {
		.count = (unsigned)config->cpu_count,
		.vcpu = config->cpus,
		.features = config->cpu_features & machine->limits.cpu_features,
		.stolen_time_gpa = STOLEN_TIME_BASE,
		.bus = &machine->bus,
		.mem = &machine->mem,
		.slots = &machine->slots,
		.strays = &machine->strays,
		.event = on_event,
		.opaque = machine,
	};
	int err = vcpus_create(&vcpus, &machine->vcpus);

	if (err == -EINVAL)
		error_add(errors, "/cpus", "sluice,host-cpus",
			"a CPU is to run on host CPUs none of which there is");
	else if (err == -EPERM)
		error_add(errors, "/cpus", "sluice,rt-priority",
			"this user may not have the priority: raise its rtprio in /etc/security/limits.conf, or run as root");
	return err;
}

int machine_create_parts(struct machine *machine,
	void (*on_event)(void *opaque, enum vcpus_event event, const char *text),
	struct errors *errors)
{
	int err;

	strays_init(&machine->strays, machine->config->stray_access, machine->loop);
	slots_init(&machine->slots);
	kvm_slots_init(&machine->kvm_slots, machine->limits.memslots);
	err = slots_add_listener(&machine->slots, &machine->kvm_slots.listener);
	if (!err)
		err = create_ram(machine, errors);
	if (!err)
		err = create_stolen_time(machine);
	if (!err)
		err = create_registers(machine);
	if (!err)
		err = create_devices(machine, errors);
	if (!err)
		err = create_firmware(machine, errors);
	if (!err)
		err = create_vcpus(machine, on_event, errors);
	return err;
}

static void destroy_device(struct machine *machine, struct machine_device *device)
{
	device_destroy(device->device);
	window_destroy(device->window);
	if (device->has_pin)
		irq_pin_finish(&device->pin);
}

void machine_destroy_parts(struct machine *machine)
{
	vcpus_destroy(machine->vcpus);
	machine_for_each_device(machine, destroy_device);
	firmware_destroy(&machine->firmware);
	for (size_t i = 0; i < machine->config->memory_count; i++)
		backing_destroy(&machine->ram[i]);
	if (machine->stolen_time)
		addrspace_unmap(machine->stolen_time, STOLEN_TIME_SIZE);
	registers_destroy(&machine->registers);
	strays_finish(&machine->strays);
	slots_finish(&machine->slots);
}
