/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs of a machine: one thread each, made once and used again after resets. They are parked between VMs, and
 * while the map of RAM changes. When one of them calls SYSTEM_SUSPEND they park for a moment too, without the loop;
 * the last one to park answers. Everything here is called on the event loop's thread, except `event`, which a vCPU's
 * thread calls.
 *
 * A vCPU may wait for the loop (a device's lock, a window's lock), and vcpus_park() waits for vCPUs. So the loop holds
 * no such lock when it parks them.
 */
#ifndef SLUICE_HYP_VCPU_VCPU_H
#define SLUICE_HYP_VCPU_VCPU_H

#include <sched.h>
#include <stdint.h>

struct guestmem;
struct mmio_bus;
struct slots;
struct strays;
struct vcpus;
struct vm;

/* In order of severity: a higher value replaces a lower one that is still pending. */
enum vcpus_event {
	VCPUS_POWER_OFF,  /* PSCI SYSTEM_OFF */
	VCPUS_RESET,	  /* PSCI SYSTEM_RESET or SYSTEM_RESET2 */
	VCPUS_PAUSE,	  /* a stray access, where the policy is to pause */
	VCPUS_STOP,	  /* a stray access, where the policy is to stop */
	VCPUS_HOST_FAULT, /* the host could not provide memory that the guest owns */
	VCPUS_ERROR,	  /* KVM gave up on the vCPU */
};

struct vcpu_config {
	uint64_t mpidr;	      /* affinity, from which KVM derives its number; see vcpu_id() */
	cpu_set_t host_cpus;  /* on which its thread may run; empty: on any */
	unsigned rt_priority; /* of its thread under SCHED_FIFO, 1 to 99; 0: as other threads */
};

struct vcpus_config {
	unsigned count;
	const struct vcpu_config *vcpu; /* of each; copied */
	unsigned features; /* of all, a bit 1 << enum cpu_feature each, which KVM offers */
	uint64_t
		stolen_time_gpa; /* CPU_STOLEN_TIME: STOLEN_TIME_BYTES for each vCPU, in an open slot */
	struct mmio_bus *bus;
	const struct guestmem *mem; /* ranges fixed while vCPUs run */
	struct slots *slots;
	struct strays *strays;
	/* On the vCPU's thread, which then waits to be parked. `text` says why; valid during the call. */
	void (*event)(void *opaque, enum vcpus_event event, const char *text);
	void *opaque;
};

/*
 * KVM's number of the vCPU whose MPIDR affinity is `mpidr`, or -EINVAL if KVM can make no such
 * vCPU: it numbers Aff0 below 16, then Aff1 and Aff2 (reset_mpidr in KVM for arm64).
 */
int vcpu_id(uint64_t mpidr);

/* The interrupt of a vCPU's PMU, as QEMU virt and Arm's base system architecture have it. */
#define VCPU_PMU_PPI 7
/* The record that KVM writes for each vCPU (Arm DEN0057A, 3.2.2). */
#define STOLEN_TIME_BYTES 64

/*
 * Makes the threads, parked. -EINVAL if none of the requested host CPUs exists, -EPERM if this process may not have
 * the priority.
 */
int vcpus_create(const struct vcpus_config *config, struct vcpus **ret);
void vcpus_destroy(struct vcpus *vcpus);

/* Makes the VM's vCPUs: the first starts as vcpus_set_entry() says, the rest wait for PSCI CPU_ON. */
int vcpus_build(struct vcpus *vcpus, struct vm *vm);
/* Starts the features that need the GIC: after gic_init(), and before the vCPUs run. */
int vcpus_start_features(struct vcpus *vcpus);
int vcpus_set_entry(struct vcpus *vcpus, uint64_t pc, uint64_t x0);
/* Closes and unmaps them. They must be parked. */
void vcpus_teardown(struct vcpus *vcpus);

void vcpus_run(struct vcpus *vcpus);
/* Returns when no vCPU is in KVM or in a device. */
void vcpus_park(struct vcpus *vcpus);
/*
 * Reads or sets the virtual counter (CNTVCT_EL0), which all vCPUs of a VM share. Set to an earlier value, it hides the
 * time between from the guest. Parked only. The physical counter is unaffected. 0 or -errno.
 */
int vcpus_get_time(struct vcpus *vcpus, uint64_t *ret_count);
int vcpus_set_time(struct vcpus *vcpus, uint64_t count);

#endif
