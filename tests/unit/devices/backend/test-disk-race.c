/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk by threads with as much under way as it takes, while the loop hands out what has ended: each
 * request ends once, with its own bytes. ThreadSanitizer sees to the lists.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/disk.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

#define FLIGHT 64
#define PIECE  4096
#define ROUNDS 16000 /* requests */

static char path[] = "/tmp/test-disk-race.XXXXXX";
static struct loop *loop;
static struct disk *disk;
static unsigned started, ended;

struct asked {
	struct disk_request request;
	struct iovec iov;
	unsigned index, written; /* what its piece of the file holds, a number */
	uint8_t data[PIECE];
};

static struct asked asked[FLIGHT];

static void done(struct disk_request *request, int err);

/* Reads what it wrote last, or writes something else. */
static void start(struct asked *one)
{
	bool write = one->request.op != DISK_WRITE;

	one->iov = (struct iovec){ one->data, PIECE };
	one->request = (struct disk_request){ .op = write ? DISK_WRITE : DISK_READ,
		.offset = (uint64_t)one->index * PIECE,
		.bytes = PIECE,
		.iov = &one->iov,
		.iov_count = 1,
		.done = done };
	if (write)
		one->written = started;
	memset(one->data, write ? one->written & 0xff : 0xee, PIECE);
	started++;
	disk_start(disk, &one->request);
}

static void done(struct disk_request *request, int err)
{
	struct asked *one = container_of(request, struct asked, request);

	assert_int_equal(err, 0);
	for (unsigned i = 0; request->op == DISK_READ && i < PIECE; i++)
		assert_int_equal(one->data[i], one->written & 0xff);
	ended++;
	if (started < ROUNDS)
		start(one);
	disk_submit(disk);
	if (ended == ROUNDS)
		loop_stop(loop);
}

static void all_requests_end(void **state)
{
	const struct disk_config config = {
		.path = { path }, .threads = true, .block_bytes = 512, .in_flight = FLIGHT
	};
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, FLIGHT * PIECE), 0);
	close(fd);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(disk_open(&config, loop, &disk), 0);
	for (unsigned i = 0; i < FLIGHT; i++) {
		asked[i].index = i;
		start(&asked[i]);
	}
	disk_submit(disk);
	/* Both the thread that waits for them, and the loop that runs their completions. */
	while (ended < ROUNDS / 2)
		disk_wait(disk, false);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(ended, ROUNDS);
	disk_close(disk);
	loop_destroy(loop);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_requests_end) };

	return cmocka_run_group_tests_name("disk-race", tests, NULL, NULL);
}
