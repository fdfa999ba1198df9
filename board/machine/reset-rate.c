/* SPDX-License-Identifier: Apache-2.0 */
/* How often a guest may reset its machine; see reset-rate.h. */
#include "board/machine/reset-rate.h"

#include "hyp/base/log.h"
#include "hyp/base/loop.h"

uint64_t reset_rate_wait_ms(struct reset_rate *rate)
{
	uint64_t now = loop_now_ms(), oldest = rate->at_ms[rate->next];
	bool waits = oldest && now - oldest < RESETS_WINDOW_MS;

	rate->at_ms[rate->next] = now;
	rate->next = (rate->next + 1) % RESETS_MAX;
	if (waits && !rate->logged)
		log_print(LOG_WARNING,
			"the guest has reset its machine more than %d times in %d s: each reset waits a second now, as long as it goes on; quit or SIGTERM ends it",
			RESETS_MAX, RESETS_WINDOW_MS / 1000);
	rate->logged = waits;
	return waits ? RESET_PAUSE_MS : 0;
}
