/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stray accesses: a guest's accesses to addresses at which it has neither memory nor a device. stray-table.h says
 * which of them exit to user space. The machine's policy says what happens to the guest then. They are counted,
 * logged and reported to a watcher, at a bounded rate.
 */
#ifndef SLUICE_HYP_VCPU_STRAY_H
#define SLUICE_HYP_VCPU_STRAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/vcpu/stray-table.h"

/* What happens to the guest, besides counting, logging and reporting. */
enum stray_policy {
	STRAY_ABORT, /* a synchronous external abort, as from a bus with nothing there */
	STRAY_PAUSE,
	STRAY_STOP,
};

/* The kind, as far as known: with EFAULT, KVM gives neither an address nor a kind. */
enum stray_kind { STRAY_LOAD, STRAY_STORE, STRAY_ACCESS, STRAY_KINDS };
/* What it hit, as far as known. */
enum stray_where {
	STRAY_BLOCK,
	STRAY_SLOT,
	STRAY_REGISTERS,
	STRAY_NOWHERE,
	STRAY_UNMAPPED,
	STRAY_WHERES
};

extern const char *const stray_kind_names[STRAY_KINDS];
extern const char *const stray_where_names[STRAY_WHERES];
extern const char *const stray_policy_names[];

struct stray {
	unsigned vcpu;
	uint64_t gpa; /* for STRAY_UNMAPPED, the guest's virtual address */
	enum stray_kind kind;
	enum stray_where where;
	/* NULL outside windows, and outside registers; both live as long as the machine. */
	const char *window, *device;
};

/* A machine's, from its start to its end: a reset of the guest clears nothing. */
struct strays {
	enum stray_policy policy;
	_Atomic uint64_t count[STRAY_KINDS][STRAY_WHERES];

	struct log_limit log;
	struct loop *loop;
	struct loop_task task;
	struct loop_timer timer;
	pthread_mutex_t lock; /* latest */
	struct stray latest;
	atomic_bool awake; /* a task is posted: a storm of strays posts one a second */
	uint64_t reported; /* how many have been reported to the watcher */
	void (*watch)(void *opaque, const struct stray *latest, uint64_t count);
	void *opaque;
};

void strays_init(struct strays *strays, enum stray_policy policy, struct loop *loop);
void strays_finish(struct strays *strays);

/* Counts, logs and reports one. On the vCPU's thread. */
void strays_add(struct strays *strays, const struct stray *stray);
/* Describes one in words, without its outcome. */
void stray_print(const struct stray *stray, char *ret_text, size_t len);

uint64_t strays_total(const struct strays *strays);

/*
 * Calls `watch` on the loop's thread: at once for the first, then at most once a second, with the
 * latest one and how many there were since the last call. One watcher; NULL ends it.
 */
void strays_watch(struct strays *strays,
	void (*watch)(void *opaque, const struct stray *latest, uint64_t count), void *opaque);

#endif
