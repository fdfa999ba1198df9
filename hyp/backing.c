/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind a window's blocks; see backing.h. */
#include "hyp/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/addrspace.h"
#include "hyp/kvm.h"
#include "hyp/util.h"

uint64_t backing_huge_page_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Hugepagesize: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * KiB;
}

/* Sealed: no process that is ever given the file can cut off what the guest owns. */
static int create_memfd(uint64_t size)
{
	int fd = memfd_create("sluice-window", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int backing_create(struct backing *ret, enum backing_kind kind, uint64_t gpa, uint64_t size,
	uint64_t block_bytes, int protection)
{
	uint64_t align = kind == BACKING_HUGETLB ? backing_huge_page_bytes() : 0;
	int err;

	*ret = (struct backing){ kind, protection, .size = size, .fd = -1 };
	if (kind == BACKING_HUGETLB && !align)
		return -ENOTSUP;
	if (kind == BACKING_HUGETLB && block_bytes % align)
		return -EINVAL;
	if (kind == BACKING_MEMFD) {
		ret->fd = create_memfd(size);
		if (ret->fd < 0)
			return ret->fd;
	}
	err = addrspace_reserve(gpa, size, align, protection, &ret->hva);
	if (err && ret->fd >= 0) {
		close(ret->fd);
		ret->fd = -1;
	}
	return err;
}

void backing_destroy(struct backing *backing)
{
	if (!backing->hva)
		return;
	addrspace_unmap(backing->hva, backing->size);
	if (backing->fd >= 0)
		close(backing->fd);
}

/*
 * The pages are reserved where nothing is yet and then moved, since a mapping that is refused its
 * reservation has unmapped what was there.
 */
static int plug_huge_pages(uint8_t *hva, uint64_t size)
{
	void *reserved;
	int err = kvm_seam->map(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0, &reserved);

	if (err)
		return err;
	err = kvm_seam->move(reserved, size, hva);
	if (err)
		kvm_seam->unmap(reserved, size);
	return err;
}

int backing_plug(struct backing *backing, uint64_t offset, uint64_t size)
{
	uint8_t *hva = backing->hva + offset;
	int err;

	switch (backing->kind) {
	case BACKING_ANONYMOUS:
		return addrspace_make_writable(hva, size);
	case BACKING_HUGETLB:
		return plug_huge_pages(hva, size);
	case BACKING_MEMFD:
		err = kvm_seam->map(
			hva, size, PROT_READ | PROT_WRITE, MAP_SHARED, backing->fd, offset, NULL);
		if (!err) /* a host whose shared memory has no huge pages refuses: no loss */
			kvm_seam->advise(hva, size, MADV_HUGEPAGE);
		return err;
	}
	return -EINVAL;
}

int backing_protect(struct backing *backing, uint64_t offset, uint64_t size)
{
	return addrspace_discard(backing->hva + offset, size, backing->protection);
}

int backing_discard(struct backing *backing, uint64_t offset, uint64_t size)
{
	switch (backing->kind) {
	case BACKING_ANONYMOUS:
		return addrspace_empty(backing->hva + offset, size);
	case BACKING_MEMFD:
		return kvm_seam->punch(backing->fd, offset, size);
	case BACKING_HUGETLB:
		break;
	}
	return -ENOTSUP;
}

int backing_release(struct backing *backing, uint64_t offset, uint64_t size)
{
	return backing->fd < 0 ? 0 : kvm_seam->punch(backing->fd, offset, size);
}
