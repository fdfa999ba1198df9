/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of one client; see qmp.h. A small lexer finds the end of each request, byte by byte, so that a request
 * in many pieces costs no more than one in a single piece. Only whole requests are parsed. The lexer resynchronizes as
 * QEMU's does: after garbage, at the next brace or control character. The bytes 0xfe and 0xff, which no JSON has, end
 * an unfinished request.
 */
#include "board/control/qmp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hyp/base/util.h"

json_t *qmp_version(void)
{
	/* Clients expect QEMU's version: the one whose schema the commands follow. The package is Sluice's. */
	return json_pack("{s:{s:i,s:i,s:i},s:s}", "qemu", "micro", 0, "minor", 0, "major", 10,
		"package", "sluice " SLUICE_VERSION);
}

/* Takes the reference. */
static char *line_of(json_t *message, size_t *ret_len)
{
	char *text = message ? json_dumps(message, 0) : NULL;
	size_t len = text ? strlen(text) : 0;
	char *line = text ? realloc(text, len + 3) : NULL;

	json_decref(message);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + len, "\r\n", 3);
	*ret_len = len + 2;
	return line;
}

static void send_message(struct qmp *qmp, json_t *message)
{
	size_t len;
	char *line = line_of(message, &len);

	if (line)
		qmp->send(qmp, line, len);
	free(line);
}

char *qmp_error_line(const char *text, size_t *ret_len)
{
	return line_of(
		json_pack("{s:{s:s,s:s}}", "error", "class", QMP_GENERIC_ERROR, "desc", text),
		ret_len);
}

char *qmp_event_line(const char *name, json_t *data, size_t *ret_len)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return line_of(json_pack("{s:{s:I,s:I},s:s,s:o*}", "timestamp", "seconds",
			       (json_int_t)now.tv_sec, "microseconds",
			       (json_int_t)now.tv_nsec / 1000, "event", name, "data", data),
		ret_len);
}

void qmp_greet(struct qmp *qmp)
{
	send_message(
		qmp, json_pack("{s:{s:o,s:[]}}", "QMP", "version", qmp_version(), "capabilities"));
}

void qmp_finish(struct qmp *qmp)
{
	free(qmp->request);
	json_decref(qmp->error_text);
	json_decref(qmp->id);
	qmp->request = NULL;
	qmp->error_text = qmp->id = NULL;
}

json_t *qmp_fail(struct qmp *qmp, const char *class, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_decref(qmp->error_text);
	qmp->error_class = class;
	qmp->error_text = json_vsprintf(format, args);
	va_end(args);
	return NULL;
}

/* Answers with `result`, or if that is NULL with the failure that was set. Takes the reference. */
static void answer(struct qmp *qmp, json_t *result, json_t *id)
{
	json_t *message;

	if (result)
		message = json_pack("{s:o}", "return", result);
	else if (qmp->error_text)
		message = json_pack("{s:{s:s,s:O}}", "error", "class", qmp->error_class, "desc",
			qmp->error_text);
	else
		message = json_pack("{s:{s:s,s:s}}", "error", "class", QMP_GENERIC_ERROR, "desc",
			"Out of memory");
	if (message && id)
		json_object_set(message, "id", id);
	send_message(qmp, message);
	json_decref(qmp->error_text);
	qmp->error_text = NULL;
}

json_t *qmp_later(struct qmp *qmp)
{
	qmp->later = true;
	return NULL;
}

void qmp_answer(struct qmp *qmp, json_t *result)
{
	json_t *id = qmp->id;

	qmp->later = false;
	qmp->id = NULL;
	answer(qmp, result, id);
	json_decref(id);
}

static bool type_fits(const char *expected, const json_t *value)
{
	switch (expected[0]) {
	case 's':
		return json_is_string(value);
	case 'i':
		return json_is_integer(value);
	case 'b':
		return json_is_boolean(value);
	default:
		return expected[1] == 'n' || json_is_array(value); /* "any", "array" */
	}
}

static bool arguments_fit(struct qmp *qmp, const struct qmp_command *command, json_t *arguments)
{
	static const struct qmp_argument none[] = { { 0 } };
	const struct qmp_argument *table = command->arguments ? command->arguments : none, *a;
	const char *key;
	json_t *value;

	for (a = table; a->name; a++) {
		value = json_object_get(arguments, a->name);
		if (!value && a->optional)
			continue;
		if (!value)
			return qmp_refuse(qmp, "Parameter '%s' is missing", a->name);
		if (!type_fits(a->expected, value))
			return qmp_refuse(qmp, "Invalid parameter type for '%s', expected: %s",
				a->name, a->expected);
	}
	json_object_foreach(arguments, key, value)
	{
		for (a = table; a->name && strcmp(a->name, key); a++)
			;
		if (!a->name)
			return qmp_refuse(qmp, "Parameter '%s' is unexpected", key);
	}
	return true;
}

/* Checks the form of a request: its members and their types. */
static bool request_fits(struct qmp *qmp, json_t *request)
{
	json_t *execute = json_object_get(request, "execute"), *value;
	const char *key;

	json_object_foreach(request, key, value)
	{
		if (!strcmp(key, "arguments") && !json_is_object(value))
			return qmp_refuse(qmp, "QMP input member 'arguments' must be an object");
		if (strcmp(key, "execute") && strcmp(key, "arguments") && strcmp(key, "id"))
			return qmp_refuse(qmp, "QMP input member '%s' is unexpected", key);
	}
	if (!execute)
		return qmp_refuse(qmp, "QMP input lacks member 'execute'");
	if (!json_is_string(execute))
		return qmp_refuse(qmp, "QMP input member 'execute' must be a string");
	return true;
}

static json_t *run_request(struct qmp *qmp, json_t *request)
{
	const char *name;
	const struct qmp_command *command;
	json_t *arguments, *result;
	bool negotiates;

	if (!json_is_object(request))
		return qmp_refuse(qmp, "QMP input must be a JSON object");
	if (!request_fits(qmp, request))
		return NULL;
	name = json_string_value(json_object_get(request, "execute"));
	negotiates = !strcmp(name, "qmp_capabilities");
	if (!qmp->negotiated && !negotiates)
		return qmp_fail(qmp, QMP_COMMAND_NOT_FOUND,
			"Expecting capabilities negotiation with 'qmp_capabilities'");
	if (qmp->negotiated && negotiates)
		return qmp_fail(qmp, QMP_COMMAND_NOT_FOUND,
			"Capabilities negotiation is already complete, command ignored");
	for (command = qmp->commands; command->name && strcmp(command->name, name); command++)
		;
	if (!command->name)
		return qmp_fail(
			qmp, QMP_COMMAND_NOT_FOUND, "The command %s has not been found", name);
	arguments = json_object_get(request, "arguments");
	arguments = arguments ? json_incref(arguments) : json_object();
	if (!arguments || !arguments_fit(qmp, command, arguments))
		result = NULL;
	else if (command->machine && !qmp->scope->machine)
		result = qmp_refuse(qmp, "The machine is not ready yet");
	else
		result = command->run(qmp, arguments);
	json_decref(arguments);
	return result;
}

static void serve_request(struct qmp *qmp)
{
	json_error_t error;
	json_t *request = json_loadb(qmp->request, qmp->len, JSON_REJECT_DUPLICATES, &error);

	if (request) {
		json_t *result = run_request(qmp, request);

		qmp->id = json_incref(json_object_get(request, "id"));
		if (!qmp->later)
			qmp_answer(qmp, result);
	} else {
		/* jansson's excerpt of the input may end inside a character: then the text is left out. */
		qmp_refuse(qmp, "JSON parse error, %s", error.text);
		if (!qmp->error_text)
			qmp_refuse(qmp, "JSON parse error");
		answer(qmp, NULL, NULL);
	}
	json_decref(request);
}

static void begin(struct qmp *qmp)
{
	qmp->len = 0;
	qmp->nesting = 0;
	qmp->in_string = qmp->escaped = qmp->skipping = false;
}

static void refuse(struct qmp *qmp, const char *text)
{
	begin(qmp);
	qmp_refuse(qmp, "%s", text);
	answer(qmp, NULL, NULL);
}

static int append(struct qmp *qmp, char c)
{
	if (qmp->len == QMP_REQUEST_MAX) {
		refuse(qmp, "JSON token size limit exceeded");
		return -EMSGSIZE;
	}
	if (qmp->len == qmp->capacity) {
		size_t capacity = qmp->capacity ? qmp->capacity * 2 : 256;
		char *grown = realloc(qmp->request, capacity);

		if (!grown)
			return -ENOMEM;
		qmp->request = grown;
		qmp->capacity = capacity;
	}
	qmp->request[qmp->len++] = c;
	return 0;
}

/* Takes a byte between requests. */
static void take_outside(struct qmp *qmp, unsigned char c)
{
	bool control = c <= ' ' || c >= 0xfe;

	if (qmp->skipping)
		qmp->skipping = !control || c == ' ';
	else if (!control) {
		refuse(qmp, "JSON parse error, expecting an object");
		qmp->skipping = true;
	}
}

static int take(struct qmp *qmp, unsigned char c)
{
	int err;

	if (!qmp->nesting && c != '{' && c != '[') {
		take_outside(qmp, c);
		return 0;
	}
	if (c >= 0xfe || (qmp->in_string && c < ' ')) {
		refuse(qmp, "JSON parse error, invalid character in a request");
		return 0;
	}
	qmp->skipping = false;
	err = append(qmp, (char)c);
	if (err)
		return err;
	if (qmp->in_string) {
		qmp->in_string = qmp->escaped || c != '"';
		qmp->escaped = !qmp->escaped && c == '\\';
	} else if (c == '"') {
		qmp->in_string = true;
	} else if (c == '{' || c == '[') {
		if (++qmp->nesting > QMP_NESTING_MAX) {
			refuse(qmp, "JSON nesting depth limit exceeded");
			return -EMSGSIZE;
		}
	} else if ((c == '}' || c == ']') && !--qmp->nesting) {
		serve_request(qmp);
		begin(qmp);
	}
	return 0;
}

ssize_t qmp_feed(struct qmp *qmp, const char *buf, size_t len)
{
	size_t taken = 0;

	while (taken < len && !qmp->hold && !qmp->later) {
		int err = take(qmp, (unsigned char)buf[taken++]);

		if (err)
			return err;
	}
	/* Frees a large buffer between requests. */
	if (!qmp->len && qmp->capacity > 4096) {
		free(qmp->request);
		qmp->request = NULL;
		qmp->capacity = 0;
	}
	return (ssize_t)taken;
}
