/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that writes to its console as fast as it can, on its vCPU's thread, while the loop sends that to
 * a file and to somebody who attaches and leaves: the file gets every byte, in order. ThreadSanitizer sees
 * to the ring.
 */
#include "console-bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "board/errors.h"
#include "hyp/util.h"

#define BYTES (4 * MiB)

static char folder[] = "/tmp/test-console-race.XXXXXX", port[64], file[64];
static atomic_bool written;

static uint8_t byte_at(size_t place)
{
	return (uint8_t)(place * 7 + place / 256);
}

static void *guest(void *unused)
{
	for (size_t at = 0; at < BYTES;) {
		uint8_t piece[300];
		size_t len = at % sizeof(piece) + 1, n;

		if (len > BYTES - at)
			len = BYTES - at;
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(at + i);
		n = chardev->ops->write(chardev, piece, len);
		at += n;
		if (n < len)
			sched_yield();
	}
	atomic_store(&written, true);
	return NULL;
}

static void *visitor(void *unused)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char buf[4096];

	strcpy(address.sun_path, port);
	while (!atomic_load(&written)) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			for (int i = 0; i < 4 && read(fd, buf, sizeof(buf)) > 0; i++)
				;
		close(fd);
	}
	return NULL;
}

static void every_byte_arrives_in_order(void **state)
{
	struct console_spec spec = { .kind = CONSOLE_FILE, .path = file };
	const struct console_callbacks callbacks = { 0 };
	struct errors errors = { 0 };
	pthread_t threads[2];
	uint8_t *all = malloc(BYTES + 1);
	int fd;

	assert_non_null(mkdtemp(folder));
	snprintf(port, sizeof(port), "%s/port", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	assert_int_equal(bench_create(), 0);
	assert_int_equal(console_create(loop, &spec, &callbacks, &console), 0);
	assert_int_equal(console_listen(console, port, &errors), 0);
	bench_connect();
	assert_int_equal(pthread_create(&threads[0], NULL, guest, NULL), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, visitor, NULL), 0);
	UNTIL(atomic_load(&written));
	pthread_join(threads[0], NULL);
	/* The visitor may be waiting to be heard, or to read. */
	console_destroy(console);
	pthread_join(threads[1], NULL);
	loop_destroy(loop);
	fd = open(file, O_RDONLY);
	assert_int_equal(read(fd, all, BYTES + 1), BYTES);
	close(fd);
	for (size_t i = 0; i < BYTES; i++)
		assert_int_equal(all[i], byte_at(i));
	free(all);
	unlink(port);
	unlink(file);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_byte_arrives_in_order) };

	return cmocka_run_group_tests_name("console-race", tests, NULL, NULL);
}
