/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bare-metal guest's CPUs begin, their exception vectors, and one access of each kind. */
	.arch armv8-a+lse
	.section .text.start, "ax"
	.global _start, cpu_entry
_start:
	mov	x19, x0			/* the tree */
	ldr	x1, =__bss_start
	ldr	x2, =__bss_end
1:	cmp	x1, x2
	b.hs	2f
	stp	xzr, xzr, [x1], #16
	b	1b
2:	ldr	x0, =cpus
	ldr	x1, =first_stack_end
	str	x1, [x0, #8]
	bl	cpu_setup
	mov	x0, x19
	b	bare_main

/* PSCI CPU_ON enters here with its struct cpu in x0. */
cpu_entry:
	bl	cpu_setup
	b	cpu_main

cpu_setup:
	msr	tpidr_el1, x0
	ldr	x1, [x0, #8]
	mov	sp, x1
	ldr	x1, =vectors
	msr	vbar_el1, x1
	mov	x1, #3 << 20		/* newlib's memcpy and printf use the vector registers */
	msr	cpacr_el1, x1
	isb
	ret

/* ---- exceptions ---- */

	.macro vector index
	.balign 128
	sub	sp, sp, #192
	stp	x0, x1, [sp]
	mov	x0, #\index
	b	exception_entry
	.endm

	.text
	.balign 2048
vectors:
	.irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector \i
	.endr

exception_entry:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x1, elr_el1
	mrs	x2, spsr_el1
	stp	x1, x2, [sp, #160]
	bl	exception		/* (vector); returns where to go on, 0: where it was */
	ldp	x1, x2, [sp, #160]
	cbz	x0, 1f
	mov	x1, x0
1:	msr	elr_el1, x1
	msr	spsr_el1, x2
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	ldp	x0, x1, [sp], #192
	eret

/* ---- accesses ---- */

/* uint64_t access_one(kind, address, value): in the order of hyp/vcpu/stray-table.h; faults come back. */
	.global access_one
access_one:
	stp	x29, x30, [sp, #-16]!
	mrs	x9, tpidr_el1
	adr	x10, 9f
	str	x10, [x9]
	adr	x11, kinds
	add	x11, x11, x0, lsl #3
	br	x11
kinds:
	ldr	x2, [x1]		/* load */
	b	8f
	str	x2, [x1]		/* store */
	b	8f
	ldp	x2, x12, [x1]		/* load pair */
	b	8f
	stp	x2, x2, [x1]		/* store pair */
	b	8f
	str	x2, [x1], #8		/* store with writeback */
	b	8f
	ldxr	x2, [x1]		/* exclusive */
	b	7f
	ldadd	x2, x2, [x1]		/* atomic */
	b	8f
	dc	zva, x1			/* zero */
	b	8f
	blr	x1			/* fetch */
	b	8f
	ldr	x2, [x1]		/* walk */
	b	8f
	dc	civac, x1		/* clean */
	b	8f
	ldr	x2, [x1]		/* across, in */
	b	8f
	ldr	x2, [x1]		/* across, out */
	b	8f
	ldr	w2, [x1]		/* load of 32 bits */
	b	8f
	ldrb	w2, [x1]		/* of 8 */
	b	8f
	ldrh	w2, [x1]		/* of 16 */
	b	8f
	strb	w2, [x1]		/* stores of 8, 16 and 32 bits */
	b	8f
	strh	w2, [x1]
	b	8f
	str	w2, [x1]
	b	8f
6:	ldxr	x2, [x1]
7:	stxr	w12, x2, [x1]
	cbnz	w12, 6b			/* an interrupt took the reservation: it was not tried */
8:	dsb	sy
	str	xzr, [x9]
	mov	x0, x2
	ldp	x29, x30, [sp], #16
	ret
9:	mrs	x9, tpidr_el1		/* a fetch may have changed all that a call may */
	str	xzr, [x9]
	mov	x0, #0
	ldp	x29, x30, [sp], #16
	ret

	.bss
	.balign 16
	.skip	64 * 1024
first_stack_end:
	.section .note.GNU-stack, "", %progbits
