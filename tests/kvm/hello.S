/* SPDX-License-Identifier: Apache-2.0 */
/* A small bare-metal guest: an ELF that finds its tree, says a line on the PL011 and powers off. MMU off. */
	.arch armv8-a
	.text
	.global _start
_start:
#ifdef IMAGE		/* with the header of an arm64 Image, for boot loaders that want one */
	b	begin
	.word	0
	.quad	0, 0x10000, 0xa, 0, 0, 0
	.ascii	"ARM\x64"
	.word	0
begin:
#endif
	ldr	w5, [x0]		/* the tree that x0 points to: its magic, big-endian */
	ldr	w6, =0xedfe0dd0
	adr	x1, line
	cmp	w5, w6
	b.eq	1f
	adr	x1, no_tree
1:
	mov	x2, #0x09000000		/* UARTDR; UARTFR at 0x18 */
next:
	ldrb	w3, [x1], #1
	cbz	w3, off
full:
	ldr	w4, [x2, #0x18]
	tbnz	w4, #5, full		/* TXFF */
	str	w3, [x2]
	b	next
off:
	ldr	x0, =0x84000008		/* SYSTEM_OFF */
	hvc	#0
	b	.

	.data
line:
	.asciz	"hello from bare metal, with a tree\n"
no_tree:
	.asciz	"hello from bare metal, without a tree\n"
