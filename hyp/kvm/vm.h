/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One KVM virtual machine with its interrupt controller and lines. It lives from one system reset
 * to the next: a VGIC cannot be initialised twice, so a reset makes a new VM. The order of calls is: vm_create,
 * gic_create, the vCPUs, gic_init, irq_pin_connect, registers_map and vm_add_doorbells, run.
 */
#ifndef SLUICE_HYP_KVM_VM_H
#define SLUICE_HYP_KVM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/base/loop.h"
#include "hyp/kvm/irq.h"

struct loop;
struct mmio_bus;

struct vm {
	int kvm_fd; /* /dev/kvm; the owner's, and open longer than one VM */
	int fd;
	int gic_fd, its_fd;
	unsigned gic_version;
};

/* `ipa_bits`: what the map needs, at most what KVM offers. 0, or -errno with nothing left to free. */
int vm_create(struct vm *vm, int kvm_fd, unsigned ipa_bits);
/* The same with a VM from kvm_create_vm(), of which it takes ownership. */
void vm_adopt(struct vm *vm, int kvm_fd, int fd);
/* Closes the VM and its GIC. KVM frees the VM once the vCPUs are closed and unmapped too. Harmless twice. */
void vm_destroy(struct vm *vm);

/* Registers every doorbell of the bus as an ioeventfd. */
int vm_add_doorbells(struct vm *vm, const struct mmio_bus *bus);

#define GIC_REDIST_BYTES 0x20000
/* The interrupt that notifies a hypervisor in the guest of its guests' interrupts. */
#define GIC_MAINTENANCE_PPI 9
#define GIC_ITS_BYTES	    0x20000

struct gic_layout {
	unsigned version; /* 2 or 3 */
	uint64_t dist_gpa;
	uint64_t cpu_gpa; /* GICv2 */
	struct gic_redistributors {
		uint64_t gpa;
		unsigned count; /* of vCPUs, GIC_REDIST_BYTES each; 0: not present */
	} redist[2];		/* GICv3 */
	uint64_t its_gpa;	/* GICv3; 0: without one */
	bool nested;		/* GICv3: with interrupts for guests of the guest */
	unsigned interrupts;	/* SGIs, PPIs and SPIs: 64 to 1024, a multiple of 32 */
};

int gic_create(struct vm *vm, const struct gic_layout *layout);
/* After every vCPU has been created. */
int gic_init(struct vm *vm);

/*
 * A line into the GIC. Edge lines use an irqfd, so that anything that can write an eventfd can interrupt. Level
 * lines use KVM_IRQ_LINE, since an irqfd can only pulse or wait for the guest's end of interrupt. A pin outlives
 * VMs: it is connected to each new one.
 *
 * The guest's tree says "edge", but a driver without a tree may leave the GIC at its reset state, a level. A pulse
 * would be over before that guest takes it. So edge lines stay high until the guest's end of interrupt, which KVM
 * reports by an eventfd. A signal that came meanwhile may have been lost, so the line is then raised again: twice after
 * it was last set, since the loop may learn late of an end, when the guest has taken the next interrupt, into which a
 * signal then merges. For a device that a back end in the kernel serves, the used rings' indices show whether there was
 * one. An interrupt that the guest takes as an edge has no such end, costs nothing, and each signal is one interrupt.
 */
struct irq_pin {
	struct irq_line line;
	int spi; /* interrupt id less 32 */
	bool edge;
	_Atomic int vm_fd; /* level pins; -1 while unconnected */
	struct loop_fd
		ended; /* edge pins: the guest's end of interrupt, if it takes it as a level */
	_Atomic unsigned again; /* at so many ends of interrupt the line is raised again */
};

/* On the loop's thread, as irq_pin_finish(). -errno, with nothing left to free. */
int irq_pin_init(struct irq_pin *pin, struct loop *loop, int spi, bool edge);
void irq_pin_finish(struct irq_pin *pin);
int irq_pin_connect(struct irq_pin *pin, struct vm *vm);
void irq_pin_disconnect(struct irq_pin *pin);

#endif
