/* SPDX-License-Identifier: Apache-2.0 */
/* See requests.h. Each is as small as one that the device answers can be. */
#include "requests.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define HEADER 44 /* of a vsock packet */

static void blk_fill(const struct virtio *device)
{
	*(uint8_t *)PART(2) = VBLK_NONE;
}

static bool blk_good(uint32_t used_len)
{
	return used_len == 513 && *(uint8_t *)PART(2) == 0;
}

static void mem_fill(const struct virtio *device)
{
	const uint64_t window = device->config[4] | (uint64_t)device->config[5] << 32;
	uint16_t *request = (void *)PART(0);

	request[0] = VMEM_STATE;
	memcpy(request + 4, &window, 8);
	request[8] = 1;
	memset((void *)PART(1), 0xff, 10);
}

static bool mem_good(uint32_t used_len)
{
	const uint16_t *response = (void *)PART(1);

	return used_len == 10 && response[0] == 0 && response[4] == 0; /* ACK, PLUGGED */
}

static bool rng_good(uint32_t used_len)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < 64; i++)
		any |= ((uint8_t *)PART(0))[i];
	return used_len == 64 && any;
}

static bool nothing_written(uint32_t used_len)
{
	return !used_len;
}

/* An ARP probe for the host's address. */
static void arp_fill(const struct virtio *device)
{
	static const uint8_t probe[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 10, 66, 0, 1 };

	memcpy((void *)PART(2), probe, sizeof(probe));
}

static bool arp_good(uint32_t used_len)
{
	const uint8_t *frame = (void *)PART(1);

	return used_len == 12 + 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2;
}

static void console_fill(const struct virtio *device)
{
	const uint16_t ready[] = { 0, 0, 0, 1 }; /* DEVICE_READY, as it should be */

	memcpy((void *)PART(0), ready, sizeof(ready));
}

static bool console_good(uint32_t used_len)
{
	const uint16_t *control = (void *)PART(2);

	return !used_len && control[2] == 1; /* PORT_ADD */
}

/* The page behind PART(1), into the balloon or reported as free. */
static void balloon_fill(const struct virtio *device)
{
	*(uint32_t *)PART(0) = PART(1) / 4096;
	memset((void *)PART(1), 0x5a, REQUEST_BUFFER);
}

static bool balloon_good(uint32_t used_len)
{
	const uint8_t *page = (void *)PART(1);
	uint8_t any = 0;

	for (unsigned i = 0; i < 4096; i++)
		any |= page[i];
	return !used_len && !any;
}

/* To a port of the host's where nobody listens. */
static void vsock_request(const struct virtio *device, uint64_t to)
{
	const uint32_t request[HEADER / 4] = { device->config[0], 0, 2, 0, 1024, 1024, 0,
		1 | 1 << 16 /* STREAM, REQUEST */, 0, 65536 };

	memcpy((void *)to, request, sizeof(request));
}

static bool vsock_reset(uint64_t at)
{
	const uint16_t *header = (void *)at;

	return header[0] == 2 && header[15] == 3; /* from the host, RST */
}

static void vsock_fill(const struct virtio *device)
{
	vsock_request(device, PART(0));
}

static bool vsock_good(uint32_t used_len)
{
	return !used_len && vsock_reset(PART(2));
}

static void vsock_ask_fill(const struct virtio *device)
{
	vsock_request(device, PART(1));
}

static bool vsock_receive_good(uint32_t used_len)
{
	return used_len == HEADER && vsock_reset(PART(0));
}

static const struct kind kinds[] = {
	{ .id = 1,
		.name = "net",
		.queue = 1,
		.parts = { { PART(0), 12, false }, { PART(1), 60, false } },
		.good = nothing_written },
	{ .id = 1,
		.name = "net's receive",
		.parts = { { PART(0), 12, true }, { PART(1), 1514, true } },
		.asks = 1,
		.ask = { PART(2), 12 + 42, false },
		.fill = arp_fill,
		.good = arp_good },
	{ .id = 2,
		.name = "blk",
		.features = 1 << 9, /* FLUSH */
		.parts = { { PART(0), 16, false }, { PART(1), 512, true }, { PART(2), 1, true } },
		.large = 2 * MiB,
		.fill = blk_fill,
		.good = blk_good },
	{ .id = 3,
		.name = "console's port",
		.features = 2, /* MULTIPORT */
		.queue = 5,
		.parts = { { PART(0), 64, false } },
		.good = nothing_written },
	{ .id = 3,
		.name = "console's control",
		.features = 2,
		.queue = 3,
		.parts = { { PART(0), 8, false } },
		.answers = 2,
		.answer = { PART(2), 128, true },
		.fill = console_fill,
		.good = console_good },
	{ .id = 4, .name = "rng", .parts = { { PART(0), 64, true } }, .good = rng_good },
	{ .id = 5,
		.name = "balloon",
		.parts = { { PART(0), 4, false } },
		.fill = balloon_fill,
		.good = balloon_good },
	{ .id = 5,
		.name = "balloon's reports",
		.features = 1 << 5, /* REPORTING */
		.frees = true,
		.queue = 2,
		.parts = { { PART(0), 64, true }, { PART(1), 4096, true } },
		.fill = balloon_fill,
		.good = balloon_good },
	{ .id = 19,
		.name = "vsock",
		.queue = 1,
		.parts = { { PART(0), HEADER, false } },
		.answers = 0,
		.answer = { PART(2), HEADER, true },
		.fill = vsock_fill,
		.good = vsock_good },
	{ .id = 19,
		.name = "vsock's receive",
		.parts = { { PART(0), HEADER, true } },
		.asks = 1,
		.ask = { PART(1), HEADER, false },
		.fill = vsock_ask_fill,
		.good = vsock_receive_good },
	{ .id = 24,
		.name = "mem",
		.features = 2, /* UNPLUGGED_INACCESSIBLE */
		.parts = { { PART(0), 24, false }, { PART(1), 10, true } },
		.fill = mem_fill,
		.good = mem_good },
};

const struct kind *next_kind(const struct kind *kind)
{
	kind = kind ? kind + 1 : kinds;
	return kind < kinds + COUNT(kinds) ? kind : NULL;
}
