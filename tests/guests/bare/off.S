/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of the benchmark of starts: it powers its machine off by its first instructions (PSCI 1.0, 5.10). */
	.section .text.start, "ax"
	.global _start
_start:
	mov	w0, #0x0008
	movk	w0, #0x8400, lsl #16	/* SYSTEM_OFF */
	hvc	#0
	b	.
