/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind guest memory; see backing.h. */
#include "hyp/memory/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/addrspace.h"

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

/* Sealed, so that no process that gets the file can truncate the guest's memory. */
static int create_memfd(uint64_t size)
{
	int fd = memfd_create("sluice-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	if (RETRY_EINTR(ftruncate(fd, (off_t)size)) < 0 ||
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

/* Locks the file against other machines, and empties its first `size` bytes. */
static int take_file(int fd, uint64_t size)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	if ((uint64_t)stat.st_size < size)
		return -ERANGE;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	return kvm_seam->punch(fd, 0, size);
}

static int create_whole(struct backing *backing, uint64_t gpa, int fd)
{
	uint64_t size = backing->size;
	int err;

	/* New memory: unlike backing_plug(), this need not check for touched pages. */
	if (backing->kind == BACKING_ANONYMOUS)
		return addrspace_allocate(gpa, size, &backing->hva);
	if (backing->kind == BACKING_HUGETLB && gpa % (backing_huge_page_bytes() ?: 1))
		return -EINVAL;
	err = backing->kind == BACKING_FILE ? take_file(fd, size) : 0;
	if (!err)
		err = backing_create(backing, backing->kind, gpa, size, size, PROT_NONE);
	if (err)
		return err;
	if (backing->kind == BACKING_FILE)
		backing->fd = fd;
	err = backing_plug(backing, 0, size);
	if (err && backing->kind != BACKING_FILE && backing->fd >= 0)
		close(backing->fd);
	if (err)
		addrspace_unmap(backing->hva, size);
	return err;
}

int backing_create_ram(
	struct backing *ret, enum backing_kind kind, uint64_t gpa, uint64_t size, int fd)
{
	struct backing backing = { kind, PROT_NONE, .size = size, .fd = -1 };
	int err = create_whole(&backing, gpa, fd);

	if (!err)
		*ret = backing;
	else if (fd >= 0)
		close(fd);
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
 * Reserves the pages at a free address, then moves them into place: if mmap() over the block failed to reserve them, it
 * would already have unmapped what was there.
 */
static int plug_huge_pages(uint8_t *hva, uint64_t size)
{
	void *reserved;
	int err = kvm_seam->map(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0, &reserved);

	if (err)
		return err;
	addrspace_hide(reserved, size);
	err = kvm_seam->move(reserved, size, hva);
	if (err)
		kvm_seam->unmap(reserved, size);
	return err;
}

bool backing_prepare_plug(struct backing *backing, uint64_t offset, uint64_t size)
{
	return addrspace_drop_zeros(backing->hva + offset, size);
}

int backing_plug(struct backing *backing, uint64_t offset, uint64_t size)
{
	uint8_t *hva = backing->hva + offset;
	int err;

	switch (backing->kind) {
	case BACKING_ANONYMOUS:
		err = addrspace_make_writable(hva, size);
		if (!err && backing->mergeable)
			addrspace_make_mergeable(hva, size);
		return err;
	case BACKING_HUGETLB:
		return plug_huge_pages(hva, size);
	case BACKING_MEMFD:
	case BACKING_FILE:
		err = kvm_seam->map(
			hva, size, PROT_READ | PROT_WRITE, MAP_SHARED, backing->fd, offset, NULL);
		if (!err) /* a host whose shared memory has no huge pages refuses: no loss */
			kvm_seam->advise(hva, size, MADV_HUGEPAGE);
		if (!err)
			addrspace_hide(hva, size);
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
	case BACKING_FILE:
		return kvm_seam->punch(backing->fd, offset, size);
	case BACKING_HUGETLB:
		break;
	}
	return -ENOTSUP;
}

int backing_empty_ram(struct backing *backing, uint64_t offset, uint64_t size)
{
	int err;

	if (backing->kind != BACKING_HUGETLB)
		return backing_discard(backing, offset, size);
	/*
	 * Frees the pages first: the pool may not have as many again. Mapped in pieces, they would be as many mappings, since
	 * the kernel joins none of huge pages.
	 */
	err = backing_protect(backing, offset, size);
	if (err || offset + size < backing->size)
		return err;
	return backing_plug(backing, 0, backing->size);
}

int backing_release(struct backing *backing, uint64_t offset, uint64_t size)
{
	return backing->fd < 0 ? 0 : kvm_seam->punch(backing->fd, offset, size);
}
