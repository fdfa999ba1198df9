/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs of a machine: one thread each, made once and kept over resets; between VMs, and while
 * the map of RAM changes, they are parked. Everything here is called on the event loop's thread
 * but for `event`, which comes from a vCPU's.
 *
 * A vCPU may wait for the loop (a device's lock, a window's lock); vcpus_park() waits for vCPUs.
 * So the loop holds no such lock when it parks them.
 */
#ifndef SLUICE_HYP_VCPU_H
#define SLUICE_HYP_VCPU_H

#include <sched.h>
#include <stdint.h>

struct guestmem;
struct mmio_bus;
struct slots;
struct strays;
struct vcpus;
struct vm;

/* From the mildest to the gravest. */
enum vcpus_event {
	VCPUS_POWER_OFF,  /* PSCI SYSTEM_OFF */
	VCPUS_RESET,	  /* PSCI SYSTEM_RESET or SYSTEM_RESET2 */
	VCPUS_PAUSE,	  /* a stray access, where the policy is to pause */
	VCPUS_STOP,	  /* a stray access, where the policy is to stop */
	VCPUS_HOST_FAULT, /* the host could not provide memory that the guest owns */
	VCPUS_ERROR,	  /* KVM gave up on the vCPU */
};

struct vcpus_config {
	unsigned count;
	const uint64_t *mpidr; /* affinity of each, of which KVM makes its number; see vcpu_id() */
	const cpu_set_t *host_cpus; /* where each one's thread may run; an empty set: anywhere */
	struct mmio_bus *bus;
	const struct guestmem *mem; /* ranges fixed while vCPUs run */
	struct slots *slots;
	struct strays *strays;
	/* On the vCPU's thread, which then waits to be parked. `text` says why; gone after return. */
	void (*event)(void *opaque, enum vcpus_event event, const char *text);
	void *opaque;
};

/*
 * KVM's number of the vCPU whose MPIDR affinity is `mpidr`, or -EINVAL where KVM can make no such
 * vCPU: it numbers Aff0 below 16, then Aff1 and Aff2 (reset_mpidr in KVM for arm64).
 */
int vcpu_id(uint64_t mpidr);

/* Makes the threads, parked. -EINVAL where none of the host CPUs asked for exists. */
int vcpus_create(const struct vcpus_config *config, struct vcpus **ret);
void vcpus_destroy(struct vcpus *vcpus);

/* Makes the VM's vCPUs: the first starts at `pc` with x0, the rest wait for PSCI CPU_ON. */
int vcpus_build(struct vcpus *vcpus, struct vm *vm);
int vcpus_set_entry(struct vcpus *vcpus, uint64_t pc, uint64_t x0);
/* Closes and unmaps them; parked only. */
void vcpus_teardown(struct vcpus *vcpus);

void vcpus_run(struct vcpus *vcpus);
/* Returns when no vCPU is in KVM or in a device. */
void vcpus_park(struct vcpus *vcpus);

#endif
