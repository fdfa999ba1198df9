/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU as its own files see it: vcpu.c (threads), exits.c, fault.c and vcpu-suspend.c. */
#ifndef SLUICE_HYP_VCPU_VCPU_INTERNAL_H
#define SLUICE_HYP_VCPU_VCPU_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "hyp/vcpu/vcpu.h"

struct vcpu {
	struct vcpus *vcpus;
	unsigned index;
	struct vcpu_config config;
	pthread_t thread;
	bool started, parked; /* parked: under vcpus->lock */
	bool held;	      /* since it reported an event; until vcpus_run() */
	bool asks;	      /* wants to suspend; until all are parked, under vcpus->lock */
	int suspend_error;
	int fd;
	struct kvm_vcpu_init init; /* how it was initialised */
	struct kvm_run *run;
	uint64_t generation; /* of the map, read before the vCPU last entered */
	unsigned retries;    /* of a fault, since the last access that succeeded */
};

struct vcpus {
	struct vcpus_config config;
	size_t run_size;
	int vm_fd;	      /* of the vCPUs that were built last */
	pthread_mutex_t lock; /* parked, quit, by_loop; and each vCPU's parked, held, asks */
	pthread_cond_t changed;
	atomic_bool park;
	bool by_loop; /* the loop wants them parked; else they park for a vCPU that wants to suspend */
	bool quit;
	unsigned parked;
	struct vcpu vcpu[];
};

enum vcpu_next {
	VCPU_CONTINUE,
	VCPU_HOLD, /* an event was reported: wait to be parked */
};

/* exits.c: what KVM_RUN left in vcpu->run. */
enum vcpu_next exit_dispatch(struct vcpu *vcpu);
/* Reports `event` and holds the vCPU. */
enum vcpu_next vcpu_report(struct vcpu *vcpu, enum vcpus_event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports an error of KVM, and holds the vCPU. */
enum vcpu_next vcpu_cannot(struct vcpu *vcpu, const char *what, int err);

/* vcpu-suspend.c: a vCPU calls SYSTEM_SUSPEND (PSCI, DEN0022), and is woken later. */
enum vcpu_next vcpu_suspend(struct vcpu *vcpu);
enum vcpu_next vcpu_wake(struct vcpu *vcpu);
/* With all vCPUs parked: the vCPU sleeps, or gets its answer. 0 or KVM's -errno. */
int vcpu_answer_suspend(struct vcpu *vcpu);
/* vcpu.c: parks all vCPUs for the answer. */
void vcpu_ask_to_suspend(struct vcpu *vcpu);

/*
 * KVM_ARM_VCPU_INIT with vcpu->init. If a host has CPUs of two kinds, KVM before Linux 6.2 takes only the target of
 * the kind that the thread is on, and then fixes it for the vCPU: if it refuses, each CPU is tried, the `first` time
 * with the target that KVM prefers there.
 */
int vcpu_init(struct vcpu *vcpu, bool first);

/* fault.c: an access by the guest, at a known address, that reached no memory and no device. */
enum vcpu_next fault_at(struct vcpu *vcpu, uint64_t gpa, bool write);
/* KVM_RUN failed with EFAULT, which has no address. */
enum vcpu_next fault_unknown(struct vcpu *vcpu);
/* The guest may use the memory there now. */
bool fault_is_memory(const struct guestmem *mem, uint64_t gpa);

#endif
