/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport within the process, for tests of devices to which registers are not the point: the driver calls the device
 * core, as a transport does for it. An interrupt sets the line; nothing is shown, and there are no doorbells.
 */
#ifndef SLUICE_TESTS_UNIT_DIRECT_TRANSPORT_H
#define SLUICE_TESTS_UNIT_DIRECT_TRANSPORT_H

#include <linux/virtio_config.h>

#include "devices/virtio/virtio-transport.h"
#include "devices/virtio/virtio.h"
#include "hyp/base/util.h"
#include "hyp/kvm/irq.h"

static inline int direct_init(struct virtio_device *virtio)
{
	return 0;
}

static inline void direct_nothing(struct virtio_device *virtio)
{
}

static inline void direct_show(const struct virtio_device *virtio)
{
}

static inline void direct_interrupt(struct virtio_device *virtio, enum virtio_cause cause)
{
	virtio->state.interrupt_status |= cause;
	irq_line_set(virtio->env->irq, true);
}

static __attribute__((unused)) const struct virtio_transport direct_transport = {
	.init = direct_init,
	.finish = direct_nothing,
	.show = direct_show,
	.interrupt = direct_interrupt,
};

static inline void direct_write_status(struct virtio_device *virtio, uint32_t status)
{
	pthread_mutex_lock(&virtio->base.lock);
	virtio_write_status(virtio, status);
	pthread_mutex_unlock(&virtio->base.lock);
}

/* From a reset to FEATURES_OK. */
static inline void direct_negotiate(struct virtio_device *virtio, uint64_t features)
{
	static const uint32_t steps[] = { 0, VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER };
	uint32_t status = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		direct_write_status(virtio, status |= steps[i]);
	pthread_mutex_lock(&virtio->base.lock);
	virtio_take_features(virtio, UINT64_MAX, features);
	pthread_mutex_unlock(&virtio->base.lock);
	direct_write_status(virtio, status | VIRTIO_CONFIG_S_FEATURES_OK);
}

/* Of what is asked for only the size and the addresses count. */
static inline void direct_start_queue(
	struct virtio_device *virtio, unsigned index, const struct virtq *asked)
{
	struct virtq *queue = &virtio->state.queues[index];

	pthread_mutex_lock(&virtio->base.lock);
	if (!queue->ready) {
		queue->size = asked->size;
		queue->desc_gpa = asked->desc_gpa;
		queue->avail_gpa = asked->avail_gpa;
		queue->used_gpa = asked->used_gpa;
		virtio_start_queue(virtio, index);
	}
	pthread_mutex_unlock(&virtio->base.lock);
}

#endif
