/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe, and the lines that come out of it; see helper-output.h. */
#include "devices/backend/helper-output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

#define LINE_MAX_BYTES 200

struct helper_output {
	struct loop_fd watch;
	int written; /* the processes' end */
	const char *id, *helper;
	struct log_limit limit;
	size_t len;
	char line[LINE_MAX_BYTES + 1];
};

static void report(struct helper_output *output)
{
	output->line[output->len] = '\0';
	if (output->len)
		log_limited(&output->limit, LOG_INFO, "%s: %s: %s", output->id, output->helper,
			output->line);
	output->len = 0;
}

/* One read per call, so that a process that prints without end does not block the loop. */
static void ready(struct loop_fd *watch, uint32_t events)
{
	struct helper_output *output = container_of(watch, struct helper_output, watch);
	char buf[1024];
	ssize_t n = read(watch->fd, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || output->len == LINE_MAX_BYTES)
			report(output);
		/* No control characters: the log may go to a terminal. */
		if (buf[i] != '\n')
			output->line[output->len++] = (unsigned char)buf[i] < ' ' || buf[i] == 0x7f
							      ? '?'
							      : buf[i];
	}
}

int helper_output_create(
	struct loop *loop, const char *id, const char *helper, struct helper_output **ret)
{
	struct helper_output *output = calloc(1, sizeof(*output));
	int fds[2], err;

	if (!output)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC)) {
		err = -errno;
		goto free_output;
	}
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	output->id = id;
	output->helper = helper;
	output->written = fds[1];
	output->limit = (struct log_limit)LOG_LIMIT(10);
	output->watch =
		(struct loop_fd){ .fd = fds[0], .events = EPOLLIN, .name = id, .ready = ready };
	err = loop_fd_add(loop, &output->watch);
	if (err)
		goto close_pipe;
	*ret = output;
	return 0;
close_pipe:
	close(fds[0]);
	close(fds[1]);
free_output:
	free(output);
	return err;
}

int helper_output_fd(const struct helper_output *output)
{
	return output->written;
}

void helper_output_destroy(struct helper_output *output)
{
	if (!output)
		return;
	report(output);
	loop_fd_remove(&output->watch);
	close(output->watch.fd);
	close(output->written);
	free(output);
}
