/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a guest saw of one access is what hyp/vcpu/stray-table.h says; for host and guest alike. */
#ifndef SLUICE_TESTS_OUTCOME_H
#define SLUICE_TESTS_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "hyp/vcpu/stray-table.h"

/* Arm ARM, D17.2.37 (ESR_EL1). */
#define ESR_EC(esr)	  ((unsigned)((esr) >> 26 & 0x3f))
#define ESR_FSC(esr)	  ((unsigned)((esr)&0x3f))
#define EC_UNKNOWN	  0x00
#define EC_IABT		  0x21
#define EC_DABT		  0x25
#define FSC_TRANSLATION_2 0x06
#define FSC_EXTERNAL	  0x10

struct seen {
	uint64_t esr, far; /* esr 0: it was done */
	uint64_t value;	   /* of a load */
};

/*
 * `at` is the address that faults if one does, of a walk the virtual one. A load across a border may
 * name the first byte beyond it, 4 bytes on.
 */
static inline bool outcome_is(
	enum stray_outcome outcome, enum access_kind kind, uint64_t at, const struct seen *seen)
{
	bool across = kind == ACCESS_ACROSS_IN || kind == ACCESS_ACROSS_OUT;
	bool right_far = seen->far == at || (across && seen->far == at + 4);
	unsigned ec = ESR_EC(seen->esr);

	switch (outcome) {
	case STRAY_ZEROS:
		return !seen->esr && seen->value == 0;
	case STRAY_NOTHING:
		return !seen->esr;
	case STRAY_UNDEFINED:
		return seen->esr && ec == EC_UNKNOWN;
	case STRAY_NO_ENTRY:
		return ec == EC_DABT && right_far && ESR_FSC(seen->esr) == FSC_TRANSLATION_2;
	case STRAY_KVM_ABORT:
	case STRAY_REPORTED:
		if (kind == ACCESS_WALK)
			return ec == EC_DABT && right_far &&
			       ESR_FSC(seen->esr) != FSC_TRANSLATION_2;
		return right_far && (ec == EC_DABT || (kind == ACCESS_FETCH && ec == EC_IABT));
	}
	return false;
}

#endif
