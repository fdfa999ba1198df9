/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-blk (virtio 1.3, 5.2), polled, whose chains are as the caller wants them. */
#include <string.h>

#include "bare.h"

#define DEVICE_BLK	  2
#define FEATURE_FLUSH	  9
#define FEATURE_VERSION_1 32
#define STATUS		  (0x070 / 4)
#define NEEDS_RESET	  64
#define ANSWER_US	  10000000

#define RING 64
_Static_assert(VBLK_CHAINS *VBLK_PARTS <= RING, "descriptors for all");

static struct {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[RING];
	struct {
		uint16_t flags;
		volatile uint16_t index;
		uint16_t ring[RING];
	} driver;
	struct {
		uint16_t flags;
		volatile uint16_t index;
		struct {
			uint32_t id, len;
		} ring[RING];
	} device __attribute__((aligned(4)));
} queue __attribute__((aligned(4096)));

bool vblk_open(struct vblk *vblk)
{
	if (!virtio_open(&vblk->virtio, DEVICE_BLK))
		return false;
	vblk->sectors = vblk->virtio.config[0] | (uint64_t)vblk->virtio.config[1] << 32;
	return true;
}

void vblk_start(struct vblk *vblk, bool flushes)
{
	const struct virtio_start start = {
		.features = UINT64_C(1) << FEATURE_VERSION_1 | (flushes ? 1 << FEATURE_FLUSH : 0),
		.size = RING,
		.desc = queue.desc,
		.driver = &queue.driver,
		.device = &queue.device,
	};

	((volatile uint32_t *)vblk->virtio.regs)[STATUS] = 0;
	memset(&queue, 0, sizeof(queue));
	vblk->virtio.start(&vblk->virtio, &start);
}

void vblk_offer(struct vblk *vblk, const struct vblk_part *parts, unsigned count)
{
	uint16_t made = queue.driver.index, first = made % VBLK_CHAINS * VBLK_PARTS;

	for (unsigned i = 0; i < count; i++) {
		queue.desc[first + i].addr = parts[i].addr;
		queue.desc[first + i].len = parts[i].len;
		queue.desc[first + i].flags = (i + 1 < count ? 1 : 0) | (parts[i].writable ? 2 : 0);
		queue.desc[first + i].next = (uint16_t)(first + i + 1);
	}
	queue.driver.ring[made % RING] = first;
	__asm__ volatile("dmb sy" ::: "memory");
	queue.driver.index = (uint16_t)(made + 1);
	__asm__ volatile("dsb sy" ::: "memory");
	vblk->virtio.notify(&vblk->virtio);
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
	return ((volatile uint32_t *)vblk->virtio.regs)[STATUS] & NEEDS_RESET;
}

bool vblk_wait(struct vblk *vblk)
{
	uint64_t end = now_us() + ANSWER_US;

	while (vblk_given_back() != vblk_offered())
		if (vblk_needs_reset(vblk) || now_us() > end)
			return false;
	__asm__ volatile("dmb sy" ::: "memory");
	return true;
}

int vblk_request(struct vblk *vblk, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	static volatile uint8_t status;
	struct vblk_part parts[3] = { { (uint64_t)&header, sizeof(header) } };
	unsigned count = 1;

	header.type = type;
	header.sector = sector;
	status = VBLK_NONE;
	if (len)
		parts[count++] = (struct vblk_part){ (uint64_t)data, len, type == VBLK_IN };
	parts[count++] = (struct vblk_part){ (uint64_t)&status, 1, true };
	vblk_offer(vblk, parts, count);
	return vblk_wait(vblk) ? status : -1;
}
