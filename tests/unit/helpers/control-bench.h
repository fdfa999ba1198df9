/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control socket of its own in a folder of its own, with fake-machine.c behind it, and clients that
 * are sockets of this process. The loop is turned by hand (fake-loop.h).
 */
#ifndef SLUICE_TESTS_UNIT_CONTROL_BENCH_H
#define SLUICE_TESTS_UNIT_CONTROL_BENCH_H

#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "board/control/control.h"
#include "board/text/errors.h"
#include "tests/unit/helpers/fake-loop.h"
#include "tests/unit/helpers/fake-machine.h"
#include "hyp/base/loop.h"
#include "hyp/base/util.h"

static char folder[64], path[128];
static struct loop *loop;
static struct control *control;
static struct errors errors;

/* Serves all that is ready, before and after so long. */
static void pump(uint64_t ms)
{
	for (bool late = false;; late = true) {
		/* A client that is always ready would be a defect. */
		for (unsigned turns = 0; fake_loop_run_tasks() + fake_loop_serve(); turns++)
			assert_true(turns < 10000);
		if (late)
			break;
		fake_loop_advance(ms);
	}
}

static inline int open_bench(void **state)
{
	fake_machine_init();
	strcpy(folder, "/tmp/test-control-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/m.sock", folder);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(control_create(path, loop, &errors, &control), 0);
	control_set_machine(control, fake_machine);
	return 0;
}

static inline int close_bench(void **state)
{
	char command[128];

	control_destroy(control);
	loop_destroy(loop);
	errors_finish(&errors);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

struct peer {
	int fd;
	char buf[1 << 20];
	size_t len;
};

static inline struct peer *peer_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct peer *peer = calloc(1, sizeof(*peer));

	strcpy(address.sun_path, path);
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return peer;
}

static inline void peer_close(struct peer *peer)
{
	close(peer->fd);
	free(peer);
}

static inline void peer_send(struct peer *peer, const char *text)
{
	assert_int_equal(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next line, NULL when there is none after `ms`; *ended when the connection is at its end. */
static inline json_t *peer_line(struct peer *peer, uint64_t ms, bool *ret_ended)
{
	for (uint64_t end = loop_now_ms() + ms;;) {
		char *newline = memchr(peer->buf, '\n', peer->len);
		ssize_t n;

		if (newline) {
			size_t used = (size_t)(newline + 1 - peer->buf);
			json_t *line = json_loadb(peer->buf, used, 0, NULL);

			assert_non_null(line);
			peer->len -= used;
			memmove(peer->buf, newline + 1, peer->len);
			return line;
		}
		n = recv(peer->fd, peer->buf + peer->len, sizeof(peer->buf) - peer->len, 0);
		if (ret_ended)
			*ret_ended = n == 0 || (n < 0 && errno != EAGAIN);
		if (n > 0)
			peer->len += (size_t)n;
		else if (n == 0 || errno != EAGAIN || loop_now_ms() >= end)
			return NULL;
		else
			pump(1);
	}
}

/* The connection is at its end, whatever comes before. */
static inline bool peer_ended(struct peer *peer, uint64_t ms)
{
	bool ended = false;
	json_t *line;

	while ((line = peer_line(peer, ms, &ended)))
		json_decref(line);
	return ended;
}

static inline struct peer *peer_ready(void)
{
	struct peer *peer = peer_connect();

	peer_send(peer, "{\"execute\":\"qmp_capabilities\"}");
	for (int i = 0; i < 2; i++) {
		json_t *line = peer_line(peer, 1000, NULL);

		assert_non_null(json_object_get(line, i ? "return" : "QMP"));
		json_decref(line);
	}
	return peer;
}

/* Sends a request; its next line must be `expected`, written with ' for ". */
static inline void assert_answer(struct peer *peer, const char *request, const char *expected)
{
	char *texts[2] = { strdup(request), strdup(expected) };
	json_t *line, *wanted;

	for (int i = 0; i < 2; i++)
		for (char *c = texts[i]; *c; c++)
			*c = *c == '\'' ? '"' : *c;
	if (*texts[0])
		peer_send(peer, texts[0]);
	line = peer_line(peer, 1000, NULL);
	json_object_del(line, "timestamp");
	wanted = json_loads(texts[1], 0, NULL);
	assert_non_null(wanted);
	if (!json_equal(line, wanted)) {
		char *got = json_dumps(line, JSON_SORT_KEYS);

		print_error("got %s\nfor %s\n", got, texts[1]);
		free(got);
		fail();
	}
	json_decref(line);
	json_decref(wanted);
	free(texts[0]);
	free(texts[1]);
}

#endif
