/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to each kind of access to an unassigned address. No dependencies: the bare-metal test guests link this
 * table too, and compare what they see with it. In a page that is read without exits (registers.h), reads beside
 * a device's registers return zeros.
 */
#ifndef SLUICE_HYP_VCPU_STRAY_TABLE_H
#define SLUICE_HYP_VCPU_STRAY_TABLE_H

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
	STRAY_REPORTED,	 /* exits to user space: counted, and the policy decides */
	STRAY_ZEROS,	 /* reads zeros; no exit, cannot be counted */
	STRAY_UNDEFINED, /* executes zeros, which are an undefined instruction; no exit */
	STRAY_NO_ENTRY, /* finds an invalid table entry: the guest's own translation fault; no exit */
	STRAY_KVM_ABORT, /* KVM injects the abort itself; no exit, cannot be counted */
	STRAY_NOTHING,	 /* has no effect */
};

/* For KVM on arm64. For STRAY_REPORTED the guest gets what the policy says. */
extern const enum stray_outcome stray_table[ACCESS_KINDS][PLACE_COUNT];

#endif
