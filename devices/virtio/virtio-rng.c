/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng (virtio 1.2, 5.4): one queue of writable buffers, which are filled from getrandom(2). A buffer may be
 * filled in part (5.4.6.1), so a chain costs at most CHAIN_BYTES and a turn at most a small ring of them. The bytes
 * pass through a buffer of ours: if the host cannot provide guest memory, getrandom() would return EFAULT, but a copy
 * raises SIGBUS, which is reported.
 */
#include "devices/virtio/virtio-rng.h"

#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>

#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"

#define CHAIN_BYTES 4096

/* Returns how many bytes were written: 0 if a segment is not in memory. */
static uint32_t serve_chain(const struct virtio_device *virtio, const struct virtq_chain *chain)
{
	uint32_t len = chain->writable_bytes < CHAIN_BYTES ? chain->writable_bytes : CHAIN_BYTES;
	uint8_t buf[CHAIN_BYTES];
	/* Does not block: getrandom() has made the guest's seeds before. A signal may make it return less. */
	ssize_t got = getrandom(buf, len, 0);

	if (got > 0 && virtq_chain_write(chain, virtio->env->mem, buf, got))
		got = 0;
	explicit_bzero(buf, sizeof(buf)); /* the bytes are the guest's secret */
	return got > 0 ? got : 0;
}

static void serve(struct virtio_device *virtio, unsigned index)
{
	struct virtq_chain chain;

	pthread_mutex_lock(&virtio->base.lock);
	while (virtio_pop(virtio, index, &chain))
		virtio_push(virtio, index, chain.head, serve_chain(virtio, &chain));
	virtio_interrupt(virtio, index);
	pthread_mutex_unlock(&virtio->base.lock);
}

static const struct virtio_class virtio_class = {
	.device_id = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size_max = 8,
	.serve = serve,
};

static int virtio_rng_init(struct device *device, const void *config, const struct device_env *env)
{
	return virtio_init(
		container_of(device, struct virtio_device, base), &virtio_class, env, 0, NULL);
}

static void virtio_rng_finish(struct device *device)
{
	virtio_finish(container_of(device, struct virtio_device, base));
}

const struct device_class virtio_rng_class = {
	.compatible = "sluice,virtio-rng",
	.bytes = sizeof(struct virtio_device),
	.kind = DEVICE_VIRTIO,
	.init = virtio_rng_init,
	.reset = virtio_quiesce,
	.quiesce = virtio_quiesce,
	.pause = virtio_pause,
	.state = { &virtio_state },
	.finish = virtio_rng_finish,
};
