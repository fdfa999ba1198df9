/* SPDX-License-Identifier: Apache-2.0 */
/* Host address space for guest memory; see addrspace.h. */
#include "hyp/addrspace.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/kvm.h"
#include "hyp/util.h"

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

/* A page of the second level: a table of page / 8 entries (Arm ARM, D8: 2, 32 and 512 MiB). */
static uint64_t huge_page_bytes(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return page * page / 8;
}

int addrspace_map(uint64_t gpa, uint64_t size, int protection, int flags, uint8_t **ret)
{
	uint64_t align = huge_page_bytes(), skip;
	void *at;
	int err;

	if (size + align < size)
		return -ENOMEM;
	/* More than is needed, without a charge; the ends are given back. */
	err = kvm_seam->map(NULL, size + align, PROT_NONE, ANONYMOUS | MAP_NORESERVE, &at);
	if (err)
		return err;
	skip = (gpa - (uintptr_t)at) & (align - 1);
	if (skip)
		kvm_seam->unmap(at, skip);
	if (align - skip)
		kvm_seam->unmap((uint8_t *)at + skip + size, align - skip);
	at = (uint8_t *)at + skip;
	err = addrspace_replace(at, size, protection, flags);
	if (err) {
		addrspace_unmap(at, size);
		return err;
	}
	*ret = at;
	return 0;
}

int addrspace_replace(uint8_t *hva, uint64_t size, int protection, int flags)
{
	return kvm_seam->map(hva, size, protection, ANONYMOUS | flags, NULL);
}

int addrspace_replace_memory(uint8_t *hva, uint64_t size)
{
	int err = addrspace_replace(hva, size, PROT_READ | PROT_WRITE, 0);

	if (!err) /* a host without huge pages refuses the advice: no loss */
		kvm_seam->advise(hva, size, MADV_HUGEPAGE);
	return err;
}

void addrspace_unmap(uint8_t *hva, uint64_t size)
{
	kvm_seam->unmap(hva, size);
}
