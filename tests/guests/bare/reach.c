/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tries to reach, through a network card that the host's kernel serves, memory that it was
 * not given: it sends from there, and receives into it. The window has one block plugged, the first;
 * the host sends it frames all the time, and says what it saw of the guest's. bootargs: slot= (bytes),
 * abort=1 where reads of unplugged blocks abort.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bare.h"

#define DEVICE_NET  1
#define VNET_HEADER 12
#define FRAME	    256
#define SOON_US	    5000000
#define A_WHILE_US  1000000
#define OLD	    'U' /* in no frame */

enum { RECEIVE, TRANSMIT, QUEUES };

static struct vmem vmem;
static struct virtio net;
static struct virtq queues[QUEUES];
/* A header of zeros, and an Ethernet frame: to all, of a type for experiments. */
static uint8_t frame[VNET_HEADER + FRAME] = {
	[VNET_HEADER] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5
};
static uint8_t buffer[4096];

static void start(void)
{
	net.start(&net, VIRTIO_VERSION_1, queues, QUEUES);
}

/* Sends the frame's start from here, and its rest, of `len` bytes, from `gpa`. */
static bool send(uint64_t gpa, uint32_t len, uint64_t us)
{
	const struct virtq_part parts[] = {
		{ (uint64_t)frame, VNET_HEADER + 60, false },
		{ gpa, len, false },
	};

	virtq_offer(&net, &queues[TRANSMIT], TRANSMIT, parts, 2);
	return virtq_wait(&net, &queues[TRANSMIT], us);
}

static bool receive(uint64_t gpa, uint64_t us)
{
	const struct virtq_part part = { gpa, sizeof(buffer), true };

	virtq_offer(&net, &queues[RECEIVE], RECEIVE, &part, 1);
	return virtq_wait(&net, &queues[RECEIVE], us);
}

/* All is well with the card, whatever was before. */
static void goes_on(const char *after)
{
	start();
	result(send((uint64_t)buffer, 100, SOON_US), "after %s it sends", after);
	memset(buffer, 0, sizeof(buffer));
	result(receive((uint64_t)buffer, SOON_US) && buffer[VNET_HEADER + 12] == 0x88,
		"after %s it receives", after);
}

static bool is_zero(uint64_t gpa)
{
	for (uint64_t at = gpa; at < gpa + sizeof(buffer); at += 8) {
		struct fault fault;

		if (access_make(ACCESS_LOAD, at, 0, &fault) && !fault.esr)
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	const bool abort = argument("abort", 0);
	const struct virtq_part good = { (uint64_t)frame, sizeof(frame), false };
	uint64_t slot = argument("slot", 0), unplugged, plugged;
	struct virtq *there;
	bool sent;
	const struct {
		const char *name;
		uint64_t gpa;
	} nowhere[] = {
		{ "a closed slot", 0 },
		{ "a device's registers", 0x09000000 },
		{ "a hole", 0x3f000000 },
		{ "beyond the window", 1 },
		{ "the end of all addresses", UINT64_MAX - 100 },
	};

	if (!vmem_open(&vmem) || !virtio_open(&net, DEVICE_NET)) {
		printf("Bail out! no device\n");
		return 1;
	}
	plugged = vmem.addr;
	unplugged = vmem.addr + vmem.block;
	result(vmem_request(&vmem, VMEM_PLUG, plugged, 1, NULL) == 0, "a block is plugged");
	memset((void *)plugged, 0x5a, 4096);
	checkpoint("before all: plugged %" PRIu64, vmem_plugged(&vmem));
	start();
	result(send(plugged, 100, SOON_US), "it sends from a plugged block");
	result(receive(plugged, SOON_US), "it receives into one");

	/* In an open slot: what is read there is zeros, or nothing at all; what is written is lost. */
	if (abort)
		result(!send(unplugged, 100, A_WHILE_US), "nothing goes from an unplugged block");
	else
		result(send(unplugged, 100, SOON_US), "zeros go from an unplugged block");
	goes_on("an unplugged block");
	result(!receive(unplugged, A_WHILE_US), "nothing comes into an unplugged block");
	result(is_zero(unplugged), "and nothing is there");
	goes_on("that");

	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++) {
		uint64_t gpa = nowhere[i].gpa;

		if (!gpa)
			gpa = vmem.addr + slot;
		else if (gpa == 1)
			gpa = vmem.addr + vmem.region;
		start();
		result(!send(gpa, 100, SOON_US) && net.needs_reset(&net), "no send from %s",
			nowhere[i].name);
		start();
		result(!receive(gpa, SOON_US) && net.needs_reset(&net), "no receive into %s",
			nowhere[i].name);
	}
	goes_on("all of these");
	checkpoint("after all: plugged %" PRIu64, vmem_plugged(&vmem));

	/* What was there before an unplug: the host checks whether any of it went. */
	start();
	memset((void *)plugged, OLD, 4096);
	result(vmem_request(&vmem, VMEM_UNPLUG, plugged, 1, NULL) == 0, "unplugged while it runs");
	sent = send(plugged, 100, A_WHILE_US);
	if (abort)
		result(!sent, "nothing goes from there");
	goes_on("an unplug");

	/* Rings there. */
	result(vmem_request(&vmem, VMEM_PLUG, plugged, 1, NULL) == 0, "plugged again");
	there = (struct virtq *)plugged;
	net.start(&net, VIRTIO_VERSION_1, there, QUEUES);
	virtq_offer(&net, &there[TRANSMIT], TRANSMIT, &good, 1);
	result(virtq_wait(&net, &there[TRANSMIT], SOON_US), "it has rings there");
	result(vmem_request(&vmem, VMEM_UNPLUG, plugged, 1, NULL) == 0, "they are unplugged");
	net.notify(&net, TRANSMIT);
	for (uint64_t end = now_us() + SOON_US; !net.needs_reset(&net) && now_us() < end;)
		;
	result(net.needs_reset(&net), "and it stops");
	goes_on("rings that went");
	return 0;
}
