/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a control socket, against a peer that says what the test wants, whole or in
 * part, and a host that interrupts and refuses.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "board/cli/client.h"
#include "board/text/errors.h"
#include "tests/unit/helpers/fds.h"
#include "hyp/base/util.h"

#define GREETING "{\"QMP\": {}}\r\n{\"return\": {}}\r\n"

/* A user's, whose sockets are in a folder of the test's. */
uid_t geteuid(void)
{
	return 1000;
}

/* ---- The host ---- */

static int connect_error;   /* 0: none */
static unsigned interrupts; /* that come before what poll() waits for */
static bool silent;	    /* nothing comes, whatever the time */
static int waited_ms;	    /* what poll() was asked to wait, last */

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	errno = connect_error;
	return connect_error ? -1 : __real_connect(fd, address, len);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int ms);
int __real_poll(struct pollfd *fds, nfds_t count, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int ms)
{
	waited_ms = ms;
	if (interrupts) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	return silent ? 0 : __real_poll(fds, count, ms);
}

/* ---- The peer ---- */

static char folder[64], path[128];
static struct errors errors;
static unsigned fds_before;
static int listener;

static int listen_at(const char *where)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, where);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int setup(void **unused)
{
	fds_before = open_fds();
	connect_error = 0;
	interrupts = 0;
	silent = false;
	strcpy(folder, "/tmp/test-client-XXXXXX");
	assert_non_null(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	snprintf(path, sizeof(path), "%s/sluice", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/sluice/m.sock", folder);
	listener = listen_at(path);
	return 0;
}

static int teardown(void **unused)
{
	char command[128];

	close(listener);
	errors_finish(&errors);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) + open_fds() - fds_before;
}

/* What it sends to the client, before it hangs up. */
static struct script {
	const char *text;
	size_t len;
	pthread_t thread;
} script;

static void *play(void *unused)
{
	int fd = accept(listener, NULL, NULL);
	char byte;

	for (size_t done = 0; done < script.len;) {
		ssize_t n = send(fd, script.text + done, script.len - done, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	shutdown(fd, SHUT_WR);
	/* Until the client has closed, or has not in ten seconds. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 10 },
		sizeof(struct timeval));
	while (recv(fd, &byte, 1, 0) > 0)
		;
	close(fd);
	return NULL;
}

static void says(const char *text)
{
	script.text = text;
	script.len = strlen(text);
	assert_int_equal(pthread_create(&script.thread, NULL, play, NULL), 0);
}

static void ended(struct client *client)
{
	client_close(client);
	pthread_join(script.thread, NULL);
}

static void assert_said(const char *text)
{
	assert_int_equal(errors.count, 1);
	if (!strstr(errors.lines[0], text))
		fail_msg("'%s' is not in '%s'", text, errors.lines[0]);
	errors_finish(&errors);
}

/* ---- Which machine is meant ---- */

static void targets(void **unused)
{
	static const struct {
		const char *text, *control, *path, *node; /* '@': the folder of sockets */
	} cases[] = {
		{ "gateway", NULL, "@gateway.sock", NULL },
		{ "gateway/", NULL, "@gateway.sock", NULL },
		{ "gateway/vmem0", NULL, "@gateway.sock", "vmem0" },
		{ "m.sock", NULL, "@m.sock.sock", NULL },
		{ "./m.sock", NULL, "./m.sock", NULL },
		{ "/a/m.sock", NULL, "/a/m.sock", NULL },
		{ "/a/m.sock/", NULL, "/a/m.sock", NULL },
		{ "/a/m.sock/vmem0", NULL, "/a/m.sock", "vmem0" },
		{ "/.sock", NULL, "/.sock", NULL },
		{ "", "/b.sock", "/b.sock", NULL },
		{ "/", "/b.sock", "/b.sock", NULL },
		{ "/vmem1", "/b.sock", "/b.sock", "vmem1" },
	};
	struct client_target target;
	char wanted[200];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ours = cases[i].path[0] == '@';

		assert_int_equal(
			client_target_read(cases[i].text, cases[i].control, &errors, &target), 0);
		snprintf(wanted, sizeof(wanted), "%s%s%s", ours ? folder : "",
			ours ? "/sluice/" : "", cases[i].path + ours);
		assert_string_equal(target.path, wanted);
		assert_int_equal(!target.node, !cases[i].node);
		if (target.node)
			assert_string_equal(target.node, cases[i].node);
		client_target_finish(&target);
	}
	assert_int_equal(client_target_read("vmem1", "/b.sock", &errors, &target), -EINVAL);
	assert_said("--control already");
	assert_int_equal(client_target_read(".hidden", NULL, &errors, &target), -EINVAL);
	assert_said("no name for a machine");
}

/* ---- Nobody answers ---- */

static void why_there_is_no_connection(void **unused)
{
	static const struct {
		int err;
		const char *says;
	} cases[] = { { EACCES, "no permission" }, { EPERM, "no permission" },
		{ EAGAIN, "Resource temporarily unavailable" },
		{ ENOENT, "no machine runs there, nor any other of this user" },
		{ ECONNREFUSED, "no machine runs there, nor any other of this user" },
		{ ENOTDIR, "no machine runs there, nor any other of this user" } };
	struct client *client = NULL;
	char far[109];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		connect_error = cases[i].err;
		assert_int_equal(client_open(path, &errors, &client), -cases[i].err);
		assert_said(cases[i].says);
		assert_int_equal(client_connect(path, &errors), -cases[i].err);
		assert_said(cases[i].says);
	}
	connect_error = 0;
	memset(far, 'x', sizeof(far));
	far[108] = '\0';
	assert_int_equal(client_connect(far, &errors), -ENAMETOOLONG);
	assert_said("File name too long");
	far[107] = '\0';
	assert_int_equal(client_connect(far, &errors), -ENOENT);
	errors_finish(&errors);
	assert_null(client);
}

/* The error names the machines that run: sockets of the folder that answer, and no other file there. */
static void which_machines_run(void **unused)
{
	static const char *const others[] = { "b.sock", "stale.sock", "c.other" };
	int fds[ARRAY_SIZE(others)];
	char place[128];

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		snprintf(place, sizeof(place), "%s/sluice/%s", folder, others[i]);
		fds[i] = listen_at(place);
	}
	close(fds[1]);
	snprintf(place, sizeof(place), "%s/sluice/x.sock", folder);
	assert_int_equal(client_connect(place, &errors), -ENOENT);
	assert_said("no machine runs there; running: b, m");
	close(fds[0]);
	close(fds[2]);
}

/* ---- What is answered ---- */

static void no_greeting(void **unused)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "the machine ended" },
		{ "{\"QMP\": {}}", "the machine ended" }, /* no line */
		{ "no json\r\n", "the machine ended" },
		{ "{\"hello\": 1}\r\n", "no control socket of a machine" },
		{ "{\"error\": {\"desc\": \"in use\"}}\r\n", "in use" },
		{ "{\"QMP\": {}}\r\n{\"error\": {\"desc\": \"not now\"}}\r\n", "not now" },
		{ "{\"QMP\": {}}\r\n{\"other\": {}}\r\n", "an answer that is none" },
		{ "{\"QMP\": {}}\r\n", "the machine ended" },
	};
	struct client *client = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		says(cases[i].text);
		assert_int_equal(client_open(path, &errors, &client), -EPROTO);
		assert_null(client);
		assert_said(cases[i].says);
		pthread_join(script.thread, NULL);
	}
}

/* What happens meanwhile is no answer, and the wait for it is over then, once. */
static void events_come_between(void **unused)
{
	struct client *client;
	json_t *result;

	says(GREETING "{\"event\": \"A\"}\r\n{\"return\": {\"n\": 7, \"t\": \"\\u001b\\u009b\"}}\r\n{\"event\": \"B\"}\r\n");
	interrupts = 3; /* before anything came */
	assert_int_equal(client_open(path, &errors, &client), 0);
	assert_int_equal(interrupts, 0);
	result = client_call(client, "query", json_pack("{s:i}", "a", 1), &errors);
	assert_int_equal(client_number(result, "n"), 7);
	assert_int_equal(client_number(result, "m"), 0);
	assert_string_equal(client_text(result, "t"), "???"); /* not what a terminal obeys */
	assert_string_equal(client_text(result, "n"), "");
	json_decref(result);
	assert_int_equal(client_wait(client, 0), 1); /* A, which came before */
	assert_int_equal(client_wait(client, 10000), 1);
	assert_int_equal(client_wait(client, 10000), -ECONNRESET);
	ended(client);
}

/* A signal or the time ends a wait for an event, and neither an answer that has begun. */
static void waits_end(void **unused)
{
	struct client *client;

	says(GREETING);
	assert_int_equal(client_open(path, &errors, &client), 0);
	interrupts = 1;
	assert_int_equal(client_wait(client, 10000), 0);
	silent = true;
	assert_int_equal(client_wait(client, 500), 0);
	assert_in_range(waited_ms, 1, 500);
	assert_null(client_call(client, "query", NULL, &errors));
	assert_in_range(waited_ms, 15000, 30000);
	assert_said("the machine does not answer");
	silent = false;
	assert_null(client_call(client, "query", NULL, &errors));
	assert_said("the machine ended");
	ended(client);
}

static void a_signal_within_a_message(void **unused)
{
	struct client *client;

	says(GREETING "{\"event\"");
	assert_int_equal(client_open(path, &errors, &client), 0);
	interrupts = 1;
	assert_int_equal(client_wait(client, 10000), -ECONNRESET); /* and not 0 */
	assert_int_equal(interrupts, 0);
	ended(client);
}

/* An answer may have 8 MiB with its line's end, and not a byte more. */
static void answers_at_their_edge(void **unused)
{
	static const char head[] = GREETING "{\"return\": {\"text\": \"", tail[] = "\"}}\r\n";
	const size_t greeting = strlen(GREETING), most = greeting + (8 << 20);

	for (unsigned more = 0; more < 2; more++) {
		char *text = malloc(most + more + 1);
		struct client *client;
		json_t *result;

		memset(text, 'x', most + more);
		memcpy(text, head, sizeof(head) - 1);
		strcpy(text + most + more - (sizeof(tail) - 1), tail);
		says(text);
		assert_int_equal(client_open(path, &errors, &client), 0);
		result = client_call(client, "query", NULL, &errors);
		assert_int_equal(!result, more);
		json_decref(result);
		if (more)
			assert_said("the machine ended");
		ended(client);
		free(text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(targets),
		TEST(why_there_is_no_connection),
		TEST(which_machines_run),
		TEST(no_greeting),
		TEST(events_come_between),
		TEST(waits_end),
		TEST(a_signal_within_a_message),
		TEST(answers_at_their_edge),
	};

	return cmocka_run_group_tests_name("client-calls", tests, NULL, NULL);
}
