/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind guest memory: RAM, which is plugged from the start, and the blocks of a window. Unplugged blocks are
 * the same for every kind: private anonymous pages without write access, mapped over the block.
 *
 *   backing   | a plugged block                  | its memory is the host's when | short of memory
 *   ----------+----------------------------------+-------------------------------+----------------
 *   anonymous | private anonymous                | plugged (commit charge)       | plug fails
 *   memfd     | shared, of one sealed memfd      | written                       | a host fault
 *   hugetlb   | private huge pages of the pool   | plugged (reserved in the pool)| plug fails
 *   file      | shared, of a file; of RAM alone  | written                       | a host fault
 *
 * Used by the event loop's thread only.
 */
#ifndef SLUICE_HYP_MEMORY_BACKING_H
#define SLUICE_HYP_MEMORY_BACKING_H

#include <stdbool.h>
#include <stdint.h>

enum backing_kind { BACKING_ANONYMOUS, BACKING_MEMFD, BACKING_HUGETLB, BACKING_FILE };

struct backing {
	enum backing_kind kind;
	int protection; /* of unplugged blocks: PROT_READ or PROT_NONE */
	uint8_t *hva;
	uint64_t size;	/* bytes */
	int fd;		/* of a memfd or file, whose byte 0 is at hva; else -1 */
	bool mergeable; /* addrspace_make_mergeable() after each plug; anonymous only */
};

/*
 * Reserves `size` bytes of address space for guest memory at `gpa`, nothing of it plugged.
 *   -ENOMEM  the process has not that much address space
 *   -EINVAL  huge pages: `block_bytes` is not a multiple of backing_huge_page_bytes()
 *   -ENOTSUP the host has no huge pages, or no memfd
 */
int backing_create(struct backing *ret, enum backing_kind kind, uint64_t gpa, uint64_t size,
	uint64_t block_bytes, int protection);
/*
 * RAM of a machine: all of it plugged, all zeros. `fd` is the file, open for reading and writing; the backing owns it
 * from here on, on errors too. -1 for other kinds. The first `size` bytes of the file are emptied, and shared with
 * processes that have it open; a lock prevents other machines from using it as RAM. It cannot be sealed: if it is
 * truncated later, that is a host fault. Errors are those above, those of mapping and locking, and:
 *   -EINVAL     huge pages: gpa or size is not a multiple of one; a file: it is no plain file
 *   -ERANGE     the file has fewer bytes
 *   -EBUSY      the file is locked
 *   -EOPNOTSUPP its file system cannot empty a part of a file
 *   -ENOMEM     the host does not commit it, or the pool has not as many huge pages
 */
int backing_create_ram(
	struct backing *ret, enum backing_kind kind, uint64_t gpa, uint64_t size, int fd);
void backing_destroy(struct backing *backing);

/* The size of the host's huge pages (its default one); 0: it has none. */
uint64_t backing_huge_page_bytes(void);

/*
 * Before backing_plug(), of the same blocks or of parts of them in turn: drops page tables of zeros that a guest read.
 * False: there were none.
 */
bool backing_prepare_plug(struct backing *backing, uint64_t offset, uint64_t size);

/*
 * Makes unplugged blocks writable, all zeros. On -errno they may be in any state, a hole included,
 * and have to be protected again before anything else is done.
 */
int backing_plug(struct backing *backing, uint64_t offset, uint64_t size);

/* Protects blocks and discards their contents, in one step. On -errno nothing has changed. See addrspace_discard(). */
int backing_protect(struct backing *backing, uint64_t offset, uint64_t size);

/*
 * Frees the memory of plugged blocks, or of whole pages in one: it then reads as zeros; on -errno it is unchanged.
 * -ENOTSUP: huge pages would stay reserved for the mapping, so no other process would gain them, and Linux before 6.9
 * would even lose the reservation.
 */
int backing_discard(struct backing *backing, uint64_t offset, uint64_t size);

/*
 * Empties a piece of RAM, so that the host has its memory again. For a reset, with nothing running in it: the pieces
 * come in their order, and after the last one all of it reads as zeros. Of huge pages a piece is whole ones, and RAM is
 * not mapped until the last. On -errno it may be in any state, and nothing may run in it again.
 */
int backing_empty_ram(struct backing *backing, uint64_t offset, uint64_t size);

/* After backing_protect(): frees memory that outlives the mapping (memfd pages). On -errno call it again. */
int backing_release(struct backing *backing, uint64_t offset, uint64_t size);

#endif
