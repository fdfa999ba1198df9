/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a control socket; see client.h. */
#include "board/cli/client.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "board/host/libraries.h"
#include "board/host/socket.h"
#include "board/text/errors.h"
#include "board/text/plain.h"
#include "hyp/base/loop.h"

/* On a busy host with a nested guest, one change of the guest's map was seen to take 14 s. */
#define ANSWER_MS  30000
#define ANSWER_MAX (8 << 20) /* longer than any answer: not Sluice, or broken */

struct client {
	int fd;
	int process; /* a pidfd; -1: not known */
	char *path;
	char *buf;
	size_t len, capacity;
	bool event; /* one arrived since client_wait() last returned 1 */
};

/* The length of the socket's path in `text`: FOLDER/X.sock, which ends at its end or its last '/'. 0: none. */
static size_t socket_part(const char *text)
{
	const char *last = strrchr(text, '/');
	size_t ends[] = { strlen(text), last ? (size_t)(last - text) : 0 };

	for (size_t i = 0; i < 2; i++)
		if (ends[i] > 5 && !strncmp(text + ends[i] - 5, ".sock", 5) &&
			memchr(text, '/', ends[i]))
			return ends[i];
	return 0;
}

int client_target_read(
	const char *text, const char *control, struct errors *errors, struct client_target *ret)
{
	size_t part = socket_part(text);
	const char *node;
	char *path;

	if (control) {
		if (*text && *text != '/') {
			error_add(errors, text, NULL,
				"the machine is named by --control already; only /NODE may follow");
			return -EINVAL;
		}
		path = strdup(control);
		node = text;
	} else if (part) {
		path = strndup(text, part);
		node = text + part;
	} else {
		char *name = strndup(text, strcspn(text, "/"));

		path = name ? control_path(name, false, errors) : NULL;
		node = text + strcspn(text, "/");
		free(name);
	}
	if (!path)
		return errors_any(errors) ? -EINVAL : -ENOMEM;
	ret->path = path;
	ret->node = *node && node[1] ? strdup(node + 1) : NULL;
	return 0;
}

void client_target_finish(struct client_target *target)
{
	free(target->path);
	free(target->node);
	*target = (struct client_target){ 0 };
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

size_t client_machines(struct errors *errors, char ***ret)
{
	char *folder = control_folder(errors), **names;
	struct dirent **entries = NULL;
	int count = folder ? scandir(folder, &entries, NULL, alphasort) : 0;
	size_t found = 0;

	if (count < 0 && errno != ENOENT)
		error_add(errors, folder, NULL, "cannot be read: %s", strerror(errno));
	names = count > 0 ? calloc((size_t)count, sizeof(*names)) : NULL;
	for (int i = 0; i < count; i++) {
		char *ending = strrchr(entries[i]->d_name, '.'), *path;
		int fd = -1;

		if (names && ending && !strcmp(ending, ".sock") &&
			asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0) {
			fd = connect_to(path);
			free(path);
		}
		if (fd >= 0) {
			close(fd);
			*ending = '\0';
			names[found] = strdup(entries[i]->d_name);
			found += names[found] != NULL;
		}
		free(entries[i]);
	}
	free(entries);
	free(folder);
	*ret = names;
	return found;
}

/* "a, b", malloc'ed; NULL if no machine of this user answers. */
static char *running_machines(void)
{
	struct errors unused = { 0 };
	char **names, *list = NULL;
	size_t count = client_machines(&unused, &names);

	for (size_t i = 0; i < count; i++) {
		list_add(&list, "%s", names[i]);
		free(names[i]);
	}
	free(names);
	errors_finish(&unused);
	return list;
}

static void explain_no_connection(const char *path, int err, struct errors *errors)
{
	char *running;

	if (err == -EACCES || err == -EPERM) {
		error_add(errors, path, NULL,
			"no permission: only the owner may use this socket; run this as the machine's user");
		return;
	}
	if (err != -ENOENT && err != -ECONNREFUSED && err != -ENOTDIR) {
		error_add(errors, path, NULL, "%s", strerror(-err));
		return;
	}
	running = running_machines();
	if (running)
		error_add(errors, path, NULL, "no machine runs there; running: %s", running);
	else
		error_add(errors, path, NULL,
			"no machine runs there, nor any other of this user (%s)",
			geteuid() ? "machines that root runs need sudo here as well"
				  : "machines of other users: --control PATH");
	free(running);
}

/*
 * The next message, a new reference, or NULL with `errno` ETIMEDOUT, EINTR or ECONNRESET. A signal
 * ends the wait only before a message begins.
 */
static json_t *next_message(struct client *client, int ms)
{
	uint64_t end = loop_now_ms() + (uint64_t)ms;

	for (size_t searched = 0;;) {
		char *newline = client->len > searched ? memchr(client->buf + searched, '\n',
								 client->len - searched)
						       : NULL;
		struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
		uint64_t now = loop_now_ms();
		ssize_t n;

		if (newline) {
			size_t used = (size_t)(newline + 1 - client->buf);
			json_t *message = json_loadb(client->buf, used, 0, NULL);

			client->len -= used;
			memmove(client->buf, newline + 1, client->len);
			errno = message ? 0 : ECONNRESET;
			return message;
		}
		searched = client->len;
		if (poll(&poll_fd, 1, now < end ? (int)(end - now) : 0) < 0) {
			if (errno == EINTR && client->len)
				continue;
			return NULL;
		}
		if (!poll_fd.revents) {
			errno = ETIMEDOUT;
			return NULL;
		}
		if (client->len == client->capacity) {
			size_t capacity = client->capacity ? client->capacity * 2 : 65536;
			char *grown = capacity > ANSWER_MAX ? NULL : realloc(client->buf, capacity);

			if (!grown) {
				errno = ECONNRESET;
				return NULL;
			}
			client->buf = grown;
			client->capacity = capacity;
		}
		n = recv(client->fd, client->buf + client->len, client->capacity - client->len, 0);
		if (n <= 0) {
			errno = ECONNRESET;
			return NULL;
		}
		client->len += (size_t)n;
	}
}

/* The next message that is not an event. */
static json_t *next_answer(struct client *client, struct errors *errors)
{
	json_t *message;

	for (;;) {
		message = next_message(client, ANSWER_MS);
		if (!message && errno == EINTR)
			continue;
		if (!message) {
			error_add(errors, client->path, NULL, "%s",
				errno == ETIMEDOUT ? "the machine does not answer"
						   : "the machine ended");
			return NULL;
		}
		if (!json_object_get(message, "event"))
			return message;
		client->event = true;
		json_decref(message);
	}
}

json_t *client_call(
	struct client *client, const char *command, json_t *arguments, struct errors *errors)
{
	json_t *request = json_pack("{s:s,s:o*}", "execute", command, "arguments", arguments);
	char *text = json_dumps(request, 0);
	json_t *message = NULL, *result = NULL;

	/* If send() fails, next_answer() finds the connection closed. */
	if (text && send(client->fd, text, strlen(text), MSG_NOSIGNAL) <= (ssize_t)strlen(text))
		message = next_answer(client, errors);
	result = json_incref(json_object_get(message, "return"));
	if (message && !result) {
		const char *desc = json_string_value(
			json_object_get(json_object_get(message, "error"), "desc"));

		error_add(errors, client->path, NULL, "%s", desc ? desc : "an answer that is none");
	}
	json_decref(message);
	json_decref(request);
	free(text);
	return result;
}

int client_connect(const char *path, struct errors *errors)
{
	int fd = connect_to(path);

	if (fd < 0)
		explain_no_connection(path, fd, errors);
	return fd;
}

static int process_of(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.pid <= 0 ||
		peer.pid == getpid())
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

bool client_process_ended(const struct client *client, int ms)
{
	struct pollfd end = { .fd = client->process, .events = POLLIN };

	return client->process < 0 || poll(&end, 1, ms) > 0;
}

int client_open(const char *path, struct errors *errors, struct client **ret)
{
	struct client *client;
	json_t *message = NULL;
	int fd;

	if (!library_load(LIBRARY_JANSSON)) {
		error_add(errors, path, NULL, "QMP needs jansson (libjansson.so.4): install it");
		return -ENOTSUP;
	}
	fd = client_connect(path, errors);
	if (fd < 0)
		return fd;
	client = calloc(1, sizeof(*client));
	if (!client) {
		error_add(errors, path, NULL, "out of memory");
		close(fd);
		return -ENOMEM;
	}
	client->fd = fd;
	client->process = process_of(fd);
	client->path = strdup(path);
	message = next_answer(client, errors);
	if (message && json_object_get(message, "QMP")) {
		json_decref(message);
		message = client_call(client, "qmp_capabilities", NULL, errors);
	} else if (message) {
		const char *desc = json_string_value(
			json_object_get(json_object_get(message, "error"), "desc"));

		error_add(errors, path, NULL, "%s", desc ? desc : "no control socket of a machine");
		json_decref(message);
		message = NULL;
	}
	if (!message) {
		client_close(client);
		return -EPROTO;
	}
	json_decref(message);
	*ret = client;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	if (client->process >= 0)
		close(client->process);
	free(client->path);
	free(client->buf);
	free(client);
}

int client_wait(struct client *client, int ms)
{
	json_t *message = client->event ? NULL : next_message(client, ms);
	bool came = client->event || message;

	if (!came && errno == ECONNRESET)
		return -ECONNRESET;
	client->event = false;
	json_decref(message);
	return came;
}

uint64_t client_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

const char *client_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	/* In place: jansson's copy is nobody else's, and --control may name the socket of any program. */
	return text ? plain_text((char *)text) : "";
}
