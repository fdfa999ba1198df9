/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a kernel into the guest's own memory, to be started next or when the guest panics. Debian's
 * arm64 kernels have no kexec_file_load, so what that would make is made here: the new kernel's
 * tree, and for a panic the ELF header of the dump, with all memory that virtio-mem added, which
 * kexec-tools leaves out.
 */
#include <elf.h>
#include <errno.h>
#include <libfdt.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest-tool.h"

#define RANGES_MAX 64
#define TREE_MORE  4096

struct range {
	uint64_t first, end;
};

struct plan {
	struct kexec_segment segments[8];
	size_t count;
	uint64_t next; /* free from here */
};

/* What is jumped to: it gives the new kernel its tree (Linux, arch/arm64/booting.rst). */
extern struct {
	uint32_t code[6];
	uint64_t tree, kernel;
} entry __attribute__((visibility("hidden")));

__asm__(".pushsection .data\n"
	".balign 8\n"
	"entry:\n"
	"	ldr	x0, 1f\n"
	"	ldr	x4, 1f + 8\n"
	"	mov	x1, xzr\n"
	"	mov	x2, xzr\n"
	"	mov	x3, xzr\n"
	"	br	x4\n"
	"1:	.quad	0, 0\n"
	".popsection\n");

static void *file_read(const char *path, size_t *ret_size)
{
	size_t size = 0, room = 0, n;
	char *bytes = NULL;
	FILE *f = fopen(path, "r");

	do {
		bytes = realloc(bytes, room += 4 * MIB);
		n = f && bytes ? fread(bytes + size, 1, room - size, f) : 0;
		size += n;
	} while (n && size == room);
	if (!size) {
		printf("kexec: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	fclose(f);
	*ret_size = size;
	return bytes;
}

/* The ranges of /proc/iomem whose names begin so. */
static size_t ranges_read(const char *name, struct range *ret)
{
	FILE *f = fopen("/proc/iomem", "r");
	char line[200];
	size_t count = 0;
	int at;

	while (f && count < RANGES_MAX && fgets(line, sizeof(line), f)) {
		struct range *range = &ret[count];

		if (sscanf(line, " %lx-%lx : %n", &range->first, &range->end, &at) == 2 &&
			!strncmp(line + at, name, strlen(name))) {
			range->end++;
			count++;
		}
	}
	if (f)
		fclose(f);
	return count;
}

/* Where `bytes` will go: after all before them, with room for `room` bytes. */
static uint64_t place(
	struct plan *plan, const void *bytes, size_t size, size_t room, uint64_t align)
{
	uint64_t at = (plan->next + align - 1) / align * align;

	room = (room + PAGE - 1) / PAGE * PAGE;
	plan->segments[plan->count++] = (struct kexec_segment){ (void *)(uintptr_t)bytes, size,
		(void *)at, room };
	plan->next = at + room;
	return at;
}

static Elf64_Phdr load_of(uint64_t first, uint64_t end)
{
	return (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_offset = first,
		.p_paddr = first,
		.p_filesz = end - first,
		.p_memsz = end - first };
}

/* The header of /proc/vmcore: one note, and memory but for the crash kernel's own. */
static size_t make_core_header(const struct range *own, Elf64_Ehdr *header)
{
	Elf64_Phdr *programs = (Elf64_Phdr *)(header + 1), *program = programs;
	struct range memory[RANGES_MAX];
	size_t count = ranges_read("System RAM", memory), size;
	char *note = file_read("/sys/kernel/vmcoreinfo", &size);

	note[size - 1] = '\0';
	program->p_type = PT_NOTE;
	sscanf(note, "%lx %lx", &program->p_paddr, &program->p_memsz);
	program->p_offset = program->p_paddr;
	program->p_filesz = program->p_memsz;
	program++;
	for (size_t i = 0; i < count; i++) {
		bool around = memory[i].first <= own->first && own->end <= memory[i].end;

		*program++ = load_of(memory[i].first, around ? own->first : memory[i].end);
		if (around)
			*program++ = load_of(own->end, memory[i].end);
	}
	*header = (Elf64_Ehdr){ .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_AARCH64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(*header),
		.e_ehsize = sizeof(*header),
		.e_phentsize = sizeof(*program),
		.e_phnum = (uint16_t)(program - programs) };
	return (uintptr_t)program - (uintptr_t)header;
}

static int set_range(void *tree, int node, const char *name, uint64_t first, uint64_t size)
{
	int err = fdt_setprop_u64(tree, node, name, first);

	return err ? err : fdt_appendprop_u64(tree, node, name, size);
}

int kexec_prepare(const char *when, const char *kernel, const char *initrd, const char *bootargs)
{
	static char header[8192];
	bool panic = !strcmp(when, "panic");
	size_t kernel_size, initrd_size, tree_size;
	uint64_t *image = file_read(kernel, &kernel_size), at;
	void *initrd_bytes = file_read(initrd, &initrd_size);
	void *tree = file_read("/sys/firmware/fdt", &tree_size);
	struct plan plan = { .count = 0 };
	struct range own[RANGES_MAX];
	int chosen, err;

	if (!ranges_read(panic ? "Crash kernel" : "System RAM", own)) {
		printf("kexec: no memory is reserved for it\n");
		return 1;
	}
	plan.next = own->first;
	/* An Image says in words 1 and 2 where it has to be, and its size in memory. */
	at = place(&plan, image, kernel_size, image[2], 2 * MIB) + image[1];
	entry.kernel = at;
	tree = realloc(tree, tree_size + TREE_MORE);
	err = fdt_open_into(tree, tree, (int)(tree_size + TREE_MORE));
	chosen = fdt_path_offset(tree, "/chosen");
	if (!err)
		err = fdt_setprop_string(tree, chosen, "bootargs", bootargs);
	at = place(&plan, initrd_bytes, initrd_size, initrd_size, PAGE);
	if (!err)
		err = fdt_setprop_u64(tree, chosen, "linux,initrd-start", at);
	if (!err)
		err = fdt_setprop_u64(tree, chosen, "linux,initrd-end", at + initrd_size);
	if (panic && !err) {
		size_t size = make_core_header(own, (Elf64_Ehdr *)header);

		at = place(&plan, header, size, size, PAGE);
		err = set_range(tree, chosen, "linux,elfcorehdr", at, size);
		if (!err)
			err = set_range(tree, chosen, "linux,usable-memory-range", own->first,
				own->end - own->first);
	}
	if (err) {
		printf("kexec: the tree: %s\n", fdt_strerror(err));
		return 1;
	}
	entry.tree = place(&plan, tree, fdt_totalsize(tree), fdt_totalsize(tree), 2 * MIB);
	at = place(&plan, &entry, sizeof(entry), sizeof(entry), PAGE);
	if (syscall(SYS_kexec_load, at, plan.count, plan.segments,
		    KEXEC_ARCH_AARCH64 | (panic ? KEXEC_ON_CRASH : 0))) {
		printf("kexec: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}

int kexec_go(void)
{
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	printf("kexec: %s\n", strerror(errno));
	return 1;
}
