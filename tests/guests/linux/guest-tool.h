/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of guest-tool share. Each command prints one line of what came of it, and gives
 * the program's exit status.
 */
#ifndef SLUICE_GUEST_TOOL_H
#define SLUICE_GUEST_TOOL_H

#include <stddef.h>
#include <stdint.h>

#define MIB   (1024UL * 1024)
#define PAGE  4096UL
#define WORDS (PAGE / sizeof(uint64_t))

/* The first word of a page's pattern; the others count up from it. */
uint64_t page_word(uint64_t seed, uint64_t page);

/* guest-kexec.c: `when` is "next" or "panic". */
int kexec_prepare(const char *when, const char *kernel, const char *initrd, const char *bootargs);
int kexec_go(void);
/* guest-blk.c */
int blk_exercise(const char *path, const char *count, const char *seed);

/* guest-vsock.c: `peer` is a context id, or "listen" for the first that connects. */
int vsock_talk(const char *peer, const char *port);
/* guest-vmcore.c */
int vmcore_search(const char *mib, const char *seed);

#endif
