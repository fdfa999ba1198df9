/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU as the files that make it up see it: vcpu.c (threads), exits.c and fault.c. */
#ifndef SLUICE_HYP_VCPU_INTERNAL_H
#define SLUICE_HYP_VCPU_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "hyp/vcpu.h"

struct vcpu {
	struct vcpus *vcpus;
	unsigned index;
	struct vcpu_config config;
	pthread_t thread;
	bool started, parked; /* parked: under vcpus->lock */
	int fd;
	struct kvm_run *run;
	uint64_t generation; /* of the map, read before the vCPU last entered */
	unsigned retries;    /* of a fault, since something last went well */
};

struct vcpus {
	struct vcpus_config config;
	size_t run_size;
	struct kvm_vcpu_init target; /* how the VM's vCPUs are initialised */
	pthread_mutex_t lock;	     /* goal, parked */
	pthread_cond_t changed;
	atomic_bool park;
	bool quit;
	unsigned parked;
	struct vcpu vcpu[];
};

enum vcpu_next {
	VCPU_CONTINUE,
	VCPU_HOLD, /* an event was told: wait to be parked */
};

/* exits.c: what KVM_RUN left in vcpu->run. */
enum vcpu_next exit_dispatch(struct vcpu *vcpu);
/* Tells `event` and holds the vCPU. */
enum vcpu_next vcpu_tell(struct vcpu *vcpu, enum vcpus_event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* vcpu.c: a vCPU that asked for SYSTEM_SUSPEND (PSCI, DEN0022D.b, 5.19) sleeps, and later resumes. */
int vcpu_suspend(struct vcpu *vcpu);
int vcpu_wake(struct vcpu *vcpu);

/* fault.c: an access by the guest, at a known address, that reached no memory and no device. */
enum vcpu_next fault_at(struct vcpu *vcpu, uint64_t gpa, bool write);
/* KVM_RUN failed with EFAULT: nobody said where. */
enum vcpu_next fault_unknown(struct vcpu *vcpu);

#endif
