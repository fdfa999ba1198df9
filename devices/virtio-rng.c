/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng (virtio 1.2, 5.4): one queue of writable buffers, which are filled from getrandom(2).
 * A buffer may be filled in part (5.4.6.1), so no chain costs more than CHAIN_BYTES and no turn
 * more than a small ring of them. The bytes pass through a buffer of our own: the kernel would
 * answer EFAULT for guest memory that the host cannot provide, where a copy says so.
 */
#include "devices/virtio-rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "devices/virtio.h"
#include "hyp/util.h"

#define CHAIN_BYTES 4096

struct virtio_rng {
	struct virtio_device virtio;
};

/* Returns how many bytes were written: none where a segment of them is not in memory. */
static uint32_t serve_chain(struct virtio_rng *rng, const struct virtq_chain *chain)
{
	uint32_t len = chain->writable_bytes < CHAIN_BYTES ? chain->writable_bytes : CHAIN_BYTES;
	uint8_t buf[CHAIN_BYTES];
	/* Waits for nothing: the guest's seeds were made so before. A signal may make it less. */
	ssize_t got = getrandom(buf, len, 0);

	if (got > 0 && virtq_chain_write(chain, rng->virtio.env->mem, buf, got))
		got = 0;
	explicit_bzero(buf, sizeof(buf)); /* they are the guest's alone */
	return got > 0 ? got : 0;
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtio_rng *rng = container_of(virtio, struct virtio_rng, virtio);
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	while (virtio_pop(virtio, index, &chain))
		virtio_push(virtio, index, chain.head, serve_chain(rng, &chain));
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
}

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size_max = 8,
	.serve = serve,
};

static int virtio_rng_create(const void *config, const struct device_env *env, struct device **ret)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int err;

	if (!rng)
		return -ENOMEM;
	err = virtio_init(&rng->virtio, &virtio_rng_class, &virtio_class, env, 0, NULL);
	if (err) {
		free(rng);
		return err;
	}
	*ret = &rng->virtio.base;
	return 0;
}

static void virtio_rng_reset(struct device *device)
{
	virtio_system_reset(container_of(device, struct virtio_device, base));
}

static void virtio_rng_destroy(struct device *device)
{
	struct virtio_rng *rng;

	if (!device)
		return;
	rng = container_of(device, struct virtio_rng, virtio.base);
	virtio_finish(&rng->virtio);
	free(rng);
}

const struct device_class virtio_rng_class = {
	.compatible = "sluice,virtio-rng",
	.kind = DEVICE_VIRTIO,
	.create = virtio_rng_create,
	.reset = virtio_rng_reset,
	.destroy = virtio_rng_destroy,
};
