/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a guest; see follow.h. */
#include "board/cli/follow.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "board/cli/client.h"
#include "board/text/errors.h"
#include "board/text/exit-codes.h"
#include "board/text/size.h"
#include "hyp/base/loop.h"

#define TICK_MS	  100 /* between queries, on a terminal */
#define QUIET_MS  1000
#define BAR_CELLS 24

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = 1;
}

bool follow_interrupted(void)
{
	return interrupted;
}

void follow_prepare(void)
{
	const struct sigaction action = { .sa_handler = interrupt };

	interrupted = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* A terminal's last line is replaced; elsewhere a line is added. */
static void draw(const struct follow *follow, uint64_t has, bool terminal, uint64_t elapsed_ms)
{
	uint64_t whole = follow->from > follow->to ? follow->from : follow->to;
	char bar[BAR_CELLS + 1] = "";
	uint64_t full;

	if (!terminal) {
		printf("%s: %s %s, %s requested\n", follow->id, SIZE(has), follow->done,
			SIZE(follow->to));
	} else {
		/* In KiB, so that the product does not overflow. */
		full = whole >> 10 ? (has >> 10) * BAR_CELLS / (whole >> 10) : 0;
		memset(bar, '.', BAR_CELLS);
		memset(bar, '#', full > BAR_CELLS ? BAR_CELLS : full);
		printf("\r\033[K%s  [%s]  %s %s, %s requested  %" PRIu64 " s", follow->id, bar,
			SIZE(has), follow->done, SIZE(follow->to), elapsed_ms / 1000);
	}
	fflush(stdout);
}

static bool is_there(const struct follow *follow, uint64_t has)
{
	uint64_t apart = has > follow->to ? has - follow->to : follow->to - has;

	return apart <= follow->near;
}

int follow_wait(struct follow *follow, struct client *client, struct errors *errors)
{
	bool terminal = isatty(STDOUT_FILENO);
	uint64_t start = loop_now_ms(), moved = start, last = 0, has = follow->from, requested, now;
	int code = EXIT_WRONG;

	if (!follow->stall_sec) {
		printf("%s: %s requested, %s %s\n", follow->id, SIZE(follow->to), SIZE(has),
			follow->done);
		return EXIT_OK;
	}
	for (bool first = true;; first = false, last = has) {
		now = loop_now_ms();
		if (interrupted) {
			code = EXIT_INTERRUPTED;
			break;
		}
		if (follow->query(follow, client, &has, &requested, errors))
			break;
		if (requested != follow->to) {
			error_add(errors, follow->id, NULL,
				"somebody else has asked for %s meanwhile; that request stands",
				SIZE(requested));
			break;
		}
		if (is_there(follow, has)) {
			code = EXIT_OK;
			break;
		}
		if (first || has != last)
			moved = now;
		if (terminal || first || has != last)
			draw(follow, has, terminal, now - start);
		if (now - moved >= follow->stall_sec * UINT64_C(1000)) {
			follow->explain(follow, client, has, errors);
			break;
		}
		if (client_wait(client, terminal ? TICK_MS : QUIET_MS) < 0) {
			error_add(errors, follow->id, NULL, "the machine ended");
			break;
		}
	}
	if (terminal)
		printf("\r\033[K");
	if (code == EXIT_OK)
		printf("%s: %s %s (%s before), %" PRIu64 ".%" PRIu64 " s\n", follow->id, SIZE(has),
			follow->done, SIZE(follow->from), (now - start) / 1000,
			(now - start) / 100 % 10);
	else if (code == EXIT_INTERRUPTED)
		printf("%s: %s %s; the request of %s stands, and the guest goes on\n", follow->id,
			SIZE(has), follow->done, SIZE(follow->to));
	return code;
}
