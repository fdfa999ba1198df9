/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads: made once, parked and run; see vcpu.h. A thread is kicked out of KVM_RUN by immediate_exit and a
 * signal: the flag acts before the thread enters, the signal while it is inside.
 */
#include "hyp/vcpu/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"
#include "hyp/memory/slots.h"
#include "hyp/vcpu/regs.h"
#include "hyp/vcpu/vcpu-internal.h"

#ifndef KVM_ARM_VCPU_HAS_EL2
#define KVM_ARM_VCPU_HAS_EL2 7
#endif

#define KICK_SIGNAL SIGUSR1
#define STACK_BYTES (256 * KiB)

static void on_kick(int signal)
{
}

int vcpu_id(uint64_t mpidr)
{
	uint64_t aff0 = mpidr & 0xff, aff1 = mpidr >> 8 & 0xff, aff2 = mpidr >> 16 & 0xff;

	if (aff0 > 15 || mpidr >> 24)
		return -EINVAL;
	return (int)(aff0 | aff1 << 4 | aff2 << 12);
}

/* --- the thread --- */

static enum vcpu_next run(struct vcpu *vcpu)
{
	struct vcpus *vcpus = vcpu->vcpus;
	enum vcpu_next next = vcpu->suspend_error
				      ? vcpu_cannot(vcpu, "suspend", vcpu->suspend_error)
				      : VCPU_CONTINUE;

	while (next == VCPU_CONTINUE && !atomic_load(&vcpus->park)) {
		int result;

		vcpu->generation = atomic_load(&vcpus->config.slots->generation);
		result = kvm_ioctl_value(vcpu->fd, KVM_RUN, 0);
		if (result == -EINTR || result == -EAGAIN)
			continue;
		if (result == -EFAULT) {
			next = fault_unknown(vcpu);
			continue;
		}
		vcpu->retries = 0;
		if (result < 0)
			next = vcpu_report(vcpu, VCPUS_ERROR, "vCPU %u: KVM_RUN: %s", vcpu->index,
				strerror(-result));
		else
			next = exit_dispatch(vcpu);
	}
	return next;
}

/* With the lock. Those that are parked already stay so. */
static void ask_to_park(struct vcpus *vcpus)
{
	atomic_store(&vcpus->park, true);
	pthread_cond_broadcast(&vcpus->changed);
	for (unsigned i = 0; i < vcpus->config.count; i++) {
		struct vcpu *vcpu = &vcpus->vcpu[i];

		if (vcpu->parked || pthread_equal(vcpu->thread, pthread_self()))
			continue;
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vcpu->thread, KICK_SIGNAL);
	}
}

void vcpu_ask_to_suspend(struct vcpu *vcpu)
{
	struct vcpus *vcpus = vcpu->vcpus;

	pthread_mutex_lock(&vcpus->lock);
	vcpu->asks = true;
	ask_to_park(vcpus);
	pthread_mutex_unlock(&vcpus->lock);
}

/* With the lock, and all parked. */
static void answer_suspends(struct vcpus *vcpus)
{
	for (unsigned i = 0; i < vcpus->config.count; i++) {
		struct vcpu *vcpu = &vcpus->vcpu[i];

		if (vcpu->asks)
			vcpu->suspend_error = vcpu_answer_suspend(vcpu);
		vcpu->asks = false;
	}
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct vcpus *vcpus = vcpu->vcpus;
	/* A fault whose signal is blocked kills at once, past the handler that restores the terminal. */
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
	enum vcpu_next next;
	sigset_t signals;

	sigfillset(&signals);
	sigdelset(&signals, KICK_SIGNAL);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&signals, faults[i]);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);

	pthread_mutex_lock(&vcpus->lock);
	for (;;) {
		while (!atomic_load(&vcpus->park)) /* held after an event */
			pthread_cond_wait(&vcpus->changed, &vcpus->lock);
		vcpu->parked = true;
		vcpus->parked++;
		if (vcpus->parked == vcpus->config.count && !vcpus->by_loop) {
			answer_suspends(vcpus);
			atomic_store(&vcpus->park, false);
		}
		pthread_cond_broadcast(&vcpus->changed);
		while (atomic_load(&vcpus->park) && !vcpus->quit)
			pthread_cond_wait(&vcpus->changed, &vcpus->lock);
		vcpu->parked = false;
		vcpus->parked--;
		pthread_cond_broadcast(&vcpus->changed);
		if (vcpus->quit)
			break;
		if (vcpu->held) /* it was parked for another vCPU's suspend */
			continue;
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		pthread_mutex_unlock(&vcpus->lock);
		next = run(vcpu);
		pthread_mutex_lock(&vcpus->lock);
		vcpu->held = next == VCPU_HOLD && !vcpu->asks;
	}
	pthread_mutex_unlock(&vcpus->lock);
	return NULL;
}

static void wait_parked(struct vcpus *vcpus)
{
	while (vcpus->parked < vcpus->config.count)
		pthread_cond_wait(&vcpus->changed, &vcpus->lock);
}

static int place_thread(const struct vcpu *vcpu)
{
	const struct vcpu_config *config = &vcpu->config;
	struct sched_param priority = { .sched_priority = (int)config->rt_priority };
	int err = 0;

	if (CPU_COUNT(&config->host_cpus))
		err = -pthread_setaffinity_np(
			vcpu->thread, sizeof(config->host_cpus), &config->host_cpus);
	if (!err && config->rt_priority)
		err = -pthread_setschedparam(vcpu->thread, SCHED_FIFO, &priority);
	return err;
}

int vcpus_create(const struct vcpus_config *config, struct vcpus **ret)
{
	struct sigaction kick = { .sa_handler = on_kick };
	pthread_attr_t attributes;
	struct vcpus *vcpus;
	int err = 0;

	vcpus = calloc(1, sizeof(*vcpus) + config->count * sizeof(struct vcpu));
	if (!vcpus)
		return -ENOMEM;
	vcpus->config = *config;
	atomic_store(&vcpus->park, true);
	vcpus->by_loop = true;
	pthread_mutex_init(&vcpus->lock, NULL);
	pthread_cond_init(&vcpus->changed, NULL);
	sigaction(KICK_SIGNAL, &kick, NULL);
	pthread_attr_init(&attributes);
	/* The default of 8 MiB a thread counts against the commit limit of a small host. */
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned i = 0; i < config->count; i++)
		vcpus->vcpu[i] = (struct vcpu){
			.vcpus = vcpus,
			.index = i,
			.config = config->vcpu[i],
			.fd = -1,
		};
	for (unsigned i = 0; i < config->count && !err; i++) {
		err = -pthread_create(
			&vcpus->vcpu[i].thread, &attributes, vcpu_thread, &vcpus->vcpu[i]);
		vcpus->vcpu[i].started = !err;
		if (!err)
			err = place_thread(&vcpus->vcpu[i]);
	}
	pthread_attr_destroy(&attributes);
	if (err) {
		vcpus_destroy(vcpus);
		return err;
	}
	pthread_mutex_lock(&vcpus->lock);
	wait_parked(vcpus);
	pthread_mutex_unlock(&vcpus->lock);
	*ret = vcpus;
	return 0;
}

void vcpus_destroy(struct vcpus *vcpus)
{
	if (!vcpus)
		return;
	pthread_mutex_lock(&vcpus->lock);
	CHECK(atomic_load(&vcpus->park));
	vcpus->quit = true;
	pthread_cond_broadcast(&vcpus->changed);
	pthread_mutex_unlock(&vcpus->lock);
	for (unsigned i = 0; i < vcpus->config.count; i++)
		if (vcpus->vcpu[i].started)
			pthread_join(vcpus->vcpu[i].thread, NULL);
	vcpus_teardown(vcpus);
	pthread_cond_destroy(&vcpus->changed);
	pthread_mutex_destroy(&vcpus->lock);
	free(vcpus);
}

void vcpus_run(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	CHECK(vcpus->parked == vcpus->config.count);
	answer_suspends(vcpus);
	for (unsigned i = 0; i < vcpus->config.count; i++)
		vcpus->vcpu[i].held = false;
	vcpus->by_loop = false;
	atomic_store(&vcpus->park, false);
	pthread_cond_broadcast(&vcpus->changed);
	pthread_mutex_unlock(&vcpus->lock);
}

void vcpus_park(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	vcpus->by_loop = true;
	ask_to_park(vcpus);
	wait_parked(vcpus);
	pthread_mutex_unlock(&vcpus->lock);
}

int vcpus_get_time(struct vcpus *vcpus, uint64_t *ret_count)
{
	return reg_get(vcpus->vcpu[0].fd, REG_TIMER_COUNT, ret_count);
}

int vcpus_set_time(struct vcpus *vcpus, uint64_t count)
{
	return reg_set(vcpus->vcpu[0].fd, REG_TIMER_COUNT, count);
}

/* --- the VM's vCPUs --- */

static int build_one(struct vcpus *vcpus, unsigned index, const struct kvm_vcpu_init *init)
{
	struct vcpu *vcpu = &vcpus->vcpu[index];
	int sve = KVM_ARM_VCPU_SVE, err;
	int id = vcpu_id(vcpu->config.mpidr);
	void *run;

	if (id < 0)
		return id;
	vcpu->fd = kvm_ioctl_value(vcpus->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		return vcpu->fd;
	run = mmap(NULL, vcpus->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	vcpu->run = run;
	vcpu->retries = 0;
	vcpu->asks = false;
	vcpu->suspend_error = 0;
	vcpu->init = *init;
	if (index)
		vcpu->init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	err = vcpu_init(vcpu, true);
	/* With every vector length that the host has. */
	if (!err && vcpus->config.features & 1u << CPU_SVE)
		err = kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &sve);
	return err;
}

/* Features that KVM_ARM_VCPU_INIT turns on. */
static uint32_t init_features(unsigned features)
{
	static const uint32_t bits[CPU_FEATURES] = {
		[CPU_PMU] = 1u << KVM_ARM_VCPU_PMU_V3,
		[CPU_SVE] = 1u << KVM_ARM_VCPU_SVE,
		[CPU_POINTER_AUTH] = 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS |
				     1u << KVM_ARM_VCPU_PTRAUTH_GENERIC,
		[CPU_NESTED] = 1u << KVM_ARM_VCPU_HAS_EL2,
	};
	uint32_t init = 0;

	for (unsigned i = 0; i < CPU_FEATURES; i++)
		init |= features & 1u << i ? bits[i] : 0;
	return init;
}

static int set_attribute(const struct vcpu *vcpu, uint32_t group, uint64_t attribute, void *value)
{
	struct kvm_device_attr attr = {
		.group = group,
		.attr = attribute,
		.addr = (uintptr_t)value,
	};

	return kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
}

int vcpus_start_features(struct vcpus *vcpus)
{
	int pmu_intid = VCPU_PMU_PPI + 16, err = 0;

	for (unsigned i = 0; i < vcpus->config.count && !err; i++) {
		uint64_t gpa = vcpus->config.stolen_time_gpa + i * STOLEN_TIME_BYTES;
		const struct vcpu *vcpu = &vcpus->vcpu[i];

		if (vcpus->config.features & 1u << CPU_PMU) {
			err = set_attribute(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ,
				&pmu_intid);
			if (!err)
				err = set_attribute(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL,
					KVM_ARM_VCPU_PMU_V3_INIT, NULL);
		}
		if (!err && vcpus->config.features & 1u << CPU_STOLEN_TIME)
			err = set_attribute(
				vcpu, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &gpa);
	}
	return err;
}

int vcpus_build(struct vcpus *vcpus, struct vm *vm)
{
	struct kvm_vcpu_init init = { 0 };
	int err, size = kvm_ioctl_value(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < 0)
		return size;
	vcpus->run_size = (size_t)size;
	vcpus->vm_fd = vm->fd;
	err = kvm_ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init);
	init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2 | init_features(vcpus->config.features);
	for (unsigned i = 0; i < vcpus->config.count && !err; i++)
		err = build_one(vcpus, i, &init);
	if (err)
		vcpus_teardown(vcpus);
	return err;
}

int vcpus_set_entry(struct vcpus *vcpus, uint64_t pc, uint64_t x0)
{
	int err = reg_set(vcpus->vcpu[0].fd, REG_PC, pc);

	return err ? err : reg_set(vcpus->vcpu[0].fd, REG_X0, x0);
}

void vcpus_teardown(struct vcpus *vcpus)
{
	for (unsigned i = 0; i < vcpus->config.count; i++) {
		struct vcpu *vcpu = &vcpus->vcpu[i];

		if (vcpu->run)
			munmap(vcpu->run, vcpus->run_size);
		if (vcpu->fd >= 0)
			close(vcpu->fd);
		vcpu->run = NULL;
		vcpu->fd = -1;
	}
}
