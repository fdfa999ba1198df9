/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each kind of access comes to where a guest was given nothing. It has no needs, so that
 * bare-metal guests hold what they see against the same table. Beside a device's registers, in a page
 * that is read without exits (registers.h), what reads finds zeros.
 */
#ifndef SLUICE_HYP_STRAY_TABLE_H
#define SLUICE_HYP_STRAY_TABLE_H

enum access_kind {
	ACCESS_LOAD,
	ACCESS_STORE,
	ACCESS_LOAD_PAIR,
	ACCESS_STORE_PAIR,
	ACCESS_STORE_WRITEBACK,
	ACCESS_EXCLUSIVE, /* LDXR, then STXR */
	ACCESS_ATOMIC,	  /* LDADD (FEAT_LSE) */
	ACCESS_ZERO,	  /* DC ZVA */
	ACCESS_FETCH,
	ACCESS_WALK,	   /* of the guest's own translation tables */
	ACCESS_CLEAN,	   /* DC CIVAC */
	ACCESS_ACROSS_IN,  /* a load whose first bytes are memory and whose last are not */
	ACCESS_ACROSS_OUT, /* ... whose first are not */
	ACCESS_KINDS
};

enum stray_place {
	PLACE_OPEN_ZERO,  /* an unplugged block of an open slot, whose reads see zeros */
	PLACE_OPEN_ABORT, /* ... whose reads abort */
	PLACE_CLOSED,	  /* a closed slot of a window */
	PLACE_NOWHERE,	  /* neither memory nor device */
	PLACE_COUNT
};

enum stray_outcome {
	STRAY_TOLD,	 /* comes to us: counted, and the policy decides */
	STRAY_ZEROS,	 /* reads zeros; no exit, cannot be counted */
	STRAY_UNDEFINED, /* executes zeros, which are an undefined instruction; no exit */
	STRAY_NO_ENTRY, /* finds an invalid table entry: the guest's own translation fault; no exit */
	STRAY_KVM_ABORT, /* KVM injects the abort itself; no exit, cannot be counted */
	STRAY_NOTHING,	 /* has no effect */
};

/* Of KVM on arm64; where it says STRAY_TOLD the guest gets what the policy says. */
extern const enum stray_outcome stray_table[ACCESS_KINDS][PLACE_COUNT];

#endif
