/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-blk (virtio 1.3, 5.2), polled, whose chains are as the caller wants them. */
#include "bare.h"

#define DEVICE_BLK    2
#define FEATURE_FLUSH (1 << 9)
#define ANSWER_US     10000000

static struct virtq queue;

bool vblk_open(struct vblk *vblk)
{
	if (!virtio_open(&vblk->virtio, DEVICE_BLK))
		return false;
	vblk->sectors = vblk->virtio.config[0] | (uint64_t)vblk->virtio.config[1] << 32;
	return true;
}

void vblk_start(struct vblk *vblk, bool flushes)
{
	vblk->virtio.start(
		&vblk->virtio, VIRTIO_VERSION_1 | (flushes ? FEATURE_FLUSH : 0), &queue, 1);
}

void vblk_offer(struct vblk *vblk, const struct virtq_part *parts, unsigned count)
{
	virtq_offer(&vblk->virtio, &queue, 0, parts, count);
}

uint16_t vblk_offered(void)
{
	return queue.driver.index;
}

uint16_t vblk_given_back(void)
{
	return queue.device.index;
}

bool vblk_needs_reset(struct vblk *vblk)
{
	return vblk->virtio.needs_reset(&vblk->virtio);
}

bool vblk_wait(struct vblk *vblk)
{
	return virtq_wait(&vblk->virtio, &queue, ANSWER_US);
}

int vblk_request(struct vblk *vblk, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	static volatile uint8_t status;
	struct virtq_part parts[3] = { { (uint64_t)&header, sizeof(header) } };
	unsigned count = 1;

	header.type = type;
	header.sector = sector;
	status = VBLK_NONE;
	if (len)
		parts[count++] = (struct virtq_part){ (uint64_t)data, len, type == VBLK_IN };
	parts[count++] = (struct virtq_part){ (uint64_t)&status, 1, true };
	vblk_offer(vblk, parts, count);
	return vblk_wait(vblk) ? status : -1;
}
