/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that writes to its console as fast as it can, on its vCPU's thread, while the loop sends that to
 * a file and to a client that attaches and leaves: the file gets every byte, in order. ThreadSanitizer checks
 * the ring.
 */
#include "tests/unit/helpers/console-bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "board/text/errors.h"
#include "hyp/base/util.h"

#define BYTES  (2 * MiB)
#define VISITS 40

static char folder[] = "/tmp/test-console-race.XXXXXX", port[64], file[64];
static atomic_size_t written; /* all of it; 0: not yet */
static atomic_uint visits;

static uint8_t byte_at(size_t place)
{
	return (uint8_t)(place * 7 + place / 256);
}

/* So many bytes, and on until there were visits. */
static void *guest(void *unused)
{
	static uint8_t piece[3000];
	size_t at = 0;

	while (at < BYTES || atomic_load(&visits) < VISITS) {
		size_t len = at % sizeof(piece) + 1, n;

		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(at + i);
		n = chardev->ops->write(chardev, piece, len);
		at += n;
		if (n < len)
			sched_yield();
	}
	atomic_store(&written, at);
	return NULL;
}

static void *visitor(void *unused)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char buf[4096];

	strcpy(address.sun_path, port);
	while (!atomic_load(&written)) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
			read(fd, buf, sizeof(buf)) > 0)
			atomic_fetch_add(&visits, 1);
		close(fd);
	}
	return NULL;
}

static void run_console(enum console_kind kind)
{
	struct console_spec spec = { .kind = kind, .path = { kind == CONSOLE_FILE ? file : NULL } };
	const struct console_callbacks callbacks = { 0 };
	struct errors errors = { 0 };
	pthread_t threads[2];

	atomic_store(&written, 0);
	atomic_store(&visits, 0);
	assert_int_equal(bench_create(), 0);
	assert_int_equal(console_create(loop, &spec, &callbacks, &console), 0);
	assert_int_equal(console_listen(console, &(struct host_path){ port }, &errors), 0);
	bench_connect();
	assert_int_equal(pthread_create(&threads[0], NULL, guest, NULL), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, visitor, NULL), 0);
	UNTIL(atomic_load(&written));
	pthread_join(threads[0], NULL);
	/* The visitor may be waiting to be heard, or to read. */
	console_destroy(console);
	pthread_join(threads[1], NULL);
	loop_destroy(loop);
}

static void a_file_gets_every_byte_in_order(void **state)
{
	uint8_t *all;
	size_t len;
	int fd;

	run_console(CONSOLE_FILE);
	len = atomic_load(&written);
	all = malloc(len + 1);
	fd = open(file, O_RDONLY);
	assert_int_equal(read(fd, all, len + 1), len);
	close(fd);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(all[i], byte_at(i));
	free(all);
	unlink(file);
}

/* With no other back end the guest checks whether there is a client. */
static void visitors_alone(void **state)
{
	run_console(CONSOLE_NULL);
}

static int set_up(void **state)
{
	assert_non_null(mkdtemp(folder));
	snprintf(port, sizeof(port), "%s/port", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(port);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_gets_every_byte_in_order),
		cmocka_unit_test(visitors_alone),
	};

	return cmocka_run_group_tests_name("console-race", tests, set_up, tear_down);
}
