/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stray accesses: what a guest does to addresses where it was given nothing. stray-table.h says
 * which of them come to us; a machine's policy says what happens then, and they are counted, logged
 * and told, all at a bounded rate.
 */
#ifndef SLUICE_HYP_STRAY_H
#define SLUICE_HYP_STRAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hyp/log.h"
#include "hyp/loop.h"
#include "hyp/stray-table.h"

/* What happens to the guest, besides being counted, logged and told. */
enum stray_policy {
	STRAY_ABORT, /* a synchronous external abort, as from a bus with nothing there */
	STRAY_PAUSE,
	STRAY_STOP,
};

/* What is known of one: KVM says nothing of the kind where it gives no address (EFAULT). */
enum stray_kind { STRAY_LOAD, STRAY_STORE, STRAY_ACCESS, STRAY_KINDS };
/* Where it went, as far as is known. */
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
	uint64_t gpa; /* of STRAY_UNMAPPED the guest's virtual address */
	enum stray_kind kind;
	enum stray_where where;
	/* NULL outside windows, and outside registers; both live as long as the machine. */
	const char *window, *device;
};

/* A machine's, from its start to its end: a reset of the guest forgets nothing. */
struct strays {
	enum stray_policy policy;
	_Atomic uint64_t count[STRAY_KINDS][STRAY_WHERES];

	struct log_limit log;
	struct loop *loop;
	struct loop_task task;
	struct loop_timer timer;
	pthread_mutex_t lock; /* latest */
	struct stray latest;
	atomic_bool awake; /* the loop will look: a storm of strays posts one task a second */
	uint64_t told;	   /* how many the watcher knows of */
	void (*watch)(void *opaque, const struct stray *latest, uint64_t news);
	void *opaque;
};

void strays_init(struct strays *strays, enum stray_policy policy, struct loop *loop);
void strays_finish(struct strays *strays);

/* Counts, logs and tells one. On the vCPU's thread. */
void strays_add(struct strays *strays, const struct stray *stray);
/* One in words, without its outcome. */
void stray_print(const struct stray *stray, char *ret_text, size_t len);

uint64_t strays_total(const struct strays *strays);

/*
 * Calls `watch` on the loop's thread: at once for the first, then at most once a second, with the
 * latest one and how many there were since the last call. One watcher; NULL ends it.
 */
void strays_watch(struct strays *strays,
	void (*watch)(void *opaque, const struct stray *latest, uint64_t news), void *opaque);

#endif
