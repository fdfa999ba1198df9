/* SPDX-License-Identifier: Apache-2.0 */
/* The table of stray accesses; see stray-table.h. */
#include "hyp/vcpu/stray-table.h"

/* clang-format off */
const enum stray_outcome stray_table[ACCESS_KINDS][PLACE_COUNT] = {
	/*                           open, reads zeros   open, reads abort  closed           nowhere */
	[ACCESS_LOAD] =            { STRAY_ZEROS,        STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_STORE] =           { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_LOAD_PAIR] =       { STRAY_ZEROS,        STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_STORE_PAIR] =      { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_STORE_WRITEBACK] = { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_EXCLUSIVE] =       { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_ATOMIC] =          { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_ZERO] =            { STRAY_TOLD,         STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_FETCH] =           { STRAY_UNDEFINED,    STRAY_TOLD,        STRAY_KVM_ABORT, STRAY_KVM_ABORT },
	[ACCESS_WALK] =            { STRAY_NO_ENTRY,     STRAY_TOLD,        STRAY_KVM_ABORT, STRAY_KVM_ABORT },
	[ACCESS_CLEAN] =           { STRAY_NOTHING,      STRAY_NOTHING,     STRAY_NOTHING,   STRAY_NOTHING },
	[ACCESS_ACROSS_IN] =       { STRAY_ZEROS,        STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
	[ACCESS_ACROSS_OUT] =      { STRAY_ZEROS,        STRAY_TOLD,        STRAY_TOLD,      STRAY_TOLD },
};
/* clang-format on */
