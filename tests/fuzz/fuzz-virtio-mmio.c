/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the transport and the device core with the simplest device there is (virtio-rng), whose random
 * numbers are always the same, so that a run can be repeated.
 */
#include <string.h>
#include <sys/random.h>

#include "devices/virtio/virtio-rng.h"
#include "tests/fuzz/device.h"

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	memset(buf, 0x5a, len);
	return (ssize_t)len;
}

const struct fuzz_target fuzz_target = { .class = &virtio_rng_class };
