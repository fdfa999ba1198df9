/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine as the files that make it up see it: machine.c (its life, from reset to reset) and
 * machine-parts.c (what lasts from start to end).
 */
#ifndef SLUICE_BOARD_MACHINE_INTERNAL_H
#define SLUICE_BOARD_MACHINE_INTERNAL_H

#include <pthread.h>

#include "board/config.h"
#include "board/machine.h"
#include "devices/device.h"
#include "hyp/guestmem.h"
#include "hyp/kvm.h"
#include "hyp/loop.h"
#include "hyp/kvm-slots.h"
#include "hyp/registers.h"
#include "hyp/slots.h"
#include "hyp/stray.h"
#include "hyp/vcpu.h"
#include "hyp/vm.h"

/* The devices that every machine has, at fixed places. */
enum { FIXED_UART, FIXED_RTC, FIXED_GPIO, FIXED_COUNT };

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
	struct kvm_slots kvm_slots; /* the first listener */
	struct strays strays;
	struct guestmem mem;
	struct mmio_bus bus;
	struct registers registers; /* of virtio devices */
	struct vcpus *vcpus;
	uint8_t *ram[CONFIG_RANGES];
	uint8_t *stolen_time; /* what KVM tells the guest of it; no device reaches it */
	struct machine_device fixed[FIXED_COUNT];
	struct machine_device devices[CONFIG_DEVICES];
	struct loader *loader;

	enum machine_state state;
	char *reason;
	const char *reset_reason; /* of the reset that is posted */

	/* What a vCPU told; until the loop has taken it the gravest wins, as enum vcpus_event has them. */
	pthread_mutex_t told_lock;
	bool told;
	enum vcpus_event told_event;
	char told_text[256];
	struct loop_task told_task;
	struct loop_task reset_task;
};

/* Guest memory, devices with their windows, vCPU threads. -errno, most with an error added. */
int machine_create_parts(struct machine *machine,
	void (*on_event)(void *opaque, enum vcpus_event event, const char *text),
	struct errors *errors);
/* Takes what was made so far; the vCPUs are parked and the windows detached. */
void machine_destroy_parts(struct machine *machine);

void machine_for_each_device(struct machine *machine,
	void (*call)(struct machine *machine, struct machine_device *device));

#endif
