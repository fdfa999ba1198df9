/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a window's blocks, as others than the window see it: through the file of a memfd, by
 * where it lies, and by the calls that the seam gets. What needs a pool of huge pages is played.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/memory/addrspace.h"
#include "hyp/memory/backing.h"
#include "hyp/memory/guestmem.h"
#include "tests/unit/helpers/unit.h"

#define GPA   (4 * GiB)
#define BLOCK (2 * MiB)
#define SIZE  (8 * MiB)

/* --- a seam that keeps an account --- */

static struct kvm_seam seam;
static struct call {
	char name; /* of map, move, unmap, protect, advise */
	uint8_t *at;
	uint64_t size;
	int prot, flags, advice;
} calls[16];
static unsigned count;
static char refused;	    /* calls of this name fail */
static unsigned refuse_map; /* this one from now on; 0: none */
static int refused_advice;
static uint8_t pool[1]; /* where the pool's pages are reserved: never touched */

static struct call *note(char name, void *at, uint64_t size)
{
	CHECK(count < ARRAY_SIZE(calls));
	calls[count] = (struct call){ .name = name, .at = at, .size = size };
	return &calls[count++];
}

static int note_map(
	void *addr, size_t size, int prot, int flags, int fd, uint64_t offset, void **ret)
{
	struct call *call = note('m', addr, size);

	call->prot = prot;
	call->flags = flags;
	if (refused == 'm' || (refuse_map && !--refuse_map))
		return -ENOMEM;
	if (!(flags & MAP_HUGETLB))
		return kvm_kernel.map(addr, size, prot, flags, fd, offset, ret);
	*ret = pool;
	return 0;
}

static int note_move(void *from, size_t size, void *to)
{
	assert_ptr_equal(from, pool);
	note('v', to, size);
	return refused == 'v' ? -ENOMEM : 0;
}

static int note_unmap(void *addr, size_t size)
{
	note('u', addr, size);
	return addr == pool ? 0 : kvm_kernel.unmap(addr, size);
}

static int note_protect(void *addr, size_t size, int prot)
{
	note('p', addr, size)->prot = prot;
	return refused == 'p' ? -ENOMEM : kvm_kernel.protect(addr, size, prot);
}

static int note_advise(void *addr, size_t size, int advice)
{
	note('a', addr, size)->advice = advice;
	return refused == 'a' && (!refused_advice || advice == refused_advice)
		       ? -EINVAL
		       : kvm_kernel.advise(addr, size, advice);
}

static void install(void)
{
	seam = kvm_kernel;
	seam.map = note_map;
	seam.move = note_move;
	seam.unmap = note_unmap;
	seam.protect = note_protect;
	seam.advise = note_advise;
	kvm_seam = &seam;
	count = 0;
	refused = 0;
	refused_advice = 0;
	refuse_map = 0;
}

/* --- a memfd --- */

static uint64_t held(const struct backing *backing)
{
	struct stat stat;

	assert_int_equal(fstat(backing->fd, &stat), 0);
	return (uint64_t)stat.st_blocks * 512;
}

/* A process that has the memfd sees the guest's memory, and not a copy. */
static void a_memfd_is_the_memory(void **state)
{
	struct backing backing;
	uint8_t byte;

	kvm_seam = &kvm_kernel;
	assert_int_equal(backing_create(&backing, BACKING_MEMFD, GPA, SIZE, BLOCK, PROT_READ), 0);
	assert_int_equal(backing_plug(&backing, BLOCK, 2 * BLOCK), 0);
	memset(backing.hva + BLOCK, 0x5a, 2 * BLOCK);
	assert_int_equal(pread(backing.fd, &byte, 1, BLOCK), 1);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(pread(backing.fd, &byte, 1, 3 * BLOCK - 1), 1);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(pread(backing.fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
	byte = 0x77;
	assert_int_equal(pwrite(backing.fd, &byte, 1, 2 * BLOCK), 1);
	assert_int_equal(backing.hva[2 * BLOCK], 0x77);
	assert_int_equal(held(&backing), 2 * BLOCK);
	/* A discarded page leaves the file too. */
	assert_int_equal(backing_discard(&backing, 2 * BLOCK, BLOCK / 2), 0);
	assert_int_equal(held(&backing), 2 * BLOCK - BLOCK / 2);
	assert_int_equal(backing.hva[2 * BLOCK - 1], 0x5a);
	assert_int_equal(backing.hva[2 * BLOCK + BLOCK / 2], 0x5a);
	/* And so it does what is unplugged. */
	assert_int_equal(backing_protect(&backing, BLOCK, BLOCK), 0);
	assert_int_equal(held(&backing), 2 * BLOCK - BLOCK / 2);
	assert_int_equal(backing_release(&backing, BLOCK, BLOCK), 0);
	assert_int_equal(held(&backing), BLOCK / 2);
	assert_int_equal(backing.hva[BLOCK], 0);
	assert_int_equal(backing.hva[2 * BLOCK], 0); /* its page is there again */
	backing_destroy(&backing);
}

/* Nobody cuts off, lengthens, or takes a seal from what the guest owns. */
static void a_memfd_is_sealed(void **state)
{
	struct backing backing;
	struct stat stat;
	int fd;

	kvm_seam = &kvm_kernel;
	assert_int_equal(backing_create(&backing, BACKING_MEMFD, GPA, SIZE, BLOCK, PROT_READ), 0);
	fd = backing.fd;
	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(stat.st_size, SIZE);
	assert_int_equal(ftruncate(fd, SIZE - BLOCK), -1);
	assert_int_equal(ftruncate(fd, SIZE + BLOCK), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	backing_destroy(&backing);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* Nothing is left of what could not be created. */
static void a_refused_reservation_leaves_nothing(void **state)
{
	int next = dup(STDIN_FILENO), after;
	struct backing backing;

	close(next);
	install();
	refused = 'm';
	assert_int_equal(
		backing_create(&backing, BACKING_MEMFD, GPA, SIZE, BLOCK, PROT_READ), -ENOMEM);
	assert_int_equal(backing.fd, -1);
	after = dup(STDIN_FILENO);
	close(after);
	assert_int_equal(after, next);
	backing_destroy(&backing);
	/* More than there are addresses. */
	kvm_seam = &kvm_kernel;
	assert_int_equal(backing_create(&backing, BACKING_ANONYMOUS, GPA, UINT64_MAX - BLOCK + 1,
				 BLOCK, PROT_READ),
		-ENOMEM);
}

/* --- calls and their order --- */

/* Moved over what is there once it is reserved, and released if it cannot be. */
static void huge_pages_are_reserved_elsewhere_first(void **state)
{
	struct backing backing = {
		.kind = BACKING_HUGETLB, .hva = (uint8_t *)GPA, .size = SIZE, .fd = -1
	};

	install();
	assert_int_equal(backing_plug(&backing, BLOCK, 2 * BLOCK), 0);
	assert_int_equal(count, 3);
	assert_int_equal(calls[0].name, 'm');
	assert_null(calls[0].at);
	assert_int_equal(calls[0].size, 2 * BLOCK);
	assert_int_equal(calls[0].prot, PROT_READ | PROT_WRITE);
	assert_int_equal(calls[0].flags, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	assert_int_equal(calls[1].advice, MADV_DONTDUMP); /* which moves along */
	assert_ptr_equal(calls[1].at, pool);
	assert_int_equal(calls[1].size, 2 * BLOCK);
	assert_int_equal(calls[2].name, 'v');
	assert_ptr_equal(calls[2].at, backing.hva + BLOCK);
	assert_int_equal(calls[2].size, 2 * BLOCK);
	count = 0;
	refused = 'v';
	assert_int_equal(backing_plug(&backing, BLOCK, 2 * BLOCK), -ENOMEM);
	assert_int_equal(count, 4);
	assert_int_equal(calls[3].name, 'u');
	assert_ptr_equal(calls[3].at, pool);
	assert_int_equal(calls[3].size, 2 * BLOCK);
	count = 0;
	refused = 'm';
	assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), -ENOMEM);
	assert_int_equal(count, 1);
	/* Plugging reserved them. */
	assert_int_equal(backing_discard(&backing, 0, BLOCK), -ENOTSUP);
	assert_int_equal(backing_release(&backing, 0, BLOCK), 0);
}

static void guest_and_host_agree_modulo_a_huge_page(void **state)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), huge = page * page / 8;
	const uint64_t aligns[] = { 0, huge, 8 * huge };

	for (unsigned i = 0; i < ARRAY_SIZE(aligns); i++)
		for (uint64_t gpa = GPA; gpa < GPA + 2 * huge; gpa += huge / 2) {
			uint64_t align = aligns[i] > huge ? aligns[i] : huge, given = 0;
			uint8_t *hva = NULL;

			install();
			assert_int_equal(
				addrspace_reserve(gpa, SIZE, aligns[i], PROT_READ, &hva), 0);
			assert_int_equal(((uintptr_t)hva - gpa) % align, 0);
			/* What was too much is released, at both ends. */
			assert_int_equal(calls[0].name, 'm');
			assert_int_equal(calls[0].flags, MAP_PRIVATE | MAP_ANONYMOUS);
			for (unsigned j = 1; j < count; j++) {
				assert_int_equal(calls[j].name, 'u');
				assert_true(calls[j].at + calls[j].size <= hva ||
					    calls[j].at >= hva + SIZE);
				given += calls[j].size;
			}
			assert_int_equal(given, calls[0].size - SIZE);
			addrspace_unmap(hva, SIZE);
		}
}

static void huge_pages_are_asked_for(void **state)
{
	struct backing backing;

	install();
	assert_int_equal(
		backing_create(&backing, BACKING_ANONYMOUS, GPA, SIZE, BLOCK, PROT_READ), 0);
	/* Not touched: nothing to discard, and KVM is not notified. */
	count = 0;
	assert_false(backing_prepare_plug(&backing, 0, BLOCK));
	assert_int_equal(backing_plug(&backing, 0, BLOCK), 0);
	assert_int_equal(count, 3);
	assert_int_equal(calls[0].name, 'p');
	assert_int_equal(calls[0].prot, PROT_READ | PROT_WRITE);
	assert_int_equal(calls[1].advice, MADV_HUGEPAGE);
	assert_int_equal(calls[1].size, BLOCK);
	/* Zeros that were read, if only in the last page, go before. */
	count = 0;
	assert_int_equal(*(volatile uint8_t *)(backing.hva + 2 * BLOCK - 1), 0);
	assert_true(backing_prepare_plug(&backing, BLOCK, BLOCK));
	assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), 0);
	assert_int_equal(count, 4);
	assert_int_equal(calls[0].advice, MADV_DONTNEED);
	assert_ptr_equal(calls[0].at, backing.hva + BLOCK);
	assert_int_equal(calls[0].size, BLOCK);
	/* No loss where the host has none; where it does not commit, nothing is asked for. */
	count = 0;
	refused = 'a';
	assert_int_equal(backing_plug(&backing, 2 * BLOCK, BLOCK), 0);
	count = 0;
	refused = 'p';
	assert_int_equal(backing_plug(&backing, 3 * BLOCK, BLOCK), -ENOMEM);
	assert_int_equal(count, 1);
	refused = 0;
	backing_destroy(&backing);

	assert_int_equal(backing_create(&backing, BACKING_MEMFD, GPA, SIZE, BLOCK, PROT_READ), 0);
	count = 0;
	assert_int_equal(backing_plug(&backing, 0, BLOCK), 0);
	assert_int_equal(count, 3);
	assert_int_equal(calls[0].flags, MAP_SHARED);
	assert_int_equal(calls[1].advice, MADV_HUGEPAGE);
	refused = 'a';
	assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), 0);
	count = 0;
	refused = 'm';
	assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), -ENOMEM);
	assert_int_equal(count, 1);
	refused = 0;
	backing_destroy(&backing);
}

/* Locked memory too, or, where the kernel knows no such advice, what is not locked. */
/* How much of [hva, hva + SIZE) this process could write, and how much of that its core file would have. */
static void count_dumped(const uint8_t *hva, uint64_t *ret_writable, uint64_t *ret_dumped)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long from = 0, to = 0, first, end;
	char line[512], mode[8] = "";

	*ret_writable = *ret_dumped = 0;
	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		bool here = from >= (uintptr_t)hva && to <= (uintptr_t)hva + SIZE && mode[1] == 'w';

		if (!strncmp(line, "VmFlags:", 8) && here) {
			*ret_writable += to - from;
			*ret_dumped += strstr(line, " dd") ? 0 : to - from;
		}
		if (strchr(line, '-') && sscanf(line, "%lx-%lx %7s", &first, &end, mode) == 3) {
			from = first;
			to = end;
		}
	}
	fclose(smaps);
}

static void assert_hidden(const struct backing *backing, uint64_t expected)
{
	uint64_t writable, dumped;

	count_dumped(backing->hva, &writable, &dumped);
	assert_int_equal(writable, expected);
	assert_int_equal(dumped, 0);
}

/* However often it was mapped over. */
static void core_files_have_no_guest_memory(void **state)
{
	static const enum backing_kind kinds[] = { BACKING_ANONYMOUS, BACKING_MEMFD };
	uint64_t writable, dumped;
	struct backing backing;

	kvm_seam = &kvm_kernel;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(
			backing_create(&backing, kinds[i], GPA, SIZE, BLOCK, PROT_READ), 0);
		assert_int_equal(backing_plug(&backing, 0, 3 * BLOCK), 0);
		assert_hidden(&backing, 3 * BLOCK);
		memset(backing.hva, 1, 3 * BLOCK);
		assert_int_equal(backing_discard(&backing, 0, BLOCK), 0);
		assert_int_equal(backing_protect(&backing, BLOCK, BLOCK), 0);
		assert_int_equal(backing_release(&backing, BLOCK, BLOCK), 0);
		assert_hidden(&backing, 2 * BLOCK);
		assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), 0);
		assert_int_equal(backing_plug(&backing, 3 * BLOCK, BLOCK), 0);
		assert_hidden(&backing, 4 * BLOCK);
		backing_destroy(&backing);
	}
	/* But where dumps are asked for; from then on. */
	addrspace_dump_guests();
	assert_int_equal(
		backing_create(&backing, BACKING_ANONYMOUS, GPA, SIZE, BLOCK, PROT_READ), 0);
	assert_int_equal(backing_plug(&backing, 0, BLOCK), 0);
	count_dumped(backing.hva, &writable, &dumped);
	assert_int_equal(writable, BLOCK);
	assert_int_equal(dumped, BLOCK);
	backing_destroy(&backing);
}

static void memory_is_emptied_one_way_or_the_other(void **state)
{
	enum { MADV_DONTNEED_LOCKED_ = 24 };
	struct backing backing;

	install();
	assert_int_equal(
		backing_create(&backing, BACKING_ANONYMOUS, GPA, SIZE, BLOCK, PROT_READ), 0);
	assert_int_equal(backing_plug(&backing, 0, BLOCK), 0);
	for (unsigned i = 0; i < 2; i++) {
		backing.hva[0] = backing.hva[BLOCK - 1] = 0x5a;
		count = 0;
		refused = i ? 'a' : 0;
		refused_advice = MADV_DONTNEED_LOCKED_;
		assert_int_equal(backing_discard(&backing, 0, BLOCK), 0);
		assert_int_equal(calls[0].advice, MADV_DONTNEED_LOCKED_);
		if (i)
			assert_int_equal(calls[1].advice, MADV_DONTNEED);
		assert_int_equal(backing.hva[0], 0);
		assert_int_equal(backing.hva[BLOCK - 1], 0);
	}
	backing.hva[0] = 0x5a;
	refused_advice = 0;
	assert_int_equal(backing_discard(&backing, 0, BLOCK), -EINVAL);
	assert_int_equal(backing.hva[0], 0x5a);
	refused = 0;
	backing_destroy(&backing);
}

/* One mapping over it, private and without anybody's right to write, whatever the backing. */
static void protected_in_one_step(void **state)
{
	static const enum backing_kind kinds[] = { BACKING_ANONYMOUS, BACKING_MEMFD };
	static const int protections[] = { PROT_READ, PROT_NONE };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds) * ARRAY_SIZE(protections); i++) {
		struct backing backing;

		install();
		assert_int_equal(backing_create(&backing, kinds[i / 2], GPA, SIZE, BLOCK,
					 protections[i % 2]),
			0);
		assert_int_equal(calls[0].prot, protections[i % 2]);
		assert_int_equal(backing_plug(&backing, BLOCK, 2 * BLOCK), 0);
		memset(backing.hva + BLOCK, 0x5a, 2 * BLOCK);
		count = 0;
		assert_int_equal(backing_protect(&backing, BLOCK, BLOCK), 0);
		assert_int_equal(count, 1);
		assert_int_equal(calls[0].name, 'm');
		assert_ptr_equal(calls[0].at, backing.hva + BLOCK);
		assert_int_equal(calls[0].size, BLOCK);
		assert_int_equal(calls[0].prot, protections[i % 2]);
		assert_int_equal(calls[0].flags, MAP_PRIVATE | MAP_ANONYMOUS);
		assert_int_equal(backing.hva[2 * BLOCK], 0x5a);
		refused = 'm';
		assert_int_equal(backing_protect(&backing, 2 * BLOCK, BLOCK), -ENOMEM);
		assert_int_equal(backing.hva[2 * BLOCK], 0x5a);
		refused = 0;
		backing_destroy(&backing);
	}
}

/* What the host cannot provide is an error to the reader, and not a signal. */
static void a_read_of_what_is_not_there(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = mmap(
		NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t value = 1;

	assert_true(at != MAP_FAILED);
	memset(at, 0x11, 2 * page);
	assert_int_equal(addrspace_peek(at + page - 8, &value, 8), 0);
	assert_int_equal(value, UINT64_C(0x1111111111111111));
	assert_int_equal(mprotect(at + page, page, PROT_NONE), 0);
	assert_int_equal(addrspace_peek(at + page - 8, &value, 8), 0);
	assert_int_equal(addrspace_peek(at + page - 4, &value, 8), -EFAULT);
	assert_int_equal(addrspace_peek(at + page, &value, 8), -EFAULT);
	munmap(at, 2 * page);
}

/* Fresh pages are as the kernel makes them: each plug asks anew, and nothing else does. */
static void mergeable_after_each_plug(void **unused)
{
	struct backing backing;

	install();
	assert_int_equal(
		backing_create(&backing, BACKING_ANONYMOUS, GPA, SIZE, BLOCK, PROT_READ), 0);
	backing.mergeable = true;
	for (unsigned round = 0; round < 2; round++) {
		count = 0;
		assert_int_equal(backing_plug(&backing, BLOCK, BLOCK), 0);
		assert_int_equal(calls[count - 1].advice, MADV_MERGEABLE);
		assert_ptr_equal(calls[count - 1].at, backing.hva + BLOCK);
		assert_int_equal(calls[count - 1].size, BLOCK);
		count = 0;
		assert_int_equal(backing_discard(&backing, BLOCK, BLOCK), 0);
		assert_int_equal(backing_protect(&backing, BLOCK, BLOCK), 0);
		for (unsigned i = 0; i < count; i++)
			assert_true(calls[i].name != 'a' || calls[i].advice != MADV_MERGEABLE);
	}
	/* A host without it refuses: no loss. One that does not give the memory is asked for no more. */
	refused = 'a';
	assert_int_equal(backing_plug(&backing, 0, BLOCK), 0);
	refused = 'p';
	count = 0;
	assert_int_equal(backing_plug(&backing, 2 * BLOCK, BLOCK), -ENOMEM);
	assert_int_equal(count, 1);
	refused = 0;
	backing_destroy(&backing);
}

/* --- RAM: whole from the start, and empty again for the next life --- */

static bool all(const uint8_t *at, uint8_t byte, uint64_t size)
{
	return at[0] == byte && !memcmp(at, at + 1, size - 1);
}

static void ram_is_whole_and_is_emptied(enum backing_kind kind, int fd)
{
	struct backing backing, windows;
	struct guestmem mem = { .ranges[0] = { .gpa = GPA, .size = SIZE, .backing = &backing },
		.count = 1 };

	kvm_seam = &kvm_kernel;
	memset(&backing, 0xee, sizeof(backing));
	assert_int_equal(backing_create_ram(&backing, kind, GPA, SIZE, fd), 0);
	mem.ranges[0].hva = backing.hva;
	assert_int_equal(backing.size, SIZE);
	assert_int_equal((GPA - (uintptr_t)backing.hva) % (2 * MiB), 0);
	assert_true(all(backing.hva, 0, SIZE));
	memset(backing.hva, 0x5a, SIZE);
	/* A balloon's pages are freed, whatever they are of. */
	assert_int_equal(guestmem_discard(&mem, GPA + BLOCK, BLOCK), 0);
	/* Before they are read, which takes pages; the file may have some beside. */
	if (backing.fd >= 0)
		assert_in_range(held(&backing), 0, SIZE - BLOCK + 64 * KiB);
	assert_true(all(backing.hva + BLOCK, 0, BLOCK));
	assert_int_equal(backing.hva[BLOCK - 1], 0x5a);
	assert_int_equal(backing.hva[2 * BLOCK], 0x5a);
	for (unsigned life = 0; life < 2; life++) {
		memset(backing.hva, 0x5a, SIZE);
		assert_int_equal(backing_empty_ram(&backing, 0, backing.size), 0);
		if (backing.fd >= 0)
			assert_in_range(held(&backing), 0, 64 * KiB);
		assert_true(all(backing.hva, 0, SIZE));
	}
	/* A piece of it, and nothing beside. */
	memset(backing.hva, 0x5a, SIZE);
	assert_int_equal(backing_empty_ram(&backing, BLOCK, BLOCK), 0);
	assert_true(all(backing.hva, 0x5a, BLOCK));
	assert_true(all(backing.hva + BLOCK, 0, BLOCK));
	assert_true(all(backing.hva + 2 * BLOCK, 0x5a, SIZE - 2 * BLOCK));
	backing_destroy(&backing);
	/* Of a window nothing is there yet. */
	assert_int_equal(
		backing_create(&windows, BACKING_ANONYMOUS, GPA, SIZE, BLOCK, PROT_READ), 0);
	backing_destroy(&windows);
}

static void ram(void **state)
{
	ram_is_whole_and_is_emptied(BACKING_ANONYMOUS, -1);
	ram_is_whole_and_is_emptied(BACKING_MEMFD, -1);
}

static char file[] = "/var/tmp/test-backing.XXXXXX";

static int open_file(void)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* A process that has it open sees the guest's memory; what it held before is gone, but for what is behind the RAM. */
static void ram_of_a_file(void **state)
{
	struct backing backing;
	int fd = mkstemp(file), other;
	uint8_t byte = 0x77;

	kvm_seam = &kvm_kernel;
	assert_int_equal(ftruncate(fd, SIZE + BLOCK), 0);
	assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
	assert_int_equal(pwrite(fd, &byte, 1, SIZE), 1);
	assert_int_equal(fsync(fd), 0);
	ram_is_whole_and_is_emptied(BACKING_FILE, open_file());
	assert_int_equal(pread(fd, &byte, 1, SIZE), 1);
	assert_int_equal(byte, 0x77);
	other = open_file();
	assert_int_equal(backing_create_ram(&backing, BACKING_FILE, GPA, SIZE, other), 0);
	assert_int_equal(backing.fd, other);
	backing.hva[BLOCK] = 0x66;
	assert_int_equal(pread(fd, &byte, 1, BLOCK), 1);
	assert_int_equal(byte, 0x66);
	/* It is one machine's. */
	other = open_file();
	assert_int_equal(backing_create_ram(&backing, BACKING_FILE, GPA, SIZE, other), -EBUSY);
	assert_int_equal(backing.hva[BLOCK], 0x66);
	assert_int_equal(fcntl(other, F_GETFD), -1);
	backing_destroy(&backing);
	assert_int_equal(fcntl(backing.fd, F_GETFD), -1);
	close(fd);
}

static int no_punch(int fd, uint64_t offset, uint64_t size)
{
	return -EOPNOTSUPP;
}

/* On errors nothing is left, and nothing said. */
static void assert_no_ram(enum backing_kind kind, uint64_t gpa, uint64_t size, int fd, int err)
{
	struct backing backing = { .hva = pool };
	int next, after;

	if (fd < 0)
		close(next = dup(STDIN_FILENO));
	assert_int_equal(backing_create_ram(&backing, kind, gpa, size, fd), err);
	assert_ptr_equal(backing.hva, pool);
	if (fd >= 0) {
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	} else {
		close(after = dup(STDIN_FILENO));
		assert_int_equal(after, next);
	}
}

static void ram_that_cannot_be(void **state)
{
	uint64_t huge = backing_huge_page_bytes();
	int fd = open_file(), ends[2];

	assert_int_equal(pipe(ends), 0);
	install();
	assert_no_ram(BACKING_FILE, GPA, SIZE, ends[0], -EINVAL);
	close(ends[1]);
	assert_int_equal(ftruncate(fd, SIZE - 1), 0);
	assert_no_ram(BACKING_FILE, GPA, SIZE, open_file(), -ERANGE);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	seam.punch = no_punch;
	assert_no_ram(BACKING_FILE, GPA, SIZE, open_file(), -EOPNOTSUPP);
	install();
	assert_no_ram(BACKING_FILE, GPA, SIZE, open("/dev/null", O_RDONLY), -EINVAL);
	assert_no_ram(BACKING_FILE, GPA, SIZE, open(file, O_RDONLY), -EBADF);
	for (unsigned nth = 1; nth <= 2; nth++) {
		/* No address space; and then no mapping there. */
		install();
		refuse_map = nth;
		assert_no_ram(BACKING_FILE, GPA, SIZE, open_file(), -ENOMEM);
		install();
		refuse_map = nth;
		assert_no_ram(BACKING_MEMFD, GPA, SIZE, -1, -ENOMEM);
	}
	install();
	refused = 'p';
	assert_no_ram(BACKING_ANONYMOUS, GPA, SIZE, -1, -ENOMEM);
	install();
	assert_no_ram(BACKING_HUGETLB, GPA, huge / 2, -1, -EINVAL);
	assert_no_ram(BACKING_HUGETLB, GPA + huge / 2, huge, -1, -EINVAL);
	assert_no_ram(BACKING_ANONYMOUS, GPA, UINT64_MAX - BLOCK + 1, -1, -ENOMEM);
	close(fd);
	unlink(file);
}

/* Huge pages need not be there twice: the old ones are freed before the new ones are reserved. */
static void huge_pages_are_reserved_anew(void **state)
{
	struct backing backing;
	uint64_t huge = backing_huge_page_bytes();

	install();
	assert_int_equal(backing_create_ram(&backing, BACKING_HUGETLB, GPA, 4 * huge, -1), 0);
	assert_int_equal(calls[count - 1].name, 'v');
	assert_ptr_equal(calls[count - 1].at, backing.hva);
	assert_int_equal(calls[count - 1].size, 4 * huge);
	count = 0;
	assert_int_equal(backing_empty_ram(&backing, 0, backing.size), 0);
	assert_int_equal(count, 4);
	assert_int_equal(calls[0].name, 'm');
	assert_ptr_equal(calls[0].at, backing.hva);
	assert_int_equal(calls[0].size, 4 * huge);
	assert_int_equal(calls[0].flags, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(calls[1].flags, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	assert_int_equal(calls[3].name, 'v');
	/* In pieces: all of it is one mapping again, after the last. */
	count = 0;
	assert_int_equal(backing_empty_ram(&backing, 0, huge), 0);
	assert_int_equal(backing_empty_ram(&backing, huge, 2 * huge), 0);
	assert_int_equal(count, 2);
	assert_int_equal(calls[1].size, 2 * huge);
	assert_ptr_equal(calls[1].at, backing.hva + huge);
	assert_int_equal(backing_empty_ram(&backing, 3 * huge, huge), 0);
	assert_int_equal(count, 6);
	assert_int_equal(calls[5].name, 'v');
	assert_int_equal(calls[5].size, 4 * huge);
	assert_ptr_equal(calls[5].at, backing.hva);
	count = 0;
	refused = 'v';
	assert_int_equal(backing_empty_ram(&backing, 0, backing.size), -ENOMEM);
	count = 0;
	refused = 'm';
	assert_int_equal(backing_empty_ram(&backing, 0, backing.size), -ENOMEM);
	assert_int_equal(count, 1);
	backing_destroy(&backing);
	/* A pool that has not as many. */
	install();
	refused = 'v';
	assert_int_equal(backing_create_ram(&backing, BACKING_HUGETLB, GPA, 4 * huge, -1), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_memfd_is_the_memory), cmocka_unit_test(a_memfd_is_sealed),
		cmocka_unit_test(a_refused_reservation_leaves_nothing),
		cmocka_unit_test(huge_pages_are_reserved_elsewhere_first),
		cmocka_unit_test(guest_and_host_agree_modulo_a_huge_page),
		cmocka_unit_test(huge_pages_are_asked_for),
		cmocka_unit_test(mergeable_after_each_plug),
		cmocka_unit_test(memory_is_emptied_one_way_or_the_other),
		cmocka_unit_test(protected_in_one_step), cmocka_unit_test(ram),
		cmocka_unit_test(ram_of_a_file), cmocka_unit_test(ram_that_cannot_be),
		cmocka_unit_test(huge_pages_are_reserved_anew),
		cmocka_unit_test(a_read_of_what_is_not_there),
		cmocka_unit_test(core_files_have_no_guest_memory), /* last: it asks for them */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
