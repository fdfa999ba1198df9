/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's side of a QMP conversation (QEMU's docs/interop/qmp-spec), without its socket:
 * bytes go in by qmp_feed(), lines come out by `send`. Commands are a table. The size and the
 * nesting of a request are bounded here; jansson parses the JSON.
 *
 *   state        | commands taken                 | events
 *   -------------+--------------------------------+-------
 *   negotiating  | qmp_capabilities               | none
 *   command mode | all others                     | all
 */
#ifndef SLUICE_BOARD_CONTROL_QMP_H
#define SLUICE_BOARD_CONTROL_QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QMP_REQUEST_MAX (64 << 10) /* bytes; parsed in a millisecond or two */
#define QMP_NESTING_MAX 64

struct loop;
struct machine;
struct map_query;
struct qmp;

/* What commands work on. */
struct qmp_scope {
	struct loop *loop;	 /* serves the socket */
	struct machine *machine; /* NULL while there is none */
	struct map_query *map;
};

struct qmp_argument {
	const char *name;
	const char *expected; /* for errors: "string", "integer", "array", or "any" */
	bool optional;
};

struct qmp_command {
	const char *name;
	/*
	 * `arguments` is an object that holds what the table says and nothing else. Returns a new
	 * reference, or NULL after qmp_fail() or qmp_later().
	 */
	json_t *(*run)(struct qmp *qmp, json_t *arguments);
	const struct qmp_argument *arguments; /* the last has no name; NULL: none */
	bool machine;			      /* it fails while the scope has no machine */
};

struct qmp {
	const struct qmp_command *commands; /* the last has no name */
	const struct qmp_scope *scope;
	/* Takes a line with its newline. Must not free the qmp. */
	void (*send)(struct qmp *qmp, const char *line, size_t len);
	bool negotiated;
	bool hold;  /* set by `send` to make qmp_feed() stop after the current request */
	bool later; /* the same, until qmp_answer() has answered the request */
	json_t *id; /* of that request, or NULL */

	/* The request that is being read. */
	char *request;
	size_t len, capacity;
	unsigned nesting;
	bool in_string, escaped, skipping;
	/* The failure of the current command. */
	const char *error_class;
	json_t *error_text;
};

/* Zero but for `commands`, `scope` and `send` before this; sends the greeting. */
void qmp_greet(struct qmp *qmp);
void qmp_finish(struct qmp *qmp);

/*
 * Takes bytes in any pieces and answers each request that they complete. Returns how many bytes
 * it took: all of them unless `hold` or `later` was set. -EMSGSIZE beyond a bound: the client got an
 * error, and is to be closed. -ENOMEM.
 */
ssize_t qmp_feed(struct qmp *qmp, const char *buf, size_t len);

#define QMP_GENERIC_ERROR     "GenericError"
#define QMP_COMMAND_NOT_FOUND "CommandNotFound"
#define QMP_DEVICE_NOT_FOUND  "DeviceNotFound"
#define QMP_DEVICE_NOT_ACTIVE "DeviceNotActive"

/* Sets the error that answers the current command; returns NULL. */
json_t *qmp_fail(struct qmp *qmp, const char *class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define qmp_refuse(qmp, ...) qmp_fail(qmp, QMP_GENERIC_ERROR, __VA_ARGS__)

/* For a command whose answer takes longer than a turn; qmp_answer() gives it later. Returns NULL. */
json_t *qmp_later(struct qmp *qmp);
/* Answers with `result`, or if that is NULL with qmp_fail()'s error. Takes the reference. */
void qmp_answer(struct qmp *qmp, json_t *result);

/* {"error": ...} as a line; malloc'ed, NULL without memory. For a connection without a conversation. */
char *qmp_error_line(const char *text, size_t *ret_len);

static inline json_t *qmp_integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* {"qemu": ..., "package": ...} */
json_t *qmp_version(void);

/* An event's line, malloc'ed; takes the reference to `data`, which may be NULL. */
char *qmp_event_line(const char *name, json_t *data, size_t *ret_len);

#endif
