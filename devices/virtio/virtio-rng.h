/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng, the entropy device (virtio 1.2, 5.4): the guest's random bytes come from the host. */
#ifndef SLUICE_DEVICES_VIRTIO_VIRTIO_RNG_H
#define SLUICE_DEVICES_VIRTIO_VIRTIO_RNG_H

#include "devices/device.h"

extern const struct device_class virtio_rng_class;

#endif
