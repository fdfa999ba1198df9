/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that a test has in its hands; see fake-disk.h. */
#include "tests/unit/helpers/fake-disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hyp/base/util.h"

struct disk {
	struct disk_info info;
};

uint8_t fake_disk_contents[FAKE_DISK_BYTES];
uint64_t fake_disk_bytes = FAKE_DISK_BYTES;
struct disk_config fake_disk_config;
int fake_disk_probe, fake_disk_open;
unsigned fake_disk_opened;
bool fake_disk_ending, fake_disk_full, fake_disk_lost;
void (*fake_disk_submitted)(void);

static struct disk the_disk;
static struct disk_request *flight[FAKE_DISK_FLIGHT];
static unsigned count;

int disk_probe(const struct disk_config *config, bool lock, char *ret_why, size_t len)
{
	if (fake_disk_probe)
		snprintf(ret_why, len, "%s is %s", config->path.name, lock ? "taken" : "bad");
	return fake_disk_probe;
}

int disk_open(const struct disk_config *config, struct loop *loop, struct disk **ret)
{
	if (fake_disk_open)
		return fake_disk_open;
	fake_disk_opened++;
	fake_disk_config = *config;
	fake_disk_lost = false;
	the_disk.info = (struct disk_info){ .bytes = fake_disk_bytes,
		.block_bytes = config->block_bytes };
	*ret = &the_disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	CHECK(!count);
	fake_disk_opened -= disk != NULL;
}

bool disk_is_lost(const struct disk *disk)
{
	return fake_disk_lost;
}

void disk_lose(struct disk *disk)
{
	fake_disk_lost = true;
}

const struct disk_info *disk_info(const struct disk *disk)
{
	return &disk->info;
}

bool disk_is_full(const struct disk *disk)
{
	return fake_disk_full;
}

int disk_resize(struct disk *disk, uint64_t bytes, char *ret_why, size_t len)
{
	if (bytes && bytes < disk->info.bytes) {
		snprintf(ret_why, len, "it does not shrink");
		return -EINVAL;
	}
	fake_disk_bytes = disk->info.bytes = bytes ? bytes : fake_disk_bytes;
	return 0;
}

void disk_start(struct disk *disk, struct disk_request *request)
{
	uint64_t bytes = 0;

	CHECK(count < fake_disk_config.in_flight && count < FAKE_DISK_FLIGHT);
	CHECK(!request->bytes == (request->op == DISK_FLUSH));
	CHECK(request->offset <= fake_disk_bytes);
	CHECK(request->bytes <= fake_disk_bytes - request->offset);
	CHECK((request->offset | request->bytes) % disk->info.block_bytes == 0);
	CHECK(!fake_disk_config.read_only || request->op == DISK_READ || request->op == DISK_FLUSH);
	for (unsigned i = 0; i < request->iov_count; i++)
		bytes += request->iov[i].iov_len;
	CHECK(request->op > DISK_WRITE || bytes == request->bytes);
	flight[count++] = request;
}

void disk_submit(struct disk *disk)
{
	if (fake_disk_submitted)
		fake_disk_submitted();
}

void disk_wait(struct disk *disk, bool ending)
{
	CHECK(count);
	fake_disk_ending = ending;
	fake_disk_end(0, 0);
}

void disk_end(struct disk *disk)
{
	fake_disk_ending = true;
}

unsigned fake_disk_flight(void)
{
	return count;
}

const struct disk_request *fake_disk_request(unsigned index)
{
	return flight[index];
}

void fake_disk_end(unsigned index, int err)
{
	struct disk_request *request = flight[index];
	uint8_t *at;

	count--;
	memmove(flight + index, flight + index + 1, (count - index) * sizeof(flight[0]));
	if (request->offset + request->bytes > FAKE_DISK_BYTES) {
		request->done(request, err); /* of a disk without contents there */
		return;
	}
	at = fake_disk_contents + request->offset;
	if (!err && request->op >= DISK_DISCARD)
		memset(at, 0, request->bytes);
	for (unsigned i = 0; !err && i < request->iov_count; i++) {
		const struct iovec *part = &request->iov[i];

		if (request->op == DISK_READ)
			memcpy(part->iov_base, at, part->iov_len);
		else
			memcpy(at, part->iov_base, part->iov_len);
		at += part->iov_len;
	}
	request->done(request, err);
}
