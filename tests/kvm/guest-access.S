/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that makes one access and powers off. It is position independent, runs on the tables that
 * the test has made (as it is mapped: address for address, as normal memory), and finds at x0 what
 * to do and where to leave what happened (struct access in test-access.c).
 */
	.arch armv8-a
	.text
	.balign 2048
	.global guest_start, guest_end
guest_start:
vectors:
	.skip 0x200
	/* Synchronous, from this exception level. */
	mrs	x5, esr_el1
	mrs	x6, far_el1
	str	x5, [x0, #24]
	str	x6, [x0, #32]
	mrs	x7, elr_el1
	str	x7, [x0, #40]
	/* Those that come back skip the instruction. */
	ldr	x8, [x0, #48]
	cbz	x8, off
	add	x7, x7, #4
	msr	elr_el1, x7
	eret
	.balign 2048

	.global guest_entry
guest_entry:
	adr	x1, vectors
	msr	vbar_el1, x1
	ldr	x2, [x0, #80]		/* tables */
	msr	ttbr0_el1, x2
	mov	x2, #0xff		/* attribute 0: normal, write-back */
	msr	mair_el1, x2
	/* 36 bits in 4K pages, inner shareable, write-back; TTBR1 unused; 36 bits of IPA */
	ldr	x2, =(28 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 32)
	msr	tcr_el1, x2
	isb
	mrs	x2, sctlr_el1
	mov	x3, #0x1005		/* I, C, M */
	orr	x2, x2, x3
	bic	x2, x2, #2		/* A: unaligned loads are allowed */
	msr	sctlr_el1, x2
	isb
	ldr	x2, [x0]		/* address */
	ldr	x3, [x0, #8]		/* what */
	ldr	x4, [x0, #16]		/* value */
	adr	x9, table
	add	x9, x9, x3, lsl #3
	br	x9
table:
	/* ACCESS_LOAD */
	ldr	x4, [x2]
	b	done
	/* ACCESS_STORE */
	str	x4, [x2]
	b	done
	/* ACCESS_LOAD_PAIR */
	ldp	x4, x10, [x2]
	b	done
	/* ACCESS_STORE_PAIR */
	stp	x4, x4, [x2]
	b	done
	/* ACCESS_STORE_WRITEBACK */
	str	x4, [x2], #8
	b	done
	/* ACCESS_EXCLUSIVE */
	ldxr	x4, [x2]
	b	exclusive
	/* ACCESS_ATOMIC */
	.inst	0xf8240044		/* ldadd x4, x4, [x2] (FEAT_LSE) */
	b	done
	/* ACCESS_ZERO */
	dc	zva, x2
	b	done
	/* ACCESS_FETCH */
	br	x2
	b	done
	/* ACCESS_WALK: the tables say where */
	ldr	x4, [x2]
	b	done
	/* ACCESS_CLEAN */
	dc	civac, x2
	b	done
	/* ACCESS_ACROSS_IN */
	ldr	x4, [x2]
	b	done
	/* ACCESS_ACROSS_OUT */
	ldr	x4, [x2]
	b	done
	/* ACCESS_SPIN: stores for ever, a byte a page */
	b	spin
	nop
exclusive:
	stxr	w11, x4, [x2]
	cbz	w11, done		/* else an interrupt took the reservation: it was not tried */
	ldxr	x4, [x2]
	b	exclusive
spin:
	mov	x12, #0
1:	add	x13, x2, x12
	strb	w4, [x13]
	ldr	x14, [x0, #56]
	add	x14, x14, #1
	str	x14, [x0, #56]
	add	x12, x12, #4096
	ldr	x15, [x0, #64]
	cmp	x12, x15
	b.lo	1b
	b	spin
done:
	str	x4, [x0, #16]
	mov	x5, #1
	str	x5, [x0, #72]
off:
	movz	x0, #0x8400, lsl #16	/* PSCI SYSTEM_OFF */
	movk	x0, #0x0008
	hvc	#0
	b	.
	.ltorg
guest_end:
	.section .note.GNU-stack, "", %progbits
