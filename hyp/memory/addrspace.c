/* SPDX-License-Identifier: Apache-2.0 */
/* Host address space for guest memory; see addrspace.h. */
#include "hyp/memory/addrspace.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static bool dumped; /* core files contain guest memory */

/* A page of the second level: a table of page / 8 entries (Arm ARM, D8: 2, 32 and 512 MiB). */
static uint64_t huge_page_bytes(void)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return page * page / 8;
}

int addrspace_reserve(uint64_t gpa, uint64_t size, uint64_t align, int protection, uint8_t **ret)
{
	uint64_t skip;
	void *at;
	int err;

	if (align < huge_page_bytes())
		align = huge_page_bytes();
	if (size + align < size)
		return -ENOMEM;
	err = kvm_seam->map(NULL, size + align, protection, ANONYMOUS, -1, 0, &at);
	if (err)
		return err;
	/* Unmap the surplus at both ends. */
	skip = (gpa - (uintptr_t)at) & (align - 1);
	if (skip)
		kvm_seam->unmap(at, skip);
	if (align - skip)
		kvm_seam->unmap((uint8_t *)at + skip + size, align - skip);
	*ret = (uint8_t *)at + skip;
	return 0;
}

int addrspace_discard(uint8_t *hva, uint64_t size, int protection)
{
	CHECK(!(protection & PROT_WRITE));
	return kvm_seam->map(hva, size, protection, ANONYMOUS, -1, 0, NULL);
}

/* Whether any page is present, even of zeros that were only read. Cheaper than a discard, which would notify KVM. */
static bool is_touched(uint8_t *hva, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), part;
	unsigned char present[4096];

	for (; size; hva += part, size -= part) {
		part = size < sizeof(present) * page ? size : sizeof(present) * page;
		if (mincore(hva, part, present) != 0 ||
			memchr(present, 1, (part + page - 1) / page))
			return true;
	}
	return false;
}

int addrspace_make_writable(uint8_t *hva, uint64_t size)
{
	int err = kvm_seam->protect(hva, size, PROT_READ | PROT_WRITE);

	if (!err) /* a host without huge pages refuses the advice: no loss */
		kvm_seam->advise(hva, size, MADV_HUGEPAGE);
	if (!err)
		addrspace_hide(hva, size);
	return err;
}

int addrspace_allocate(uint64_t gpa, uint64_t size, uint8_t **ret)
{
	uint8_t *hva;
	int err = addrspace_reserve(gpa, size, 0, PROT_NONE, &hva);

	if (err)
		return err;
	err = addrspace_make_writable(hva, size);
	if (err)
		addrspace_unmap(hva, size);
	else
		*ret = hva;
	return err;
}

bool addrspace_drop_zeros(uint8_t *hva, uint64_t size)
{
	bool touched = is_touched(hva, size);

	if (touched)
		kvm_seam->advise(hva, size, MADV_DONTNEED);
	return touched;
}

void addrspace_dump_guests(void)
{
	dumped = true;
}

void addrspace_hide(void *hva, uint64_t size)
{
	if (!dumped)
		kvm_seam->advise(hva, size, MADV_DONTDUMP);
}

void addrspace_make_mergeable(uint8_t *hva, uint64_t size)
{
	kvm_seam->advise(hva, size, MADV_MERGEABLE);
}

int addrspace_empty(uint8_t *hva, uint64_t size)
{
	/* Of locked memory (mlockall) too: Linux 5.18. */
	if (kvm_seam->advise(hva, size, MADV_DONTNEED_LOCKED) == 0)
		return 0;
	return kvm_seam->advise(hva, size, MADV_DONTNEED);
}

int addrspace_peek(const uint8_t *hva, void *ret_buf, size_t len)
{
	struct iovec to = { ret_buf, len }, from = { (void *)(uintptr_t)hva, len };

	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)len)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -EFAULT;
	memcpy(ret_buf, hva, len); /* a kernel without CONFIG_CROSS_MEMORY_ATTACH, or a filter */
	return 0;
}

void addrspace_unmap(uint8_t *hva, uint64_t size)
{
	kvm_seam->unmap(hva, size);
}
