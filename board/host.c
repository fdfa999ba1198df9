/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's limits. Address space is measured by reserving it: the longest stretch that can be
 * had, then the next, until little is left. That counts RLIMIT_AS, a 39-bit kernel and whatever
 * stands in the way, and costs microseconds, since nothing is backed.
 */
#include "board/host.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board/config.h"
#include "devices/vhost.h"
#include "hyp/kvm.h"
#include "hyp/util.h"

#define STRETCHES    4
#define STRETCH_MAX  (128 * TiB) /* no window is larger: 48-bit guests */
#define STRETCH_STEP (1 * GiB)

static void *reserve(uint64_t size)
{
	void *addr = mmap(
		NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

/* The longest stretch that can be reserved now, a multiple of STRETCH_STEP; kept reserved. */
static uint64_t reserve_longest(void **ret_addr)
{
	uint64_t size = 0;

	for (uint64_t bit = STRETCH_MAX; bit >= STRETCH_STEP; bit /= 2) {
		void *addr = reserve(size + bit);

		if (addr) {
			munmap(addr, size + bit);
			size += bit;
		}
	}
	*ret_addr = size ? reserve(size) : NULL;
	return *ret_addr ? size : 0;
}

static void probe_address_space(struct host_limits *ret)
{
	void *addr[STRETCHES] = { NULL };
	uint64_t size[STRETCHES] = { 0 };

	ret->address_space = 0;
	for (int i = 0; i < STRETCHES; i++) {
		size[i] = reserve_longest(&addr[i]);
		ret->address_space += size[i];
	}
	ret->address_run = size[0];
	for (int i = 0; i < STRETCHES; i++)
		if (addr[i])
			munmap(addr[i], size[i]);
}

int host_probe(struct host_limits *ret)
{
	struct kvm_limits kvm = { .memslots = 32766, .vcpus = 512 };
	int err = kvm_probe(&kvm);

	if (!err && !kvm.ipa_bits)
		err = -ENOTSUP;

	*ret = (struct host_limits){
		.ipa_bits = kvm.ipa_bits ? kvm.ipa_bits : 40,
		.page_bytes = sysconf(_SC_PAGESIZE),
		.memslots = kvm.memslots,
		.vhost_regions = vhost_regions(),
		.vcpus = kvm.vcpus,
		.gicv2 = kvm.gicv2,
		.gicv3 = kvm.gicv3,
		.its = kvm.its,
		.cpu_features = err ? UINT_MAX : kvm.cpu_features,
		.cpus = err ? 0 : (unsigned)sysconf(_SC_NPROCESSORS_CONF),
		.kvm = kvm,
	};
	probe_address_space(ret);
	return err;
}
