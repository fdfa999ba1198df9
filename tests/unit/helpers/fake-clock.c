/* SPDX-License-Identifier: Apache-2.0 */
/* The host's clocks; see fake-clock.h. */
#include "tests/unit/helpers/fake-clock.h"

#include <time.h>

#include "hyp/base/loop.h"

uint64_t fake_clock_epoch_ms, fake_clock_ns;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	uint64_t ms = loop_now_ms() + (clock == CLOCK_REALTIME ? fake_clock_epoch_ms : 0);

	*ret = (struct timespec){ (time_t)(ms / 1000),
		(long)(ms % 1000 * 1000000 + fake_clock_ns) };
	return 0;
}

uint64_t fake_clock_s(void)
{
	return (loop_now_ms() + fake_clock_epoch_ms) / 1000;
}
