/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running machine; see machine.h. What lasts from start to end (address space, devices, their
 * descriptors, vCPU threads) is made by machine_create(); what a system reset makes anew (the KVM
 * VM, its slots, the contents of memory, the guest's tree) by build() and undone by unbuild().
 */
#include "board/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "board/config.h"
#include "board/errors.h"
#include "board/guest-tree.h"
#include "board/kvm-advice.h"
#include "board/loader.h"
#include "board/map.h"
#include "devices/device.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/pl061.h"
#include "hyp/addrspace.h"
#include "hyp/guestmem.h"
#include "hyp/kvm.h"
#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/slots.h"
#include "hyp/util.h"
#include "hyp/vcpu.h"
#include "hyp/vm.h"
#include "hyp/window.h"

/* As on QEMU virt: SGIs and PPIs, and 256 SPIs. */
#define GIC_INTERRUPTS 288

/* The devices that every machine has, at fixed places. */
enum { FIXED_UART, FIXED_RTC, FIXED_GPIO, FIXED_COUNT };

static const struct {
	const struct device_class *class;
	uint64_t gpa;
	int spi;
} fixed_devices[FIXED_COUNT] = {
	[FIXED_UART] = { &pl011_class, UART_BASE, UART_SPI },
	[FIXED_RTC] = { &pl031_class, RTC_BASE, RTC_SPI },
	[FIXED_GPIO] = { &pl061_class, GPIO_BASE, GPIO_SPI },
};

struct machine_device {
	struct device *device;
	struct device_env env;
	struct irq_pin pin;
	bool has_pin;
	struct window *window;
};

struct machine {
	const struct machine_config *config;
	struct machine_options options;
	struct loop *loop;
	struct kvm_limits limits;
	int kvm_fd;

	struct vm vm;
	struct slots slots;
	struct guestmem mem;
	struct mmio_bus bus;
	struct vcpus *vcpus;
	uint64_t *mpidr;
	cpu_set_t *host_cpus;
	uint8_t *ram[CONFIG_RANGES];
	struct machine_device fixed[FIXED_COUNT];
	struct machine_device devices[CONFIG_DEVICES];
	struct loader *loader;

	enum machine_state state;
	char *reason;
	const char *reset_reason; /* of the reset that is posted */

	/* What a vCPU told last; the first wins until the loop has taken it. */
	pthread_mutex_t told_lock;
	bool told;
	enum vcpus_event told_event;
	char told_text[256];
	struct loop_task told_task;
	struct loop_task reset_task;
};

/* --- events --- */

static void notify(struct machine *machine, enum machine_notice notice, const char *reason)
{
	if (machine->options.notify)
		machine->options.notify(machine->options.opaque, notice, reason);
}

static void set_state(struct machine *machine, enum machine_state state, const char *why)
{
	machine->state = state;
	free(machine->reason);
	machine->reason = why ? strdup(why) : NULL;
}

/* `cause` is QEMU's ShutdownCause, `why` the reason in words, of states that have one. */
static void end(
	struct machine *machine, enum machine_state state, const char *cause, const char *why)
{
	if (machine->state == MACHINE_OFF || machine->state == MACHINE_STOPPED ||
		machine->state == MACHINE_FAILED)
		return;
	set_state(machine, state, why);
	notify(machine, MACHINE_SHUTDOWN, cause);
	vcpus_park(machine->vcpus);
	loop_stop(machine->loop);
}

/* On a vCPU's thread. */
static void on_vcpus_event(void *opaque, enum vcpus_event event, const char *text)
{
	struct machine *machine = opaque;

	pthread_mutex_lock(&machine->told_lock);
	if (!machine->told) {
		machine->told = true;
		machine->told_event = event;
		snprintf(machine->told_text, sizeof(machine->told_text), "%s", text);
	}
	pthread_mutex_unlock(&machine->told_lock);
	loop_post(machine->loop, &machine->told_task);
}

static void pause_machine(struct machine *machine, const char *reason)
{
	vcpus_park(machine->vcpus);
	set_state(machine, MACHINE_PAUSED, reason);
	log_print(LOG_WARNING, "%s; machine paused, system_reset or quit ends that", reason);
}

static void take_told(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, told_task);
	enum vcpus_event event;
	char text[sizeof(machine->told_text)];
	bool told;

	pthread_mutex_lock(&machine->told_lock);
	told = machine->told;
	event = machine->told_event;
	memcpy(text, machine->told_text, sizeof(text));
	machine->told = false;
	pthread_mutex_unlock(&machine->told_lock);
	if (!told)
		return;

	switch (event) {
	case VCPUS_POWER_OFF:
		end(machine, MACHINE_OFF, "guest-shutdown", NULL);
		break;
	case VCPUS_RESET:
		machine_reset(machine, "guest-reset");
		break;
	case VCPUS_PAUSE:
		pause_machine(machine, text);
		break;
	case VCPUS_STOP:
		end(machine, MACHINE_STOPPED, "guest-panic", text);
		break;
	case VCPUS_HOST_FAULT:
	case VCPUS_ERROR:
		end(machine, MACHINE_FAILED, "host-error", text);
		break;
	}
}

/* --- one life of the VM, from system reset to system reset --- */

static void for_each_device(struct machine *machine,
	void (*call)(struct machine *machine, struct machine_device *device))
{
	for (size_t i = 0; i < FIXED_COUNT; i++)
		call(machine, &machine->fixed[i]);
	for (size_t i = 0; i < machine->config->device_count; i++)
		call(machine, &machine->devices[i]);
}

static int build_irqs(struct machine *machine)
{
	int err = 0;

	for (size_t i = 0; i < FIXED_COUNT && !err; i++)
		err = irq_pin_connect(&machine->fixed[i].pin, &machine->vm);
	for (size_t i = 0; i < machine->config->device_count && !err; i++)
		err = irq_pin_connect(&machine->devices[i].pin, &machine->vm);
	return err;
}

static int build_memory(struct machine *machine)
{
	const struct machine_config *config = machine->config;

	slots_set_vm(&machine->slots, machine->vm.fd);
	for (size_t i = 0; i < config->memory_count; i++) {
		int id = slot_open(&machine->slots, config->memory[i].gpa, config->memory[i].size,
			machine->ram[i]);

		if (id < 0)
			return id;
	}
	for (size_t i = 0; i < config->device_count; i++)
		if (machine->devices[i].window)
			window_attach(machine->devices[i].window, &machine->slots);
	return 0;
}

/* Kernel, initrd and a tree with fresh seeds, into memory that holds nothing yet. */
static int load(struct machine *machine, struct errors *errors)
{
	struct guest_tree_input input = { .gic_version = machine->vm.gic_version };
	struct loader_result loaded;
	void *tree;
	size_t size;
	int err = loader_load(machine->loader, &machine->mem, errors, &loaded);

	if (err)
		return err;
	input.initrd_gpa = loaded.initrd_gpa;
	input.initrd_size = loaded.initrd_size;
	if (getrandom(input.kaslr_seed, sizeof(input.kaslr_seed), 0) != sizeof(input.kaslr_seed) ||
		getrandom(input.rng_seed, sizeof(input.rng_seed), 0) != sizeof(input.rng_seed))
		return -EIO;
	err = guest_tree_build(machine->config, &input, &tree, &size);
	if (err) {
		error_add(errors, machine->config->file, NULL, "the guest's tree: %s",
			strerror(-err));
		return err;
	}
	err = guestmem_write(&machine->mem, loaded.tree_gpa, tree, size);
	free(tree);
	return err ? err : vcpus_set_entry(machine->vcpus, loaded.entry_gpa, loaded.tree_gpa);
}

static int build_vm(struct machine *machine)
{
	const struct gic_layout gic = {
		.version = machine->limits.gicv3 ? 3 : 2,
		.dist_gpa = GIC_DIST_BASE,
		.cpu_gpa = GIC_CPU_BASE,
		.redist_gpa = GIC_REDIST_BASE,
		.interrupts = GIC_INTERRUPTS,
	};
	int err = vm_create(&machine->vm, machine->kvm_fd, machine->config->ipa_bits_needed);

	if (!err)
		err = gic_create(&machine->vm, &gic);
	if (!err)
		err = build_memory(machine);
	if (!err)
		err = vcpus_build(machine->vcpus, &machine->vm);
	if (!err)
		err = gic_init(&machine->vm);
	if (!err)
		err = build_irqs(machine);
	if (!err)
		err = vm_add_doorbells(&machine->vm, &machine->bus);
	return err;
}

/* Everything of build() goes; memory is empty afterwards and all windows unplugged. */
static int unbuild(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	int err, result = 0;

	for (size_t i = 0; i < config->device_count; i++) {
		if (!machine->devices[i].window)
			continue;
		err = window_detach(machine->devices[i].window);
		if (err)
			result = err;
	}
	for (size_t i = 0; i < FIXED_COUNT; i++)
		irq_pin_disconnect(&machine->fixed[i].pin);
	for (size_t i = 0; i < config->device_count; i++)
		irq_pin_disconnect(&machine->devices[i].pin);
	vcpus_teardown(machine->vcpus);
	vm_destroy(&machine->vm);
	slots_set_vm(&machine->slots, -1);
	for (size_t i = 0; i < config->memory_count; i++) {
		err = addrspace_replace_memory(machine->ram[i], config->memory[i].size);
		if (err)
			result = err;
	}
	return result;
}

static int build(struct machine *machine, struct errors *errors)
{
	int err = build_vm(machine);

	if (err)
		error_add(errors, "/dev/kvm", NULL, "cannot make the virtual machine: %s",
			strerror(-err));
	else
		err = load(machine, errors);
	return err;
}

static void quiesce_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device->class->quiesce)
		device->device->class->quiesce(device->device);
}

static void reset_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	device->device->class->reset(device->device);
}

static void run_reset(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, reset_task);
	struct errors errors = { 0 };
	int err;

	if (machine->state != MACHINE_RUNNING && machine->state != MACHINE_PAUSED)
		return;
	if (machine->options.no_reboot) {
		end(machine, MACHINE_OFF, machine->reset_reason, NULL);
		return;
	}
	set_state(machine, MACHINE_RESETTING, NULL);
	notify(machine, MACHINE_RESET, machine->reset_reason);
	vcpus_park(machine->vcpus);
	machine->told = false; /* what was told meanwhile is of the life before; vCPUs are parked */
	for_each_device(machine, quiesce_device);
	err = unbuild(machine);
	for_each_device(machine, reset_device);
	if (err)
		error_add(&errors, "reset", NULL, "the host could not empty the guest's memory: %s",
			strerror(-err));
	else
		err = build(machine, &errors);
	if (err) {
		for (size_t i = 0; i < errors.count; i++)
			log_print(LOG_ERROR, "%s", errors.lines[i]);
		end(machine, MACHINE_FAILED, "host-error",
			"the machine could not be built anew after a reset");
	} else {
		machine->state = MACHINE_RUNNING;
		vcpus_run(machine->vcpus);
	}
	errors_finish(&errors);
}

/* --- what lasts --- */

static int create_ram(struct machine *machine, struct errors *errors)
{
	const struct machine_config *config = machine->config;
	int err = slots_reserve(&machine->slots, "memory", (unsigned)config->memory_count);

	for (size_t i = 0; i < config->memory_count && !err; i++) {
		struct guestmem_range range = { .gpa = config->memory[i].gpa,
			.size = config->memory[i].size };

		err = addrspace_map(
			range.gpa, range.size, PROT_READ | PROT_WRITE, 0, &machine->ram[i]);
		if (err)
			break;
		madvise(machine->ram[i], range.size, MADV_HUGEPAGE);
		range.hva = machine->ram[i];
		err = guestmem_add(&machine->mem, &range);
	}
	if (err)
		error_add(errors, "/memory", "reg",
			"the host does not give this much memory: %s; make it smaller, or see "
			"vm.overcommit_memory and the limits of its cgroup",
			strerror(-err));
	return err;
}

static int create_window(struct machine *machine, const struct device_config *config,
	struct machine_device *device, struct errors *errors)
{
	struct guestmem_range range = { .gpa = config->window.gpa, .size = config->window.size };
	int err;

	err = window_create(&config->window, machine->loop, &device->window);
	if (err) {
		error_add(errors, config->path, "memory-region",
			"cannot reserve %llu MiB of address space: %s; see `sluice doctor`",
			(unsigned long long)(config->window.size / MiB), strerror(-err));
		return err;
	}
	err = slots_reserve(&machine->slots, config->id, window_slot_count(device->window));
	if (err) {
		error_add(errors, config->path, "memslots",
			"asks for %u slots; KVM has %u, %u of them are taken by what stands before "
			"it",
			window_slot_count(device->window), machine->slots.limit,
			machine->slots.reserved);
		return err;
	}
	range.hva = window_hva(device->window);
	range.window = device->window;
	return guestmem_add(&machine->mem, &range);
}

static int create_device(struct machine *machine, struct machine_device *device,
	const struct device_class *class, const void *config, uint64_t gpa, int spi, bool edge)
{
	int err = irq_pin_init(&device->pin, spi, edge);

	if (err)
		return err;
	device->has_pin = true;
	device->env.loop = machine->loop;
	device->env.mem = &machine->mem;
	device->env.irq = &device->pin.line;
	device->env.window = device->window;
	err = class->create(config, &device->env, &device->device);
	if (err)
		return err;
	device->device->region.gpa = gpa;
	return mmio_bus_add(&machine->bus, &device->device->region);
}

static int create_devices(struct machine *machine, struct errors *errors)
{
	const struct machine_config *config = machine->config;
	int err = 0;

	machine->fixed[FIXED_UART].env.chardev = machine->options.console;
	for (size_t i = 0; i < FIXED_COUNT && !err; i++) {
		machine->fixed[i].env.id = fixed_devices[i].class->compatible;
		err = create_device(machine, &machine->fixed[i], fixed_devices[i].class, NULL,
			fixed_devices[i].gpa, fixed_devices[i].spi, false);
	}
	for (size_t i = 0; i < config->device_count && !err; i++) {
		const struct device_config *from = &config->devices[i];
		struct machine_device *device = &machine->devices[i];

		if (from->has_window)
			err = create_window(machine, from, device, errors);
		if (err)
			return err;
		device->env.id = from->id;
		err = create_device(machine, device, from->class, from->config,
			VIRTIO_MMIO_BASE + from->place * VIRTIO_MMIO_SIZE,
			VIRTIO_MMIO_SPI + (int)from->place, true);
		if (err)
			error_add(errors, from->path, NULL, "cannot be made: %s", strerror(-err));
	}
	return err;
}

static int create_vcpus(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct vcpus_config vcpus = {
		.count = (unsigned)config->cpu_count,
		.bus = &machine->bus,
		.mem = &machine->mem,
		.slots = &machine->slots,
		.stray = (enum stray_policy)config->stray_access,
		.event = on_vcpus_event,
		.opaque = machine,
	};

	machine->mpidr = calloc(config->cpu_count, sizeof(*machine->mpidr));
	machine->host_cpus = calloc(config->cpu_count, sizeof(*machine->host_cpus));
	if (!machine->mpidr || !machine->host_cpus)
		return -ENOMEM;
	for (size_t i = 0; i < config->cpu_count; i++) {
		machine->mpidr[i] = config->cpus[i].mpidr;
		machine->host_cpus[i] = config->cpus[i].host_cpus;
	}
	vcpus.mpidr = machine->mpidr;
	vcpus.host_cpus = machine->host_cpus;
	return vcpus_create(&vcpus, &machine->vcpus);
}

static int create_all(struct machine *machine, struct errors *errors)
{
	int err = kvm_probe(&machine->limits);

	machine->kvm_fd = err ? err : kvm_open();
	if (machine->kvm_fd < 0) {
		char text[200], advice[400];

		kvm_advice(machine->kvm_fd, text, sizeof(text), advice, sizeof(advice));
		error_add(errors, text, NULL, "%s", advice);
		return machine->kvm_fd;
	}
	err = loader_open(machine->config, errors, &machine->loader);
	if (err)
		return err;
	err = slots_init(&machine->slots, machine->limits.memslots);
	if (!err)
		err = create_ram(machine, errors);
	if (!err)
		err = create_devices(machine, errors);
	if (!err)
		err = create_vcpus(machine);
	if (!err)
		err = build(machine, errors);
	return err;
}

int machine_create(const struct machine_config *config, const struct machine_options *options,
	struct loop *loop, struct errors *errors, struct machine **ret)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int err;

	if (!machine)
		return -ENOMEM;
	machine->config = config;
	machine->options = *options;
	machine->loop = loop;
	machine->kvm_fd = machine->vm.fd = machine->vm.gic_fd = -1;
	machine->state = MACHINE_RESETTING;
	machine->told_task.run = take_told;
	machine->reset_task.run = run_reset;
	pthread_mutex_init(&machine->told_lock, NULL);
	err = create_all(machine, errors);
	if (err) {
		if (!errors_any(errors))
			error_add(errors, config->file, NULL, "cannot make the machine: %s",
				strerror(-err));
		machine_destroy(machine);
		return err;
	}
	*ret = machine;
	return 0;
}

int machine_start(struct machine *machine)
{
	machine->state = MACHINE_RUNNING;
	vcpus_run(machine->vcpus);
	return 0;
}

static void destroy_device(struct machine *machine, struct machine_device *device)
{
	(void)machine;
	if (device->device)
		device->device->class->destroy(device->device);
	window_destroy(device->window);
	if (device->has_pin)
		irq_pin_finish(&device->pin);
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	if (machine->vcpus) {
		vcpus_park(machine->vcpus);
		for (size_t i = 0; i < machine->config->device_count; i++)
			if (machine->devices[i].window)
				window_detach(machine->devices[i].window);
		vcpus_destroy(machine->vcpus);
	}
	vm_destroy(&machine->vm);
	for_each_device(machine, destroy_device);
	loader_close(machine->loader);
	for (size_t i = 0; i < machine->config->memory_count; i++)
		if (machine->ram[i])
			addrspace_unmap(machine->ram[i], machine->config->memory[i].size);
	slots_finish(&machine->slots);
	if (machine->kvm_fd >= 0)
		close(machine->kvm_fd);
	pthread_mutex_destroy(&machine->told_lock);
	free(machine->mpidr);
	free(machine->host_cpus);
	free(machine->reason);
	free(machine);
}

/* --- from the outside --- */

enum machine_state machine_state(const struct machine *machine)
{
	return machine->state;
}

const char *machine_stop_reason(const struct machine *machine)
{
	return machine->reason;
}

const struct machine_config *machine_config(const struct machine *machine)
{
	return machine->config;
}

void machine_power_button(struct machine *machine)
{
	notify(machine, MACHINE_POWERDOWN, NULL);
	pl061_pulse(machine->fixed[FIXED_GPIO].device, GPIO_POWER_LINE);
}

void machine_reset(struct machine *machine, const char *reason)
{
	machine->reset_reason = reason;
	loop_post(machine->loop, &machine->reset_task);
}

void machine_quit(struct machine *machine, const char *reason)
{
	end(machine, MACHINE_OFF, reason, NULL);
}

size_t machine_device_count(const struct machine *machine)
{
	return machine->config->device_count;
}

struct device *machine_device(const struct machine *machine, size_t index)
{
	return machine->devices[index].device;
}
