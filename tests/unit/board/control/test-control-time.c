/* SPDX-License-Identifier: Apache-2.0 */
/* The time limits of the control socket, with a loop whose time the test turns. */
#include "tests/unit/helpers/control-bench.h"

#include "board/control/qmp.h"
#include "tests/unit/helpers/fds.h"

/* The host's answer to accept(); 0: it accepts. */
static int accept_error;
static unsigned accepts;

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	accepts++;
	errno = accept_error;
	return accept_error ? -1 : __real_accept4(fd, address, len, flags);
}

/* Whether sockets take anything. */
static bool sends = true;

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	if (sends || !(flags & MSG_DONTWAIT)) /* which a peer's lacks */
		return __real_send(fd, buf, len, flags);
	errno = EAGAIN;
	return -1;
}

static char filler[64 * KiB + 1];
static unsigned fds_before;

static int open_all(void **state)
{
	memset(filler, 'x', sizeof(filler));
	fds_before = open_fds();
	return open_bench(state);
}

static int close_all(void **state)
{
	int err = close_bench(state);

	return err + fake_loop_watches() + fake_loop_timers() + open_fds() - fds_before;
}

/* At once the first time, then what has come of it all. */
static void ports_are_reported(void **state)
{
	struct peer *peer = peer_ready();
	json_t *line;

	fake_ports_change(2);
	assert_answer(peer, "", "{'event':'VSERPORT_CHANGE','data':{'id':'log','open':true}}");
	for (unsigned i = 0; i < 1000; i++)
		fake_ports_change(i & 1);
	line = peer_line(peer, 100, NULL);
	assert_null(line);
	pump(1000);
	assert_answer(peer, "", "{'event':'VSERPORT_CHANGE','data':{'id':'agent','open':true}}");
	assert_answer(peer, "", "{'event':'VSERPORT_CHANGE','data':{'id':'log','open':false}}");
	peer_close(peer);
}

/* A thousand strays in a row are one event at once, and one for all the rest a second later. */
static void strays_are_counted_and_reported(void **state)
{
	struct stray stray = { 1, 5 * GiB, STRAY_STORE, STRAY_BLOCK, "vmem0" };
	struct peer *peer = peer_ready();
	json_t *line, *data;

	strays_init(&fake_strays, STRAY_ABORT, loop);
	control_set_machine(control, fake_machine);
	strays_add(&fake_strays, &stray);
	line = peer_line(peer, 500, NULL);
	assert_string_equal(
		json_string_value(json_object_get(line, "event")), "X_SLUICE_STRAY_ACCESS");
	data = json_object_get(line, "data");
	assert_int_equal(json_integer_value(json_object_get(data, "address")), 5 * GiB);
	assert_int_equal(json_integer_value(json_object_get(data, "count")), 1);
	assert_string_equal(json_string_value(json_object_get(data, "access")), "store");
	assert_string_equal(json_string_value(json_object_get(data, "window")), "vmem0");
	assert_string_equal(json_string_value(json_object_get(data, "policy")), "abort");
	json_decref(line);
	for (unsigned i = 0; i < 999; i++)
		strays_add(&fake_strays, &stray);
	stray = (struct stray){ 2, GiB, STRAY_LOAD, STRAY_NOWHERE, NULL };
	strays_add(&fake_strays, &stray);
	assert_null(peer_line(peer, 500, NULL));
	line = peer_line(peer, 1500, NULL);
	data = json_object_get(line, "data");
	assert_int_equal(json_integer_value(json_object_get(data, "count")), 1000);
	assert_int_equal(json_integer_value(json_object_get(data, "vcpu")), 2);
	assert_null(json_object_get(data, "window"));
	json_decref(line);
	/* Asleep after a second without stray accesses, and awake again at once. */
	assert_null(peer_line(peer, 1500, NULL));
	assert_false(fake_strays.awake);
	strays_add(&fake_strays, &stray);
	line = peer_line(peer, 500, NULL);
	assert_non_null(line);
	json_decref(line);

	peer_send(peer, "{\"execute\":\"x-sluice-query-strays\"}");
	line = peer_line(peer, 1000, NULL);
	data = json_object_get(line, "return");
	assert_int_equal(json_integer_value(json_object_get(data, "total")), 1002);
	assert_int_equal(
		json_array_size(json_object_get(data, "counts")), STRAY_KINDS * STRAY_WHERES);
	json_decref(line);
	control_set_machine(control, NULL);
	strays_add(&fake_strays, &stray); /* of a machine that is not this one's any more */
	assert_null(peer_line(peer, 2000, NULL));
	strays_finish(&fake_strays);
	peer_close(peer);
}

#define SIZE_EVENT(id, bytes)                                                                      \
	"{'event':'MEMORY_DEVICE_SIZE_CHANGE','data':{'id':'" id "','size':" #bytes                \
	",'qom-path':'/machine/peripheral/" id "'}}"

static void size_events_are_limited_and_end_true(void **state)
{
	struct peer *peer = peer_ready();
	uint64_t start = loop_now_ms();

	for (uint64_t n = 1; n <= 100; n++)
		fake_machine_plug(0, n * 2 * MiB);
	fake_machine_plug(1, 2 * MiB);
	assert_answer(peer, "", SIZE_EVENT("vmem0", 2097152));
	assert_answer(peer, "", SIZE_EVENT("vmem1", 2097152));
	pump(start + 999 - loop_now_ms());
	assert_null(peer_line(peer, 0, NULL));
	assert_answer(peer, "", SIZE_EVENT("vmem0", 209715200)); /* the last one */
	assert_in_range(loop_now_ms() - start, 1000, 1001);
	assert_null(peer_line(peer, 1200, NULL));
	fake_machine_plug(0, 0); /* quiet for a second: at once */
	assert_answer(peer, "", SIZE_EVENT("vmem0", 0));
	peer_close(peer);
}

/* What has changed of a machine is nobody's when it is gone, though a second is not over. */
static void nothing_is_reported_of_a_machine_that_is_gone(void **state)
{
	struct peer *peer = peer_ready();

	fake_machine_plug(0, 2 * MiB);
	assert_answer(peer, "", SIZE_EVENT("vmem0", 2097152));
	fake_machine_plug(0, 4 * MiB);
	control_set_machine(control, NULL);
	assert_int_equal(fake_loop_timers(), 0);
	assert_null(peer_line(peer, 2000, NULL));
	fake_machine_plug(0, 6 * MiB); /* and nobody watches it */
	assert_null(peer_line(peer, 2000, NULL));
	/* The next one is watched as the first was. */
	control_set_machine(control, fake_machine);
	fake_machine_plug(0, 8 * MiB);
	assert_answer(peer, "", SIZE_EVENT("vmem0", 8388608));
	peer_close(peer);
}

/* However often a machine is taken away and another is there, each of its devices is watched once. */
static void machines_come_and_go(void **state)
{
	struct peer *peer = peer_ready();

	for (unsigned i = 0; i < 200; i++) {
		control_set_machine(control, i % 3 ? fake_machine : NULL);
		if (i % 3)
			control_set_machine(control, fake_machine);
	}
	fake_machine_plug(0, 2 * MiB);
	assert_answer(peer, "", SIZE_EVENT("vmem0", 2097152));
	assert_null(peer_line(peer, 2000, NULL));
	peer_close(peer);
}

/* ---- A client that reads nothing ---- */

/* The line of an event with a text of so many bytes; the clock is stopped, so each has that length. */
static size_t event_bytes(size_t text_bytes)
{
	size_t len;

	free(qmp_event_line("X", json_pack("{s:s%}", "text", filler, text_bytes), &len));
	return len;
}

static void event(size_t line_bytes)
{
	size_t text_bytes = line_bytes - event_bytes(0);

	assert_int_equal(event_bytes(text_bytes), line_bytes);
	control_event(control, "X", json_pack("{s:s%}", "text", filler, text_bytes));
}

/* Its requests are taken while 64 KiB wait for it, and not while a byte more does. */
static void requests_are_held_at_the_edge(void **state)
{
	for (unsigned more = 0; more < 2; more++) {
		struct peer *peer = peer_ready();

		fake_buttons = 0;
		sends = false;
		event(64 * KiB + more);
		peer_send(peer, "{\"execute\":\"system_powerdown\"}");
		fake_loop_serve();
		assert_int_equal(fake_buttons, !more);
		peer_send(peer, "{\"execute\":\"system_powerdown\"}");
		fake_loop_serve();
		assert_int_equal(fake_buttons, !more); /* the answer to the first waits too */
		sends = true;
		pump(0);
		assert_int_equal(fake_buttons, 2);
		peer_close(peer);
		pump(0);
	}
}

/* It stays while 4 MiB wait for it, and is dropped for a byte more. */
static void a_client_is_dropped_at_the_edge(void **state)
{
	for (unsigned more = 0; more < 2; more++) {
		struct peer *peer = peer_ready();

		sends = false;
		for (unsigned i = 1; i < 64; i++)
			event(64 * KiB);
		event(64 * KiB + more);
		sends = true;
		pump(0);
		assert_int_equal(peer_ended(peer, 0), more);
		peer_close(peer);
		pump(0);
	}
}

/* Its input is at its end, which the loop would say again and again, and answers wait for it. */
static void half_closed_without_reading(void **state)
{
	struct peer *peer = peer_ready();

	for (unsigned i = 0; i < 300; i++) {
		peer_send(peer, "{\"execute\":\"query-commands\"}");
		pump(0);
	}
	shutdown(peer->fd, SHUT_WR);
	pump(0); /* which ends */
	peer_close(peer);
	pump(0);
}

/* A client that the loop cannot watch is let go, and its place is the next one's. */
static void a_client_that_cannot_be_watched(void **state)
{
	for (unsigned i = 0; i < 2 * CONTROL_CLIENTS; i++) {
		struct peer *peer = peer_connect();

		fake_loop_refuse(1);
		pump(0);
		assert_true(peer_ended(peer, 0));
		peer_close(peer);
	}
	assert_int_equal(fake_loop_watches(), 1);
	peer_close(peer_ready());
	pump(0);
}

/* ---- Callers ---- */

/* Without a descriptor a caller waits, and so does the loop: it asks again a second later. */
static void callers_wait_for_a_descriptor(void **state)
{
	static const int errors_of_host[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS };

	for (size_t i = 0; i < ARRAY_SIZE(errors_of_host); i++) {
		struct peer *peer;
		json_t *line;

		accept_error = errors_of_host[i];
		accepts = 0;
		peer = peer_connect();
		pump(999);
		assert_int_equal(accepts, 1);
		accept_error = 0;
		fake_loop_advance(1);
		line = peer_line(peer, 0, NULL);
		if (!line) {
			pump(0);
			line = peer_line(peer, 0, NULL);
		}
		assert_non_null(json_object_get(line, "QMP"));
		json_decref(line);
		assert_int_equal(accepts, 2);
		peer_close(peer);
		pump(0);
	}
	/* A caller that has gone meanwhile keeps nobody else out. */
	accept_error = ECONNABORTED;
	accepts = 0;
	peer_close(peer_connect());
	fake_loop_serve();
	accept_error = 0;
	pump(0);
	assert_int_equal(accepts, 2);
	/* Nor does the timer outlive the socket. */
	accept_error = EMFILE;
	peer_close(peer_connect());
	pump(0);
	accept_error = 0;
	assert_int_equal(fake_loop_timers(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_are_reported),
		TEST(strays_are_counted_and_reported),
		TEST(size_events_are_limited_and_end_true),
		TEST(nothing_is_reported_of_a_machine_that_is_gone),
		TEST(machines_come_and_go),
		TEST(requests_are_held_at_the_edge),
		TEST(a_client_is_dropped_at_the_edge),
		TEST(half_closed_without_reading),
		TEST(a_client_that_cannot_be_watched),
		TEST(callers_wait_for_a_descriptor),
	};

	return cmocka_run_group_tests_name("control-time", tests, NULL, NULL);
}
