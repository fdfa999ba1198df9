/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads against each other, for tests: the test's own and `other`. They meet at the beginning and at
 * the end of each round, and leave each meeting within some nanoseconds of one another. There are `rounds`
 * of them, or as many as there is time for on a slow machine.
 *
 *	own:   race_start(&race, other, ROUNDS); while (race_next(&race)) { ...; race_meet(&race, RACE_OWN); ... }
 *	other: while (race_joins(&race)) { ...; race_meet(&race, RACE_OTHER); }
 */
#ifndef SLUICE_TESTS_UNIT_RACE_H
#define SLUICE_TESTS_UNIT_RACE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "tests/unit/helpers/unit.h"

#define RACE_MS 1000

enum race_side { RACE_OWN, RACE_OTHER };

struct race {
	/* How often each side has come to a meeting; on a cache line of its own. */
	struct {
		_Alignas(128) atomic_uint meetings;
	} side[2];
	_Alignas(128) atomic_bool over;
	int lead; /* turns that the other side is held back; negative: this one */
	unsigned left;
	uint64_t until_ms;
	void (*other)(struct race *race);
	cpu_set_t allowed;
	pthread_t thread;
};

static inline uint64_t race_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the other side: it spins, since that is near, and yields where others want the processor. */
static inline void race_meet(struct race *race, enum race_side mine)
{
	unsigned count = atomic_fetch_add(&race->side[mine].meetings, 1) + 1;

	for (unsigned spins = 1; (int)(atomic_load(&race->side[!mine].meetings) - count) < 0;
		spins++)
		if (spins % 4096 == 0)
			sched_yield();
}

/* Each side has a processor of its own where there are two: else they would only ever take turns. */
static inline void race_place(const struct race *race, enum race_side side)
{
	cpu_set_t mine;
	unsigned count = 0;

	CPU_ZERO(&mine);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &race->allowed) && count++ == side)
			CPU_SET(cpu, &mine);
	if (count > side)
		pthread_setaffinity_np(pthread_self(), sizeof(mine), &mine);
}

static inline void *race_run_other(void *opaque)
{
	struct race *race = opaque;

	race_place(race, RACE_OTHER);
	race->other(race);
	return NULL;
}

static inline void race_start(struct race *race, void (*other)(struct race *race), unsigned rounds)
{
	atomic_store(&race->side[RACE_OWN].meetings, 0);
	atomic_store(&race->side[RACE_OTHER].meetings, 0);
	atomic_store(&race->over, false);
	race->other = other;
	race->lead = 0;
	race->left = rounds;
	race->until_ms = race_now_ms() + RACE_MS;
	pthread_getaffinity_np(pthread_self(), sizeof(race->allowed), &race->allowed);
	assert_int_equal(pthread_create(&race->thread, NULL, race_run_other, race), 0);
	race_place(race, RACE_OWN);
}

/* The next round begins; false after the last one, when `other` has ended. */
static inline bool race_next(struct race *race)
{
	bool over = !race->left-- || race_now_ms() > race->until_ms;

	atomic_store(&race->over, over);
	race_meet(race, RACE_OWN);
	if (over) {
		pthread_join(race->thread, NULL);
		pthread_setaffinity_np(pthread_self(), sizeof(race->allowed), &race->allowed);
	}
	return !over;
}

static inline bool race_joins(struct race *race)
{
	race_meet(race, RACE_OTHER);
	return !atomic_load(&race->over);
}

/*
 * A processor's stores wait in line for their cache lines, while its loads go ahead. Behind stores to lines
 * that the other processor has just written, one's own is seen late, but for a fence between it and a load.
 */
static inline void race_store_lines(void)
{
	static struct {
		_Alignas(128) atomic_uint word;
	} lines[24];

	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		atomic_store_explicit(&lines[i].word, 1, memory_order_relaxed);
}

/*
 * Each side waits a moment before what it races for, the one more and the other less, until the outcome of
 * rounds changes: about there both come at the same time. Between race_meet() and race_next().
 */
static inline void race_hold(const struct race *race, enum race_side mine)
{
	int turns = mine == RACE_OWN ? -race->lead : race->lead;

	for (volatile int i = 0; i < turns; i++)
		;
}

static inline void race_won(struct race *race, enum race_side first)
{
	if (first == RACE_OTHER && race->lead < 1000)
		race->lead++;
	else if (first == RACE_OWN && race->lead > -1000)
		race->lead--;
}

#endif
