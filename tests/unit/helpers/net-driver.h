/* SPDX-License-Identifier: Apache-2.0 */
/* A network card at fake-network.c, and its driver with the two queues of the first pair. */
#ifndef SLUICE_TESTS_UNIT_NET_DRIVER_H
#define SLUICE_TESTS_UNIT_NET_DRIVER_H

#include <linux/virtio_net.h>
#include <stdlib.h>

#include "devices/device.h"
#include "devices/virtio/virtio-mmio.h"
#include "devices/virtio/virtio-net-node.h"
#include "devices/virtio/virtio-net.h"
#include "tests/unit/helpers/fake-network.h"
#include "tests/unit/helpers/fds.h"
#include "tests/unit/helpers/queues-driver.h"

#define MRG (1ull << VIRTIO_NET_F_MRG_RXBUF)

enum { RECEIVE, TRANSMIT, QUEUES };

static const struct device_env env = {
	.id = "net0",
	.transport = &virtio_mmio_transport,
	.identity = 0x1122605d48d4d766,
	.loop = (struct loop *)&device,
	.mem = &memory,
	.irq = &irq,
	.registers = registers,
};
static struct virtio_net_node *node;
static unsigned fds_before;

static inline uint32_t net_status(void)
{
	return (uint32_t)mmio(VIRTIO_MMIO_STATUS, 4, false, 0);
}

/* A buffer of its own to receive into. */
static inline void offer(unsigned index, uint32_t len)
{
	offer_room(RECEIVE, index, len);
}

/* What lies in its buffer is to be sent. */
static inline void offer_frame(unsigned index, uint32_t len)
{
	offer_at(TRANSMIT, index, gpa_of(buffer(TRANSMIT, index)), len, 0);
}

static inline int net_setup(void **unused)
{
	network_init();
	ring_size = QUEUE_SIZE;
	fds_before = open_fds();
	node = calloc(1, sizeof(*node));
	virtio_net_class.defaults(node);
	node->tap = "tap0";
	if (device_create(&virtio_net_class, node, &env, &device))
		return 1;
	network.lock = &device->lock;
	return 0;
}

static inline int net_teardown(void **unused)
{
	device_destroy(device);
	free(node);
	return made + fake_loop_watches() + fake_loop_timers() + open_fds() - fds_before;
}

/* ---- Pairs ---- */

#define MQ	   (1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ)
#define CONTROL(n) (QUEUES * (n)) /* the queue of control, behind so many pairs */

static inline unsigned active_pairs(void)
{
	unsigned count = 1;

	for (unsigned i = 0; i < PAIRS - 1; i++)
		count += others[i].active;
	return count;
}

/* A card with so many, and a driver with all queues up to the one of control, `last`. */
static inline void start_pairs(uint64_t features, unsigned last)
{
	device_destroy(device);
	network.lock = NULL;
	node->queue_pairs = PAIRS;
	for (unsigned i = 0; i < PAIRS - 1; i++)
		others[i].active = true; /* as the host makes them */
	CHECK(!device_create(&virtio_net_class, node, &env, &device));
	start(last + 1, MRG | features);
}

/* The answer to a command of control, of so many bytes; 0xff: none. */
static inline uint8_t command(unsigned queue, const uint8_t bytes[4], uint32_t len)
{
	struct vring_desc *desc = (void *)at(queue, 0);
	uint16_t *avail = (uint16_t *)at(queue, AVAIL_AT);

	memcpy(buffer(queue, 0), bytes, 4);
	*buffer(queue, 1) = 0xff;
	desc[0] = (struct vring_desc){ gpa_of(buffer(queue, 0)), len, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ gpa_of(buffer(queue, 1)), 1, VRING_DESC_F_WRITE, 0 };
	avail[2 + offered[queue]++ % QUEUE_SIZE] = 0;
	avail[1] = offered[queue];
	notify(queue);
	return *buffer(queue, 1);
}

static inline uint8_t use_pairs(unsigned count)
{
	const uint8_t bytes[4] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
		(uint8_t)count, (uint8_t)(count >> 8) };

	return command(CONTROL(PAIRS), bytes, 4);
}

#endif
