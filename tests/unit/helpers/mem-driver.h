/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver of a virtio-mem device for tests: `device`, whose one queue lies in `driver`, asked
 * one request at a time. With fake-loop.h.
 */
#ifndef SLUICE_TESTS_UNIT_MEM_DRIVER_H
#define SLUICE_TESTS_UNIT_MEM_DRIVER_H

#include <linux/virtio_mem.h>

#include "tests/unit/helpers/mmio-driver.h"
#include "tests/unit/helpers/unit.h"

#define QUEUE_SIZE 8
#define REQ_AT	   FREE_AT
#define RESP_AT	   (FREE_AT + 64)

enum {
	PLUG = VIRTIO_MEM_REQ_PLUG,
	UNPLUG = VIRTIO_MEM_REQ_UNPLUG,
	UNPLUG_ALL = VIRTIO_MEM_REQ_UNPLUG_ALL,
	STATE = VIRTIO_MEM_REQ_STATE,
};
enum {
	ACK = VIRTIO_MEM_RESP_ACK,
	NACK = VIRTIO_MEM_RESP_NACK,
	BUSY = VIRTIO_MEM_RESP_BUSY,
	ERROR = VIRTIO_MEM_RESP_ERROR,
};

#define CONFIG(field) driver_config(offsetof(struct virtio_mem_config, field), 8)

static inline void start_driver(uint64_t features)
{
	driver_init(&driver, QUEUE_SIZE);
	driver_set(
		&driver, 0, RAM_GPA + REQ_AT, sizeof(struct virtio_mem_req), VRING_DESC_F_NEXT, 1);
	driver_set(&driver, 1, RAM_GPA + RESP_AT, sizeof(struct virtio_mem_resp),
		VRING_DESC_F_WRITE, 0);
	driver_run(features);
}

#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)

static __attribute__((unused)) uint16_t state; /* of the last answer */
static __attribute__((unused)) uint32_t used_len;

static inline int request(unsigned type, uint64_t gpa, unsigned blocks)
{
	struct virtio_mem_req *req = (void *)(driver.ram + REQ_AT);
	struct virtio_mem_resp *resp = (void *)(driver.ram + RESP_AT);

	memset(req, 0xee, sizeof(*req)); /* padding is ignored */
	memset(resp, 0xee, sizeof(*resp));
	req->type = type;
	req->u.plug.addr = gpa;
	req->u.plug.nb_blocks = blocks;
	driver_offer(&driver, 0);
	driver_notify();
	assert_int_equal(driver_used(&driver)->idx, driver.next_avail);
	used_len = driver_used(&driver)->ring[(driver.next_avail - 1) % driver.size].len;
	state = resp->u.state.state;
	return resp->type;
}

#endif
