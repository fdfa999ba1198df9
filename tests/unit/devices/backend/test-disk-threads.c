/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's calls by threads: what these are made with, what they call, and what is left when they end. The
 * source itself is included; the loop that it posts to, and the results, are here.
 */
#include <limits.h>
#include <linux/falloc.h>
#include <string.h>

#include "devices/backend/disk-threads.c"
#include "tests/unit/helpers/unit.h"

#define BYTES (1 * MiB)

static char path[] = "/tmp/test-disk-threads.XXXXXX";
static int file;
static uint8_t memory[BYTES] __attribute__((aligned(4096)));
static struct disk_engine *engine;
static struct threads *threads;

static unsigned ended;
static int last_result;
static struct disk_io *last_io, *order[8];
static bool again; /* the next one that ends goes on with another call, as it may */
static uint64_t now_ms, end_takes_ms;

uint64_t loop_now_ms(void)
{
	return now_ms;
}

void disk_io_done(struct disk_io *io, int result)
{
	order[ended++ % ARRAY_SIZE(order)] = io;
	last_io = io;
	last_result = result;
	now_ms += end_takes_ms;
	if (again) {
		again = false;
		engine->ops->start(engine, io);
	}
}

/* The loop: a task that waits. */
static pthread_mutex_t loop_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t posted = PTHREAD_COND_INITIALIZER;
static struct loop_task *waiting;
static unsigned posts;
static struct loop *const the_loop = (struct loop *)memory;

void loop_post(struct loop *loop, struct loop_task *task)
{
	pthread_mutex_lock(&loop_lock);
	assert_ptr_equal(loop, the_loop);
	waiting = task;
	posts++;
	pthread_cond_signal(&posted);
	pthread_mutex_unlock(&loop_lock);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	pthread_mutex_lock(&loop_lock);
	assert_ptr_equal(loop, the_loop);
	if (waiting == task)
		waiting = NULL;
	pthread_mutex_unlock(&loop_lock);
}

static void wait_for_posts(unsigned count)
{
	pthread_mutex_lock(&loop_lock);
	while (posts < count)
		pthread_cond_wait(&posted, &loop_lock);
	pthread_mutex_unlock(&loop_lock);
}

/* A flush, as a thread makes it: what it runs with, and how many are at it until `let_go`. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned at_it;
	bool hold;
	int fd, err; /* what it ends with, if not 0 */
	size_t stack_bytes;
	bool blocked[NSIG];
} sync_call = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
	pthread_attr_t attributes;
	sigset_t set;

	pthread_mutex_lock(&sync_call.lock);
	sync_call.fd = fd;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < NSIG; i++)
		sync_call.blocked[i] = sigismember(&set, i);
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &sync_call.stack_bytes);
	pthread_attr_destroy(&attributes);
	sync_call.at_it++;
	pthread_cond_broadcast(&sync_call.changed);
	while (sync_call.hold)
		pthread_cond_wait(&sync_call.changed, &sync_call.lock);
	sync_call.at_it--;
	errno = sync_call.err;
	pthread_mutex_unlock(&sync_call.lock);
	return errno ? -1 : 0;
}

static void hold(bool on)
{
	pthread_mutex_lock(&sync_call.lock);
	sync_call.hold = on;
	pthread_cond_broadcast(&sync_call.changed);
	pthread_mutex_unlock(&sync_call.lock);
}

static void wait_for_callers(unsigned count)
{
	pthread_mutex_lock(&sync_call.lock);
	while (sync_call.at_it < count)
		pthread_cond_wait(&sync_call.changed, &sync_call.lock);
	pthread_mutex_unlock(&sync_call.lock);
}

static unsigned threads_there_are; /* after which the host has no more */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
	void *(*routine)(void *opaque), void *opaque);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
	void *(*routine)(void *opaque), void *opaque);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
	void *(*routine)(void *opaque), void *opaque)
{
	if (!threads_there_are)
		return EAGAIN;
	threads_there_are--;
	return __real_pthread_create(thread, attributes, routine, opaque);
}

static int setup(void **unused)
{
	ended = posts = 0;
	end_takes_ms = 0;
	sync_call.err = 0;
	hold(false);
	threads_there_are = UINT_MAX;
	assert_int_equal(disk_threads.create("disk0", the_loop, file, 64, &engine), 0);
	threads = container_of(engine, struct threads, engine);
	return 0;
}

static int teardown(void **unused)
{
	engine->ops->destroy(engine);
	assert_null(waiting);
	return 0;
}

static void start(struct disk_io *io)
{
	disk_threads.start(engine, io);
	disk_threads.submit(engine);
}

static int result_of(struct disk_io *io)
{
	unsigned before = ended;

	start(io);
	disk_threads.wait(engine);
	assert_int_equal(ended, before + 1);
	assert_ptr_equal(last_io, io);
	return last_result;
}

/* Signals are the loop's: none is delivered to a disk's thread, whose default action would end the process. */
static void threads_take_no_signals(void **unused)
{
	struct disk_io io = { .call = DISK_CALL_FDATASYNC };

	assert_int_equal(result_of(&io), 0);
	for (int i = 1; i < NSIG; i++) {
		/* What nobody can block, and the C library's own. */
		bool nobodys = i == SIGKILL || i == SIGSTOP || (i > SIGSYS && i < SIGRTMIN);

		assert_true(sync_call.blocked[i] || nobodys);
	}
}

/* Nor are they blocked in the loop's thread, which makes the others. */
static void the_maker_keeps_its_signals(void **unused)
{
	sigset_t outside, before, after;
	struct disk_engine *other;

	pthread_sigmask(SIG_BLOCK, NULL, &outside);
	sigemptyset(&before);
	sigaddset(&before, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(disk_threads.create("disk0", the_loop, file, 64, &other), 0);
	pthread_sigmask(SIG_SETMASK, &outside, &after);
	for (int i = 1; i < NSIG; i++)
		assert_int_equal(sigismember(&after, i), i == SIGUSR2);
	disk_threads.destroy(other);
}

/* They need little of a stack. (A sanitizer's threads have more.) */
static void threads_are_small(void **unused)
{
	struct disk_io io = { .call = DISK_CALL_FDATASYNC };

	assert_int_equal(result_of(&io), 0);
	assert_in_range(sync_call.stack_bytes, 256 * KiB, 512 * KiB);
}

/* Each call with what it was given, and the kernel's result: the bytes, or what went wrong. */
static void each_call_is_made(void **unused)
{
	const struct iovec two[] = { { memory, 512 }, { memory + 4096, 1024 } };
	const struct iovec nowhere = { (void *)4096, 512 };
	struct disk_io io = { .iov = two, .iov_count = 2, .offset = 8192, .bytes = 1536 };
	uint8_t at[8192];

	memset(memory, 7, 8192);
	io.call = DISK_CALL_WRITEV;
	assert_int_equal(result_of(&io), 1536);
	assert_int_equal(pread(file, at, sizeof(at), 4096), sizeof(at));
	for (unsigned i = 0; i < sizeof(at); i++)
		assert_int_equal(at[i], i >= 4096 && i < 4096 + 1536 ? 7 : 0x55);
	memset(memory, 0, 8192);
	io.call = DISK_CALL_READV;
	assert_int_equal(result_of(&io), 1536);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(memory[i], i < 512 || (i >= 4096 && i < 5120) ? 7 : 0);
	io.offset = BYTES - 100;
	assert_int_equal(result_of(&io), 100);
	io.iov = &nowhere;
	io.iov_count = 1;
	assert_int_equal(result_of(&io), -EFAULT);
	io = (struct disk_io){ .call = DISK_CALL_FALLOCATE,
		.mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		.offset = 8192,
		.bytes = 4096 };
	assert_int_equal(result_of(&io), 0);
	assert_int_equal(pread(file, at, sizeof(at), 4096), sizeof(at));
	for (unsigned i = 0; i < sizeof(at); i++)
		assert_int_equal(at[i], i < 4096 ? 0x55 : 0);
	io.bytes = 0;
	assert_int_equal(result_of(&io), -EINVAL);
	io.call = DISK_CALL_FDATASYNC;
	assert_int_equal(result_of(&io), 0);
	assert_int_equal(sync_call.fd, file);
	sync_call.err = ENOSPC;
	assert_int_equal(result_of(&io), -ENOSPC);
}

/* As many at a time as there are threads, the rest in their order; and all are reported, each once. */
static void four_at_a_time(void **unused)
{
	struct disk_io ios[7];

	hold(true);
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++) {
		ios[i] = (struct disk_io){ .call = DISK_CALL_FDATASYNC };
		start(&ios[i]);
	}
	wait_for_callers(4);
	assert_int_equal(threads->count, 4);
	pthread_mutex_lock(&threads->lock);
	assert_ptr_equal(threads->todo.first, &ios[4]);
	assert_ptr_equal(ios[4].next, &ios[5]);
	assert_ptr_equal(ios[5].next, &ios[6]);
	assert_null(ios[6].next);
	pthread_mutex_unlock(&threads->lock);
	assert_int_equal(posts, 0);
	hold(false);
	wait_for_posts(ARRAY_SIZE(ios));
	assert_int_equal(ended, 0);
	assert_ptr_equal(waiting, &threads->task);
	waiting->run(waiting);
	waiting = NULL;
	assert_int_equal(ended, ARRAY_SIZE(ios));
}

/* Results are reported in the order in which calls ended. */
static void reported_in_order(void **unused)
{
	struct disk_io ios[5];

	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++) {
		ios[i] = (struct disk_io){ .call = DISK_CALL_FDATASYNC };
		start(&ios[i]);
		wait_for_posts(i + 1);
	}
	again = true;
	waiting->run(waiting);
	/* What the first went on with may have ended in this turn, too. */
	assert_in_range(ended, ARRAY_SIZE(ios), ARRAY_SIZE(ios) + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++)
		assert_ptr_equal(order[i], &ios[i]);
	/* And nothing is reported again, but what the first went on with. */
	wait_for_posts(ARRAY_SIZE(ios) + 1);
	threads->task.run(&threads->task);
	threads->task.run(&threads->task);
	assert_int_equal(ended, ARRAY_SIZE(ios) + 1);
	assert_ptr_equal(last_io, &ios[0]);
}

/* A turn's worth is reported at once; the rest is posted again, or wait() takes it. */
static void a_turn_ends(void **unused)
{
	struct disk_io ios[8];
	unsigned before;

	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++) {
		ios[i] = (struct disk_io){ .call = DISK_CALL_FDATASYNC };
		start(&ios[i]);
	}
	wait_for_posts(ARRAY_SIZE(ios));
	before = posts;
	end_takes_ms = 2;
	threads->task.run(&threads->task);
	assert_int_equal(ended, 3); /* until 5 ms are over, and one more */
	assert_int_equal(posts, before + 1);
	disk_threads.wait(engine);
	assert_int_equal(ended, 6);
	threads->task.run(&threads->task);
	assert_int_equal(ended, 8);
	assert_int_equal(posts, before + 2);
	waiting = NULL;
}

/* What no thread has begun is not made any more; what one has, ends. */
static void what_has_not_begun_is_cancelled(void **unused)
{
	struct disk_io ios[7];

	assert_false(disk_threads.cancel(engine));
	hold(true);
	for (unsigned i = 0; i < ARRAY_SIZE(ios); i++) {
		ios[i] = (struct disk_io){ .call = DISK_CALL_FDATASYNC };
		start(&ios[i]);
	}
	wait_for_callers(4);
	assert_true(disk_threads.cancel(engine));
	assert_int_equal(ended, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(order[i], &ios[4 + i]);
	assert_int_equal(last_result, -ECANCELED);
	assert_false(disk_threads.cancel(engine));
	hold(false);
	while (ended < 7)
		disk_threads.wait(engine);
	assert_int_equal(last_result, 0);
	wait_for_posts(4);
	waiting = NULL;
}

/* A disk goes while a task of its threads waits in the loop: the loop does not run it any more. */
static void a_task_goes_with_its_disk(void **unused)
{
	struct disk_io io = { .call = DISK_CALL_FDATASYNC };
	struct disk_engine *other;

	assert_int_equal(disk_threads.create("disk0", the_loop, file, 64, &other), 0);
	disk_threads.start(other, &io);
	disk_threads.wait(other);
	wait_for_posts(1);
	assert_non_null(waiting);
	disk_threads.destroy(other);
	assert_null(waiting);
}

/* A host that has few threads left is content with those. */
static void fewer_threads(void **unused)
{
	struct disk_io io = { .call = DISK_CALL_FDATASYNC };

	for (unsigned count = 1; count < 4; count++) {
		disk_threads.destroy(engine);
		threads_there_are = count;
		assert_int_equal(disk_threads.create("disk0", the_loop, file, 64, &engine), 0);
		threads = container_of(engine, struct threads, engine);
		assert_int_equal(threads->count, count);
		assert_int_equal(result_of(&io), 0);
	}
}

/* Without any, there is nothing, and nothing is left. */
static void no_threads(void **unused)
{
	struct disk_engine *none = NULL;

	threads_there_are = 0;
	assert_int_equal(disk_threads.create("disk0", the_loop, file, 64, &none), -EAGAIN);
	assert_null(none);
}

static int make_file(void **unused)
{
	alarm(300); /* nothing here waits for as long */
	file = mkstemp(path);
	assert_true(file >= 0);
	memset(memory, 0x55, BYTES);
	assert_int_equal(write(file, memory, BYTES), BYTES);
	return 0;
}

static int remove_file(void **unused)
{
	close(file);
	return unlink(path);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(threads_take_no_signals),
		TEST(the_maker_keeps_its_signals),
		TEST(threads_are_small),
		TEST(each_call_is_made),
		TEST(four_at_a_time),
		TEST(reported_in_order),
		TEST(a_turn_ends),
		TEST(what_has_not_begun_is_cancelled),
		TEST(a_task_goes_with_its_disk),
		TEST(fewer_threads),
		TEST(no_threads),
	};

	return cmocka_run_group_tests_name("disk-threads", tests, make_file, remove_file);
}
