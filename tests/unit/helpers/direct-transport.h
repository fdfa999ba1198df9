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
#include "tests/unit/helpers/driver.h"
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

/* From a reset to DRIVER_OK, with queue 0 as driver.h lays one out. */
static inline void direct_run(struct virtio_device *virtio, uint64_t features, uint32_t size)
{
	static const uint32_t steps[] = { VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER };
	uint32_t status = 0;

	pthread_mutex_lock(&virtio->base.lock);
	virtio_write_status(virtio, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		virtio_write_status(virtio, status |= steps[i]);
	virtio_take_features(virtio, UINT64_MAX, features);
	virtio_write_status(virtio, status |= VIRTIO_CONFIG_S_FEATURES_OK);
	virtio->state.queues[0].size = size;
	virtio->state.queues[0].desc_gpa = RAM_GPA;
	virtio->state.queues[0].avail_gpa = RAM_GPA + AVAIL_AT;
	virtio->state.queues[0].used_gpa = RAM_GPA + USED_AT;
	virtio_start_queue(virtio, 0);
	virtio_write_status(virtio, status | VIRTIO_CONFIG_S_DRIVER_OK);
	pthread_mutex_unlock(&virtio->base.lock);
}

#endif
