/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's calls made by a few threads, where there is no io_uring; see disk-engine.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/backend/disk-engine.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define THREADS	    4
#define STACK_BYTES (256 * KiB)

struct list {
	struct disk_io *first, **end;
};

struct threads {
	struct disk_engine engine;
	struct loop *loop;
	int fd;
	pthread_t threads[THREADS];
	unsigned count;
	struct loop_task task;
	struct disk_io *taken; /* from `done`, for disk_io_done() in the next turn */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work, ended;
	struct list todo, done;
	bool stop;
};

static void put(struct list *list, struct disk_io *io)
{
	io->next = NULL;
	*list->end = io;
	list->end = &io->next;
}

/* Empties the list; returns its first entry. */
static struct disk_io *take_all(struct list *list)
{
	struct disk_io *first = list->first;

	*list = (struct list){ .end = &list->first };
	return first;
}

static int64_t make_call(int fd, const struct disk_io *io)
{
	switch (io->call) {
	case DISK_CALL_READV:
		return preadv(fd, io->iov, (int)io->iov_count, (off_t)io->offset);
	case DISK_CALL_WRITEV:
		return pwritev(fd, io->iov, (int)io->iov_count, (off_t)io->offset);
	case DISK_CALL_FDATASYNC:
		return fdatasync(fd);
	case DISK_CALL_FALLOCATE:
		return fallocate(fd, io->mode, (off_t)io->offset, (off_t)io->bytes);
	}
	return 0;
}

static void *run(void *opaque)
{
	struct threads *threads = opaque;

	pthread_mutex_lock(&threads->lock);
	while (!threads->stop) {
		struct disk_io *io = threads->todo.first;
		int64_t result;

		if (!io) {
			pthread_cond_wait(&threads->work, &threads->lock);
			continue;
		}
		threads->todo.first = io->next;
		if (!io->next)
			threads->todo.end = &threads->todo.first;
		pthread_mutex_unlock(&threads->lock);
		result = make_call(threads->fd, io);
		io->result = result < 0 ? -errno : (int)result;
		pthread_mutex_lock(&threads->lock);
		put(&threads->done, io);
		pthread_cond_signal(&threads->ended);
		loop_post(threads->loop, &threads->task);
	}
	pthread_mutex_unlock(&threads->lock);
	return NULL;
}

/* Whether an ended call waits for disk_io_done(). Check until false: calls that end before the task post no other. */
static bool any_taken(struct threads *threads)
{
	if (!threads->taken) {
		pthread_mutex_lock(&threads->lock);
		threads->taken = take_all(&threads->done);
		pthread_mutex_unlock(&threads->lock);
	}
	return threads->taken;
}

/* Passes ended calls on, for at most a turn: they start others, which the threads may end as fast. */
static void report(struct loop_task *task)
{
	struct threads *threads = container_of(task, struct threads, task);
	uint64_t ends_ms = loop_now_ms() + LOOP_TURN_MS;

	while (any_taken(threads)) {
		struct disk_io *io = threads->taken;

		if (loop_now_ms() > ends_ms) {
			loop_post(threads->loop, task);
			return;
		}
		threads->taken = io->next;
		disk_io_done(io, io->result);
	}
}

static void threads_start(struct disk_engine *engine, struct disk_io *io)
{
	struct threads *threads = container_of(engine, struct threads, engine);

	pthread_mutex_lock(&threads->lock);
	put(&threads->todo, io);
	pthread_cond_signal(&threads->work);
	pthread_mutex_unlock(&threads->lock);
}

static void threads_submit(struct disk_engine *engine)
{
	/* under way since it was started */
}

static bool threads_cancel(struct disk_engine *engine)
{
	struct threads *threads = container_of(engine, struct threads, engine);
	struct disk_io *io, *next;
	bool any;

	pthread_mutex_lock(&threads->lock);
	io = take_all(&threads->todo);
	pthread_mutex_unlock(&threads->lock);
	any = io;
	for (; io; io = next) {
		next = io->next;
		disk_io_done(io, -ECANCELED);
	}
	return any;
}

static void threads_wait(struct disk_engine *engine)
{
	struct threads *threads = container_of(engine, struct threads, engine);

	pthread_mutex_lock(&threads->lock);
	while (!threads->taken && !threads->done.first)
		pthread_cond_wait(&threads->ended, &threads->lock);
	pthread_mutex_unlock(&threads->lock);
	report(&threads->task);
}

static void threads_destroy(struct disk_engine *engine)
{
	struct threads *threads = container_of(engine, struct threads, engine);

	pthread_mutex_lock(&threads->lock);
	threads->stop = true;
	pthread_cond_broadcast(&threads->work);
	pthread_mutex_unlock(&threads->lock);
	while (threads->count)
		pthread_join(threads->threads[--threads->count], NULL);
	loop_task_cancel(threads->loop, &threads->task);
	pthread_cond_destroy(&threads->work);
	pthread_cond_destroy(&threads->ended);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}

/* The threads block all signals, which are the loop's. */
static int start_all(struct threads *threads)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int err = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (threads->count < THREADS && !err) {
		err = -pthread_create(&threads->threads[threads->count], &attributes, run, threads);
		threads->count += !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return threads->count ? 0 : err;
}

static int threads_create(
	const char *id, struct loop *loop, int fd, unsigned in_flight, struct disk_engine **ret)
{
	struct threads *threads = calloc(1, sizeof(*threads));
	int err;

	if (!threads)
		return -ENOMEM;
	threads->engine.ops = &disk_threads;
	threads->loop = loop;
	threads->fd = fd;
	threads->task = (struct loop_task){ .run = report, .name = id };
	take_all(&threads->todo);
	take_all(&threads->done);
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->work, NULL);
	pthread_cond_init(&threads->ended, NULL);
	err = start_all(threads);
	if (err) {
		threads_destroy(&threads->engine);
		return err;
	}
	*ret = &threads->engine;
	return 0;
}

const struct disk_engine_ops disk_threads = {
	.create = threads_create,
	.start = threads_start,
	.submit = threads_submit,
	.cancel = threads_cancel,
	.wait = threads_wait,
	.destroy = threads_destroy,
};
