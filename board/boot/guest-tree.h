/* SPDX-License-Identifier: Apache-2.0 */
/* The tree that the guest gets: the machine's own, completed with what Sluice provides, without the host's parts. */
#ifndef SLUICE_BOARD_BOOT_GUEST_TREE_H
#define SLUICE_BOARD_BOOT_GUEST_TREE_H

#include <stddef.h>
#include <stdint.h>

struct errors;
struct machine_config;

struct guest_tree_input {
	uint64_t initrd_gpa, initrd_size; /* size 0: none */
	const char *cmdline;		  /* /chosen/bootargs, if the source has none; NULL: none */
	uint64_t flash_bytes;		  /* of the flash; 0: none */
	uint64_t serial;		  /* serial-number of the root, if the source has none */
	uint8_t kaslr_seed[8];
	uint8_t rng_seed[64];
};

/*
 * Builds the guest's tree. Adds /interrupt-controller, /timer, /psci, the UART, RTC, GPIO and
 * gpio-keys power button, the flash, a virtio_mmio node for each virtio device, /hypervisor, and in /chosen
 * stdout-path, initrd and seeds; removes every sluice,* node and property, and the windows: what is
 * plugged of them the guest gets from virtio-mem, and U-Boot would reserve the whole window for EFI. `ret` is malloc'ed and
 * packed, at most TREE_SIZE_MAX. -ENOSPC beyond that, -ENOMEM.
 */
int guest_tree_build(const struct machine_config *config, const struct guest_tree_input *input,
	void **ret, size_t *ret_size);

/* Warns about aliases of the source that are missing in `tree`. Skips virtioN aliases, which only set the order. */
void guest_tree_check_aliases(
	const struct machine_config *config, const void *tree, struct errors *errors);

#endif
