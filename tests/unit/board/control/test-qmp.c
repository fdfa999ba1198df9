/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of one client: its states, the form of requests, and input meant to break it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board/control/qmp.h"

static struct fixture {
	struct qmp qmp;
	json_t *lines; /* what came out, as an array */
	unsigned runs;
	unsigned hold_after; /* lines, 0: never */
} fixture;

static json_t *run_capabilities(struct qmp *qmp, json_t *arguments)
{
	qmp->negotiated = true;
	return json_object();
}

static json_t *run_echo(struct qmp *qmp, json_t *arguments)
{
	fixture.runs++;
	return json_incref(arguments);
}

static json_t *run_fail(struct qmp *qmp, json_t *arguments)
{
	return qmp_fail(qmp, QMP_DEVICE_NOT_FOUND, "no %s", "luck");
}

static json_t *run_later(struct qmp *qmp, json_t *arguments)
{
	fixture.runs++;
	return qmp_later(qmp);
}

static const struct qmp_argument echo_arguments[] = {
	{ "text", "string" },
	{ "number", "integer", true },
	{ "list", "array", true },
	{ "flag", "boolean", true },
	{ "any", "any", true },
	{ 0 },
};

static const struct qmp_command commands[] = {
	{ "qmp_capabilities", run_capabilities },
	{ "echo", run_echo, echo_arguments },
	{ "fail", run_fail },
	{ "later", run_later },
	{ 0 },
};

static void take_line(struct qmp *qmp, const char *line, size_t len)
{
	json_t *message;

	assert_true(len > 2 && !memcmp(line + len - 2, "\r\n", 2));
	assert_null(memchr(line, '\n', len - 1));
	message = json_loadb(line, len, 0, NULL);
	assert_non_null(message);
	json_array_append_new(fixture.lines, message);
	if (fixture.hold_after && json_array_size(fixture.lines) >= fixture.hold_after)
		qmp->hold = true;
}

static int setup(void **state)
{
	fixture = (struct fixture){ .qmp = { .commands = commands, .send = take_line },
		.lines = json_array() };
	qmp_greet(&fixture.qmp);
	json_array_clear(fixture.lines);
	fixture.qmp.negotiated = true;
	return 0;
}

static int teardown(void **state)
{
	qmp_finish(&fixture.qmp);
	json_decref(fixture.lines);
	return 0;
}

static ssize_t feed(const char *text)
{
	return qmp_feed(&fixture.qmp, text, strlen(text));
}

/* Member `name` of the latest line's error; NULL when it is none. */
static const char *error(const char *name)
{
	size_t n = json_array_size(fixture.lines);
	json_t *line = n ? json_array_get(fixture.lines, n - 1) : NULL;

	return json_string_value(json_object_get(json_object_get(line, "error"), name));
}

static void assert_lines(size_t n)
{
	assert_int_equal(json_array_size(fixture.lines), n);
}

/* Feeds one request; it must be answered by one error with this text. */
static void assert_refused(const char *request, const char *class, const char *text)
{
	json_array_clear(fixture.lines);
	assert_int_equal(feed(request), strlen(request));
	assert_lines(1);
	assert_non_null(error("desc"));
	assert_string_equal(error("desc"), text);
	assert_string_equal(error("class"), class);
}

static void assert_alive(void)
{
	unsigned runs = fixture.runs;

	json_array_clear(fixture.lines);
	feed("{\"execute\":\"echo\",\"arguments\":{\"text\":\"\"},\"id\":7}");
	assert_lines(1);
	assert_int_equal(fixture.runs, runs + 1);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(fixture.lines, 0), "id")), 7);
}

static void greeting_and_negotiation(void **state)
{
	json_t *greeting;

	fixture.qmp.negotiated = false;
	qmp_greet(&fixture.qmp);
	greeting = json_object_get(json_array_get(fixture.lines, 0), "QMP");
	assert_true(json_is_array(json_object_get(greeting, "capabilities")));
	assert_true(json_is_integer(json_object_get(
		json_object_get(json_object_get(greeting, "version"), "qemu"), "major")));
	assert_refused("{\"execute\":\"echo\"}", "CommandNotFound",
		"Expecting capabilities negotiation with 'qmp_capabilities'");
	feed("{\"execute\":\"qmp_capabilities\"}");
	assert_lines(2);
	assert_true(fixture.qmp.negotiated);
	assert_refused("{\"execute\":\"qmp_capabilities\"}", "CommandNotFound",
		"Capabilities negotiation is already complete, command ignored");
	assert_alive();
}

static void form_of_requests(void **state)
{
	static const char generic[] = "GenericError";

	assert_refused("[]", generic, "QMP input must be a JSON object");
	assert_refused("{}", generic, "QMP input lacks member 'execute'");
	assert_refused("{\"execute\":1}", generic, "QMP input member 'execute' must be a string");
	assert_refused("{\"execute\":\"echo\",\"arguments\":1}", generic,
		"QMP input member 'arguments' must be an object");
	assert_refused(
		"{\"execute\":\"echo\",\"x\":1}", generic, "QMP input member 'x' is unexpected");
	assert_refused(
		"{\"execute\":\"ech\"}", "CommandNotFound", "The command ech has not been found");
	assert_refused("{\"execute\":\"echo\"}", generic, "Parameter 'text' is missing");
	assert_refused("{\"execute\":\"echo\",\"arguments\":{\"text\":1}}", generic,
		"Invalid parameter type for 'text', expected: string");
	assert_refused("{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"number\":\"1\"}}",
		generic, "Invalid parameter type for 'number', expected: integer");
	assert_refused("{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"list\":{}}}", generic,
		"Invalid parameter type for 'list', expected: array");
	assert_refused("{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"flag\":0}}", generic,
		"Invalid parameter type for 'flag', expected: boolean");
	assert_refused("{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"more\":1}}", generic,
		"Parameter 'more' is unexpected");
	assert_refused("{\"execute\":\"fail\",\"arguments\":{\"text\":1}}", generic,
		"Parameter 'text' is unexpected");
	assert_refused("{\"execute\":\"fail\"}", "DeviceNotFound", "no luck");
	assert_int_equal(fixture.runs, 0);
	assert_alive();
}

static void id_of_any_type_is_echoed(void **state)
{
	static const char *const ids[] = { "1", "\"x\"", "null", "{\"a\":[1,{}]}", "[]", "1.5" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		char request[200];
		json_t *id = json_loads(ids[i], JSON_DECODE_ANY, NULL);

		snprintf(request, sizeof(request),
			"{\"id\":%s,\"execute\":\"nope\"} {\"execute\":\"echo\",\"id\":%s,"
			"\"arguments\":{\"text\":\"\"}}",
			ids[i], ids[i]);
		json_array_clear(fixture.lines);
		feed(request);
		assert_lines(2);
		for (size_t n = 0; n < 2; n++)
			assert_true(json_equal(
				json_object_get(json_array_get(fixture.lines, n), "id"), id));
		json_decref(id);
	}
	json_array_clear(fixture.lines);
	feed("{\"execute\":\"fail\"}");
	assert_null(json_object_get(json_array_get(fixture.lines, 0), "id"));
}

static const char many[] =
	"{\"execute\":\"echo\",\"arguments\":{\"text\":\"}{ \\\"] \\\\\",\"any\":[[{}]]},\"id\":1}"
	"{\"execute\":\"fail\"}\n\r\n \t{ \"execute\" : \"echo\", "
	"\"arguments\":{\"text\":\"\\u20ac\"}}"
	"garbage {\"execute\":\"fail\"}\n{\"execute\"]{\"execute\":\"none\",\"id\":\"]\"}";

/* One stream of requests, good and bad, cut at every place: the answers are the same. */
static void split_at_every_byte(void **state)
{
	json_t *whole;

	feed(many);
	whole = json_copy(fixture.lines);
	assert_lines(7);
	for (size_t cut = 0; cut <= strlen(many); cut++) {
		json_array_clear(fixture.lines);
		qmp_feed(&fixture.qmp, many, cut);
		qmp_feed(&fixture.qmp, many + cut, strlen(many) - cut);
		assert_true(json_equal(fixture.lines, whole));
	}
	json_array_clear(fixture.lines);
	for (const char *c = many; *c; c++)
		assert_int_equal(qmp_feed(&fixture.qmp, c, 1), 1);
	assert_true(json_equal(fixture.lines, whole));
	json_decref(whole);
}

/* What `hold` stops goes on from the same byte. */
static void hold_stops_between_requests(void **state)
{
	size_t taken = 0, rounds = 0;

	while (taken < strlen(many)) {
		fixture.hold_after = (unsigned)json_array_size(fixture.lines) + 1;
		fixture.qmp.hold = false;
		taken += (size_t)qmp_feed(&fixture.qmp, many + taken, strlen(many) - taken);
		rounds++;
	}
	assert_lines(7);
	assert_int_equal(rounds, 7);
}

static void garbage_then_resync(void **state)
{
	static const char *const bad[] = {
		"hello world\n",
		"123\n",
		"\"{\"\n\xff",
		"{\"execute\": }",
		"{\"execute\"",
		"{\"execute\":\"a\nb\"}\n",
		"}}}}]]\n",
		"{]",
		"{\"execute\":\"fail\",\"execute\":\"fail\"}",
		"{\"execute\":\"\\u0000\"}",
		"{\"execute\":\"\xc3\x28\"}",
		"{\"execute\":99999999999999999999999}",
		"{'execute':'echo'}",
		"{\"éééééééééééé\" x}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		json_array_clear(fixture.lines);
		assert_int_equal(feed(bad[i]), strlen(bad[i]));
		feed("\xff\n"); /* as a client does that wants to be sure */
		assert_true(json_array_size(fixture.lines) >= 1);
		assert_string_equal(error("class"), "GenericError");
		assert_alive();
	}
	assert_int_equal(fixture.runs, sizeof(bad) / sizeof(*bad));
	/* A string that is never closed ends with its line, not with the connection. */
	feed("{\"execute\":\"ec\n");
	assert_alive();
}

static void random_bytes(void **state)
{
	uint64_t seed = 1;

	for (int i = 0; i < 200000; i++) {
		static const char marks[] = "{}[]\":,\\ \n{\"execute\":\"echo\"}\xff";
		char c;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		c = seed >> 63 ? marks[(seed >> 33) % (sizeof(marks) - 1)] : (char)(seed >> 40);
		if (qmp_feed(&fixture.qmp, &c, 1) < 0) {
			qmp_finish(&fixture.qmp);
			fixture.qmp = (struct qmp){
				.commands = commands, .send = take_line, .negotiated = true
			};
		}
		if (i % 1000 == 0)
			json_array_clear(fixture.lines);
	}
	feed("\xff\n");
	assert_alive();
}

/* One that is answered later keeps those behind it, and its id. */
static void an_answer_that_comes_later(void **state)
{
	static const char two[] = "{\"execute\":\"later\",\"id\":[1]}{\"execute\":\"fail\"}";
	size_t first = strchr(two, '}') + 1 - two;

	assert_int_equal(feed(two), first);
	assert_int_equal(feed(two + first), 0);
	assert_lines(0);
	qmp_answer(&fixture.qmp, json_integer(9));
	assert_lines(1);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(fixture.lines, 0), "return")), 9);
	assert_int_equal(
		json_array_size(json_object_get(json_array_get(fixture.lines, 0), "id")), 1);
	json_array_clear(fixture.lines);
	assert_int_equal(feed(two + first), strlen(two + first));
	assert_lines(1);
	assert_null(json_object_get(json_array_get(fixture.lines, 0), "id"));
	/* It may fail as late; and goes with its conversation. */
	json_array_clear(fixture.lines);
	feed("{\"execute\":\"later\"}");
	qmp_answer(&fixture.qmp, qmp_fail(&fixture.qmp, QMP_GENERIC_ERROR, "late"));
	assert_string_equal(error("desc"), "late");
	json_array_clear(fixture.lines);
	feed("{\"execute\":\"later\",\"id\":\"kept\"}");
	assert_lines(0);
}

static void nesting_is_bounded(void **state)
{
	char deep[4 * QMP_NESTING_MAX] =
		"{\"execute\":\"echo\",\"arguments\":{\"text\":\"\",\"any\":";
	size_t start = strlen(deep);

	memset(deep + start, '[', QMP_NESTING_MAX - 2);
	memset(deep + start + QMP_NESTING_MAX - 2, ']', QMP_NESTING_MAX - 2);
	strcpy(deep + start + 2 * (QMP_NESTING_MAX - 2), "}}");
	assert_int_equal(feed(deep), strlen(deep));
	assert_int_equal(fixture.runs, 1);

	memset(deep, '[', sizeof(deep));
	json_array_clear(fixture.lines);
	assert_int_equal(qmp_feed(&fixture.qmp, deep, sizeof(deep)), -EMSGSIZE);
	assert_lines(1);
	assert_string_equal(error("desc"), "JSON nesting depth limit exceeded");
	assert_alive();
}

static void size_is_bounded(void **state)
{
	static const char head[] = "{\"execute\":\"echo\",\"arguments\":{\"text\":\"",
			  tail[] = "\"}}";
	size_t fits = QMP_REQUEST_MAX - strlen(head) - strlen(tail);
	char *text = malloc(fits + 1);

	memset(text, 'x', fits + 1);
	for (size_t more = 0; more < 2; more++) {
		json_array_clear(fixture.lines);
		feed(head);
		assert_int_equal(qmp_feed(&fixture.qmp, text, fits + more), fits + more);
		assert_int_equal(feed(tail), more ? -EMSGSIZE : (int)strlen(tail));
		assert_lines(1);
	}
	assert_int_equal(fixture.runs, 1);
	assert_string_equal(error("desc"), "JSON token size limit exceeded");
	free(text);
}

static void events_have_a_timestamp(void **state)
{
	size_t len;
	char *line = qmp_event_line("RESET", json_pack("{s:b}", "guest", 1), &len);
	json_t *event = json_loadb(line, len, 0, NULL);

	assert_string_equal(json_string_value(json_object_get(event, "event")), "RESET");
	assert_true(json_is_true(json_object_get(json_object_get(event, "data"), "guest")));
	assert_true(json_integer_value(json_object_get(
			    json_object_get(event, "timestamp"), "seconds")) > 1600000000);
	json_decref(event);
	free(line);
	line = qmp_event_line("POWERDOWN", NULL, &len);
	event = json_loadb(line, len, 0, NULL);
	assert_int_equal(json_object_size(event), 2);
	json_decref(event);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(greeting_and_negotiation, setup, teardown),
		cmocka_unit_test_setup_teardown(form_of_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(id_of_any_type_is_echoed, setup, teardown),
		cmocka_unit_test_setup_teardown(split_at_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(hold_stops_between_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_then_resync, setup, teardown),
		cmocka_unit_test_setup_teardown(random_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_that_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(nesting_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(size_is_bounded, setup, teardown),
		cmocka_unit_test(events_have_a_timestamp),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
