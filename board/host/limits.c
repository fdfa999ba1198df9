/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's limits. Address space is measured by reserving it: the longest run that can be had, then the next, until
 * little is left. That accounts for RLIMIT_AS, a 39-bit kernel and existing mappings, and costs some 130 system calls;
 * so one call first tries whether there is enough.
 */
#include "board/host/limits.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/vhost.h"
#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"

#define STRETCHES    4
#define STRETCH_MAX  (128 * TiB) /* no window is larger: 48-bit guests */
#define STRETCH_STEP (1 * GiB)

static void *reserve(uint64_t size)
{
	void *addr = mmap(
		NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

/* Reserves the longest stretch that is free now, a multiple of STRETCH_STEP. The caller unmaps it. */
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

void host_address_space(
	const struct host_limits *host, uint64_t enough, uint64_t *ret_all, uint64_t *ret_run)
{
	void *addr[STRETCHES] = { NULL };
	uint64_t size[STRETCHES] = { 0 };

	if (host->address_space) {
		*ret_all = host->address_space;
		*ret_run = host->address_run ? host->address_run : UINT64_MAX;
		return;
	}
	*ret_all = *ret_run = UINT64_MAX;
	addr[0] = reserve(enough);
	if (addr[0]) {
		munmap(addr[0], enough);
		return;
	}
	*ret_all = 0;
	for (int i = 0; i < STRETCHES; i++) {
		size[i] = reserve_longest(&addr[i]);
		*ret_all += size[i];
	}
	*ret_run = size[0];
	for (int i = 0; i < STRETCHES; i++)
		if (addr[i])
			munmap(addr[i], size[i]);
}

/* The running host's answer, asked for once. */
static struct {
	struct kvm_gics gics;
	bool asked;
	int vm; /* 0: none */
	unsigned ipa_bits;
} asked;

void host_gics(const struct host_limits *host, unsigned ipa_bits, struct kvm_gics *ret)
{
	*ret = (struct kvm_gics){ host->gicv2, host->gicv3, host->its };
	if (ret->v2 || ret->v3 || !host->files)
		return;
	if (!asked.asked && host->kvm.ipa_bits) {
		asked.ipa_bits = ipa_bits < host->kvm.ipa_bits ? ipa_bits : host->kvm.ipa_bits;
		kvm_probe_gics(asked.ipa_bits, &asked.gics, &asked.vm);
	}
	asked.asked = true;
	*ret = asked.gics;
}

int host_take_vm(unsigned ipa_bits)
{
	int vm = asked.vm;

	asked.vm = 0;
	if (vm && asked.ipa_bits == ipa_bits)
		return vm;
	if (vm)
		close(vm);
	return 0;
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
		.cpu_features = err ? UINT_MAX : kvm.cpu_features,
		.cpus = err ? 0 : (unsigned)sysconf(_SC_NPROCESSORS_CONF),
		.kvm = kvm,
		.files = true,
	};
	identity_read_host("", ret->id);
	return err;
}
