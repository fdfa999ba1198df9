/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's firmware (U-Boot, UEFI): a file in read-only memory at FIRMWARE_BASE, as it is in the first bank of flash of
 * QEMU's virt. The file is read once, when the machine is made: a reset does not read it again, and a new version of it
 * is for the machine's next start. The guest's stores there are counted and ignored, as by the real bank: U-Boot 2025.01
 * makes one at each boot.
 */
#ifndef SLUICE_BOARD_MACHINE_FIRMWARE_H
#define SLUICE_BOARD_MACHINE_FIRMWARE_H

#include <pthread.h>
#include <stdint.h>

#include "hyp/base/log.h"
#include "hyp/kvm/mmio.h"
#include "hyp/kvm/rom.h"

struct errors;
struct host_path;
struct vm;

struct firmware {
	uint8_t *hva; /* FIRMWARE_SIZE bytes, zeros beyond the file; NULL: there is none */
	struct rom rom;
	struct mmio_region region; /* takes the stores */
	pthread_mutex_t lock;
	uint64_t stores; /* that were ignored, under the lock */
	struct log_limit complaints;
};

/* Reads the file. -ENOMEM, or -EINVAL after an error was added; then there is nothing to finish. */
int firmware_create(struct firmware *firmware, const struct host_path *path, struct errors *errors);
/* Harmless if there is none. */
void firmware_destroy(struct firmware *firmware);
/* Checks that such a file will do, without reading it. -EINVAL after an error was added. */
int firmware_check(const struct host_path *path, struct errors *errors);

/* Shows it in a new VM; with NULL the VM is about to go. -errno of KVM. Harmless if there is none. */
int firmware_attach(struct firmware *firmware, const struct vm *vm, unsigned slot);

#endif
