/* SPDX-License-Identifier: Apache-2.0 */
/* What each system reset makes anew: the KVM VM, its slots, the contents of memory, the guest's tree. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "board/boot/guest-tree.h"
#include "board/boot/loader.h"
#include "devices/arm/cfi-flash.h"
#include "board/config/map.h"
#include "board/host/identity.h"
#include "board/machine/machine-internal.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/window.h"

static int build_irqs(struct machine *machine)
{
	int err = 0;

	for (size_t i = 0; i < PLATFORM_FIXED && !err; i++)
		err = irq_pin_connect(&machine->fixed[i].pin, &machine->vm);
	for (size_t i = 0; i < machine->config->device_count && !err; i++)
		err = irq_pin_connect(&machine->devices[i].pin, &machine->vm);
	return err;
}

static int build_memory(struct machine *machine)
{
	const struct machine_config *config = machine->config;

	machine->kvm_slots.vm_fd = machine->vm.fd;
	for (size_t i = 0; i < config->memory_count; i++) {
		struct memory_slot slot = {
			.gpa = config->memory[i].gpa,
			.size = config->memory[i].size,
			.hva = machine->ram[i].hva,
			.fd = machine->ram[i].fd,
		};
		int id = -1, err = slot_open(&machine->slots, &slot, &id);

		if (err)
			return err;
	}
	if (machine->stolen_time) {
		struct memory_slot slot = {
			.gpa = STOLEN_TIME_BASE,
			.size = STOLEN_TIME_SIZE,
			.hva = machine->stolen_time,
			.fd = -1,
		};
		int id = -1, err = slot_open(&machine->slots, &slot, &id);

		if (err)
			return err;
	}
	for (size_t i = 0; i < config->device_count; i++)
		if (machine->devices[i].window)
			window_attach(machine->devices[i].window, &machine->slots);
	return 0;
}

/* Writes a tree with fresh seeds for the kernel that is loaded. */
static int load_tree(
	struct machine *machine, const struct loader_result *loaded, struct errors *errors)
{
	struct guest_tree_input input = {
		.initrd_gpa = loaded->initrd.gpa,
		.initrd_size = loaded->initrd.size,
		.cmdline = loaded->cmdline,
		.flash_bytes = machine->flash.device ? machine->flash.device->region.size : 0,
		.serial = identity_of(
			machine->config->host_id, machine->options.name, "serial-number"),
	};
	void *tree;
	size_t size;
	int err;

	/* getrandom() fills such small buffers whole; EINTR only before the host's generator is ready. */
	if (RETRY_EINTR(getrandom(input.kaslr_seed, sizeof(input.kaslr_seed), 0)) < 0 ||
		RETRY_EINTR(getrandom(input.rng_seed, sizeof(input.rng_seed), 0)) < 0)
		return -errno;
	err = guest_tree_build(machine->config, &input, &tree, &size);
	if (err) {
		error_add(errors, machine->config->file, NULL, "the guest's tree: %s",
			strerror(-err));
		return err;
	}
	err = guestmem_write(&machine->mem, loaded->tree_gpa, tree, size);
	if (!err)
		err = vcpus_set_entry(machine->vcpus, loaded->entry_gpa, loaded->tree_gpa);
	if (!err)
		guest_tree_check_aliases(machine->config, tree, errors);
	free(tree);
	return err;
}

static int build_vm(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	unsigned first = config->cpu_count < GIC_REDIST_VCPUS ? (unsigned)config->cpu_count
							      : GIC_REDIST_VCPUS;
	const struct gic_layout gic = {
		.version = config->gic_version,
		.dist_gpa = GIC_DIST_BASE,
		.cpu_gpa = GIC_CPU_BASE,
		.redist = { { GIC_REDIST_BASE, first },
			{ GIC_REDIST2_BASE, (unsigned)config->cpu_count - first } },
		.its_gpa = config->its ? GIC_ITS_BASE : 0,
		.nested = config->cpu_features & 1u << CPU_NESTED,
		.interrupts = GIC_INTERRUPTS,
	};
	int err = 0;

	if (machine->options.vm_fd)
		vm_adopt(&machine->vm, machine->kvm_fd, machine->options.vm_fd);
	else
		err = vm_create(&machine->vm, machine->kvm_fd, config->ipa_bits_needed);
	machine->options.vm_fd = 0;
	if (!err)
		err = gic_create(&machine->vm, &gic);
	if (!err)
		err = build_memory(machine);
	if (!err)
		err = vcpus_build(machine->vcpus, &machine->vm);
	if (!err)
		err = gic_init(&machine->vm);
	if (!err)
		err = vcpus_start_features(machine->vcpus);
	if (!err)
		err = build_irqs(machine);
	if (!err)
		err = registers_map(&machine->registers, &machine->vm,
			machine->limits.memslots + KVM_SLOT_REGISTERS);
	if (!err)
		err = firmware_attach(&machine->firmware, &machine->vm,
			machine->limits.memslots + KVM_SLOT_FIRMWARE);
	if (!err && machine->flash.device)
		cfi_flash_class.attach(machine->flash.device, &machine->vm,
			machine->limits.memslots + KVM_SLOT_FLASH);
	if (!err)
		err = vm_add_doorbells(&machine->vm, &machine->bus);
	return err;
}

static void destroy_vm(struct machine *machine)
{
	for (size_t i = 0; i < PLATFORM_FIXED; i++)
		irq_pin_disconnect(&machine->fixed[i].pin);
	for (size_t i = 0; i < machine->config->device_count; i++)
		irq_pin_disconnect(&machine->devices[i].pin);
	vcpus_teardown(machine->vcpus);
	firmware_attach(&machine->firmware, NULL, 0);
	if (machine->flash.device)
		cfi_flash_class.attach(machine->flash.device, NULL, 0);
	vm_destroy(&machine->vm);
}

/* A piece of a window or of RAM. Huge pages: 16 MiB of them is one at least. */
#define EMPTY_AT_ONCE (16 * MiB)

static void empty_ram(struct machine *machine, struct backing *ram)
{
	uint64_t left = ram->size - machine->emptied_bytes, piece = EMPTY_AT_ONCE;
	int err;

	if (ram->kind == BACKING_HUGETLB)
		piece = align_up(piece, backing_huge_page_bytes() ?: 1);
	piece = piece < left ? piece : left;
	err = backing_empty_ram(ram, machine->emptied_bytes, piece);
	if (err)
		machine->unbuild_err = err;
	machine->emptied_bytes += piece;
	if (machine->emptied_bytes == ram->size) {
		machine->emptied_bytes = 0;
		machine->emptied++;
	}
}

/* False: there is more. */
static bool empty_memory(struct machine *machine, uint64_t until_ms)
{
	size_t windows = machine->config->device_count;
	size_t all = windows + machine->config->memory_count;

	for (; machine->emptied < windows; machine->emptied++) {
		struct window *window = machine->devices[machine->emptied].window;

		if (window && !window_empty(window, until_ms))
			return false;
	}
	while (machine->emptied < all && loop_now_ms() <= until_ms)
		empty_ram(machine, &machine->ram[machine->emptied - windows]);
	return machine->emptied == all;
}

/*
 * A guest decides how much memory there is to free, so that takes turns. Freed while its VM exists, memory leaves no
 * stage 2 table that destroying the VM would have to walk in one go. With EL2, KVM walks all shadow tables for each
 * piece that is unmapped: there the VM is destroyed first.
 */
int machine_unbuild(struct machine *machine, uint64_t until_ms)
{
	const struct machine_config *config = machine->config;
	int err;

	if (!machine->unbuilding) {
		machine->unbuilding = true;
		for (size_t i = 0; i < config->device_count; i++)
			if (machine->devices[i].window)
				window_stop(machine->devices[i].window);
		slots_forget(&machine->slots);
		if (config->cpu_features & 1u << CPU_NESTED)
			destroy_vm(machine);
	}
	if (!empty_memory(machine, until_ms))
		return 1;
	destroy_vm(machine);
	for (size_t i = 0; i < config->device_count; i++) {
		if (!machine->devices[i].window)
			continue;
		err = window_detach(machine->devices[i].window);
		if (err)
			machine->unbuild_err = err;
	}
	if (machine->stolen_time) {
		err = addrspace_empty(machine->stolen_time, STOLEN_TIME_SIZE);
		if (err)
			machine->unbuild_err = err;
	}
	err = machine->unbuild_err;
	machine->unbuild_err = 0;
	machine->emptied = 0;
	machine->unbuilding = false;
	return err;
}

int machine_build(struct machine *machine, uint64_t until_ms, struct errors *errors)
{
	struct loader_result loaded;
	int err = machine->vm.fd < 0 ? build_vm(machine) : 0;

	if (err) {
		error_add(errors, "/dev/kvm", NULL, "cannot make the virtual machine: %s",
			strerror(-err));
		return err;
	}
	err = loader_load(machine->loader, &machine->mem, until_ms, errors, &loaded);
	return err ? err : load_tree(machine, &loaded, errors);
}
