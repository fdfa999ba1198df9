/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt; see passt.h. Both ways the socket is a stream of Ethernet frames, each after its length in 4 bytes,
 * big-endian. A frame is sent straight from guest memory; if the socket takes only a part, the rest is copied to `out`.
 * A frame is received together with the next one's length and no further: more data stays in the socket, where epoll
 * reports it.
 */
#include "devices/backend/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/backend/netdev.h"
#include "hyp/base/log.h"
#include "hyp/base/loop.h"
#include "hyp/base/program.h"
#include "hyp/base/util.h"

#define LENGTH	 4
#define SHORTEST 14    /* an Ethernet header */
#define SENT_MAX 65535 /* passt ends at a longer frame, or one below SHORTEST */
#define READ_MAX (NETDEV_FRAME_MAX - NETDEV_HEADER)
#define CHILD_FD 3

/* The pause before a restart, doubled each time up to the maximum; a run of STEADY_MS resets it. */
#define PAUSE_MS     1000
#define PAUSE_MAX_MS 60000
#define STEADY_MS    60000

struct passt {
	struct netdev netdev;
	struct loop_fd watch;
	struct loop *loop;
	struct loop_timer again;
	struct passt_config config;
	const char *id;
	pid_t pid;
	bool listening; /* a frame is waited for */
	bool broken;	/* what came is no frame: nothing more is read */
	bool logged;	/* its restart */
	unsigned ends;	/* since its last run of STEADY_MS */
	uint64_t started_ms;
	uint32_t in_len, out_at, out_len;
	uint8_t in[LENGTH + READ_MAX +
		   LENGTH];		/* received part of a frame, and of the next one's length */
	uint8_t out[LENGTH + SENT_MAX]; /* [out_at, out_len) is not yet sent */
};

static void watch(struct passt *passt)
{
	if (passt->watch.loop) /* else passt has ended */
		loop_fd_set_events(&passt->watch,
			(passt->listening ? EPOLLIN : 0) | (passt->out_len ? EPOLLOUT : 0));
}

/* Kills passt. Returns its wait status: its own if it had ended by itself. */
static int end(int fd, pid_t pid)
{
	int status = 0;

	close(fd);
	kill(pid, SIGKILL);
	(void)RETRY_EINTR(waitpid(pid, &status, 0));
	return status;
}

/* False: the socket is full. */
static bool flush(struct passt *passt)
{
	while (passt->out_at < passt->out_len) {
		ssize_t n = send(passt->watch.fd, passt->out + passt->out_at,
			passt->out_len - passt->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno != EINTR)
			break; /* passt has ended, which epoll reports too */
		passt->out_at += n > 0 ? (uint32_t)n : 0;
	}
	passt->out_at = passt->out_len = 0;
	return true;
}

static void wait_to_start(struct passt *passt)
{
	uint64_t pause_ms = PAUSE_MAX_MS;

	if (passt->ends < 7 && PAUSE_MS << (passt->ends - 1) < PAUSE_MAX_MS)
		pause_ms = PAUSE_MS << (passt->ends - 1);
	loop_timer_arm(passt->loop, &passt->again, pause_ms);
}

static void has_ended(struct passt *passt)
{
	int status;

	loop_fd_remove(&passt->watch);
	status = end(passt->watch.fd, passt->pid);
	if (loop_now_ms() - passt->started_ms >= STEADY_MS) {
		passt->ends = 0;
		passt->logged = false;
	}
	if (!passt->ends++)
		log_print(LOG_WARNING,
			"%s: passt has ended (%s %d): the cable is out until it runs again",
			passt->id, WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	passt->in_len = passt->out_at = passt->out_len = 0;
	wait_to_start(passt);
}

static void ready(struct loop_fd *loop_fd, uint32_t events)
{
	struct passt *passt = container_of(loop_fd, struct passt, watch);
	struct netdev_client *client = passt->netdev.client;

	if (events & (EPOLLHUP | EPOLLERR)) {
		has_ended(passt);
		client->changed(client, false);
		client->writable(client); /* frames that wait for room are now dropped */
		return;
	}
	if (events & EPOLLOUT && flush(passt)) {
		watch(passt);
		client->writable(client);
	}
	if (events & EPOLLIN && passt->listening)
		client->readable(client);
}

/* Ends passt if its socket cannot be watched. */
static int take_on(struct passt *passt, int fd, pid_t pid)
{
	int err;

	passt->pid = pid;
	passt->broken = false;
	passt->started_ms = loop_now_ms();
	passt->watch = (struct loop_fd){ .fd = fd, .ready = ready, .name = passt->id };
	/* The largest send buffer that the host allows; with a small one frames wait more often. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ INT_MAX / 2 }, sizeof(int));
	err = loop_fd_add(passt->loop, &passt->watch);
	if (err)
		end(fd, pid);
	return err;
}

static void start_again(struct loop_timer *timer)
{
	struct passt *passt = container_of(timer, struct passt, again);
	int fd, err;
	pid_t pid;

	err = passt_start(&passt->config, &fd, &pid);
	if (!err)
		err = take_on(passt, fd, pid);
	if (err) {
		passt->ends++;
		wait_to_start(passt);
		return;
	}
	watch(passt);
	if (!passt->logged)
		log_print(LOG_INFO, "%s: passt runs again: the cable is in", passt->id);
	passt->logged = true;
	passt->netdev.client->changed(passt->netdev.client, true);
}

/* Copies all but the first `sent` bytes to `out`; flush() sends them when the socket has room. */
static void keep_rest(struct passt *passt, const struct iovec *parts, unsigned count, size_t sent)
{
	for (unsigned i = 0; i < count; i++) {
		size_t past = sent < parts[i].iov_len ? sent : parts[i].iov_len;
		size_t len = parts[i].iov_len - past;

		memcpy(passt->out + passt->out_len, (const uint8_t *)parts[i].iov_base + past, len);
		passt->out_len += (uint32_t)len;
		sent -= past;
	}
	if (passt->out_len)
		watch(passt);
}

/* Each frame in a call of its own: Debian 12's passt resets connections if one call sends several. */
static int passt_send(struct netdev *netdev, const struct iovec *iov, unsigned count)
{
	struct passt *passt = container_of(netdev, struct passt, netdev);
	struct iovec parts[1 + NETDEV_PARTS_MAX];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 1 + count };
	size_t len = 0, skip = NETDEV_HEADER;
	unsigned used = 0;
	uint32_t length;
	ssize_t sent;

	CHECK(count <= NETDEV_PARTS_MAX);
	for (unsigned i = 0; i < count; i++)
		len += iov[i].iov_len;
	len -= NETDEV_HEADER;
	if (len < SHORTEST || len > SENT_MAX || !passt->watch.loop)
		return 0;
	if (!flush(passt))
		return -EAGAIN;
	length = htonl((uint32_t)len);
	parts[used++] = (struct iovec){ &length, LENGTH };
	for (unsigned i = 0; i < count; i++) {
		size_t past = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		parts[used++] = (struct iovec){ (uint8_t *)iov[i].iov_base + past,
			iov[i].iov_len - past };
		skip -= past;
	}
	sent = RETRY_EINTR(sendmsg(passt->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
	if (sent < 0 && errno != EAGAIN && errno != EFAULT)
		return 0; /* passt has ended, which epoll reports too */
	/* EFAULT: the host cannot provide the guest's memory. The copy then raises SIGBUS, which is reported. */
	keep_rest(passt, parts, used, sent < 0 ? 0 : (size_t)sent);
	return 0;
}

static int passt_receive(struct netdev *netdev, void *buf, size_t size)
{
	struct passt *passt = container_of(netdev, struct passt, netdev);
	uint32_t len, whole;
	ssize_t n;

	while (passt->watch.loop && !passt->broken) {
		len = 0;
		if (passt->in_len >= LENGTH) {
			memcpy(&len, passt->in, LENGTH);
			len = ntohl(len);
			if (len < SHORTEST || len > READ_MAX || NETDEV_HEADER + len > size) {
				/* The next frame's start is unknown. epoll reports the shutdown as the end. */
				log_print(LOG_WARNING, "%s: passt sent a frame of %u bytes",
					passt->id, len);
				passt->broken = true;
				shutdown(passt->watch.fd, SHUT_RDWR);
				break;
			}
		}
		whole = LENGTH + len;
		if (len && passt->in_len >= whole) {
			memset(buf, 0, NETDEV_HEADER);
			memcpy((uint8_t *)buf + NETDEV_HEADER, passt->in + LENGTH, len);
			passt->in_len -= whole;
			memcpy(passt->in, passt->in + whole, passt->in_len);
			return (int)(NETDEV_HEADER + len);
		}
		n = recv(passt->watch.fd, passt->in + passt->in_len,
			whole + (len ? LENGTH : 0) - passt->in_len, MSG_DONTWAIT);
		if (n > 0) {
			passt->in_len += (uint32_t)n;
		} else if (!n) {
			/* passt closed its side. Once we close ours too, epoll reports the end. */
			passt->broken = true;
			shutdown(passt->watch.fd, SHUT_RDWR);
		} else if (errno != EINTR) {
			break;
		}
	}
	return -EAGAIN;
}

static void passt_listen(struct netdev *netdev, bool on)
{
	struct passt *passt = container_of(netdev, struct passt, netdev);

	passt->listening = on;
	watch(passt);
}

/* passt has no offloads. */
static void passt_set_offloads(struct netdev *netdev, uint64_t features)
{
}

static void passt_destroy(struct netdev *netdev)
{
	struct passt *passt = container_of(netdev, struct passt, netdev);

	loop_timer_cancel(&passt->again);
	if (passt->watch.loop) {
		loop_fd_remove(&passt->watch);
		end(passt->watch.fd, passt->pid);
	}
	free(passt);
}

static const struct netdev_ops passt_ops = {
	.send = passt_send,
	.receive = passt_receive,
	.listen = passt_listen,
	.set_offloads = passt_set_offloads,
	.destroy = passt_destroy,
};

static bool port(const char **at)
{
	char *rest;
	unsigned long number;

	if (**at < '1' || **at > '9')
		return false;
	number = strtoul(*at, &rest, 10);
	*at = rest;
	return number <= 65535;
}

/* Skips "ADDRESS/" if present. False: the text before the slash is no address. */
static bool address(const char **at)
{
	const char *slash = *at + strcspn(*at, "/,");
	char text[INET6_ADDRSTRLEN];
	struct in6_addr bytes;

	if (*slash != '/')
		return true;
	if (slash - *at >= (ptrdiff_t)sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(slash - *at), *at);
	*at = slash + 1;
	return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1;
}

bool passt_forwards(const char *spec)
{
	unsigned addresses = 0;

	do {
		const char *from = spec;

		if (!address(&spec))
			return false;
		addresses += spec != from;
		if (!port(&spec) || (*spec == ':' && (spec++, !port(&spec))))
			return false;
	} while (*spec == ',' && spec++);
	return !*spec && addresses <= PASST_ADDRESSES_MAX;
}

/* passt takes an option for each address: `spec` cut into these. */
struct forwards {
	char *copy;
	const char *specs[1 + PASST_ADDRESSES_MAX];
	unsigned count;
};

static int read_forwards(const char *spec, struct forwards *ret)
{
	*ret = (struct forwards){ .specs = { "none" }, .count = 1 };
	if (!spec)
		return 0;
	ret->copy = strdup(spec);
	if (!ret->copy)
		return -ENOMEM;
	ret->specs[0] = ret->copy;
	for (char *comma = strchr(ret->copy, ','); comma; comma = strchr(comma + 1, ','))
		if (comma[1 + strcspn(comma + 1, "/,")] == '/') {
			*comma = '\0';
			ret->specs[ret->count++] = comma + 1;
		}
	return 0;
}

struct arguments {
	const char *list[16 + 4 * (1 + PASST_ADDRESSES_MAX)];
	unsigned count;
	char fd[2], mtu[12];
	struct forwards tcp, udp;
};

static void add_forwards(
	struct arguments *arguments, const char *option, const struct forwards *forwards)
{
	for (unsigned i = 0; i < forwards->count; i++) {
		arguments->list[arguments->count++] = option;
		arguments->list[arguments->count++] = forwards->specs[i];
	}
}

static int make_arguments(const struct passt_config *config, struct arguments *ret)
{
	int err;

	*ret = (struct arguments){ .list = { "passt", "--foreground", "--quiet", "--fd", ret->fd },
		.count = 5,
		.fd = { '0' + CHILD_FD } };
	err = read_forwards(config->forward_tcp, &ret->tcp);
	if (!err)
		err = read_forwards(config->forward_udp, &ret->udp);
	if (err) {
		free(ret->tcp.copy);
		return err;
	}
	add_forwards(ret, "--udp-ports", &ret->udp);
	add_forwards(ret, "--tcp-ports", &ret->tcp);
	if (!config->host_loopback)
		ret->list[ret->count++] = "--no-map-gw";
	if (config->mtu) {
		snprintf(ret->mtu, sizeof(ret->mtu), "%u", config->mtu);
		ret->list[ret->count++] = "--mtu";
		ret->list[ret->count++] = ret->mtu;
	}
	return 0;
}

int passt_start(const struct passt_config *config, int *ret_fd, pid_t *ret_pid)
{
	struct arguments arguments;
	int fds[2], err, output = config->output ? config->output : STDERR_FILENO;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	err = make_arguments(config, &arguments);
	if (err) {
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	/* Apart: terminal signals go to the machine alone, whose guest then has time to shut down. */
	err = program_start(arguments.list,
		(const int[]){ -1, output, output, [CHILD_FD] = fds[1] }, CHILD_FD + 1, true,
		ret_pid);
	free(arguments.tcp.copy);
	free(arguments.udp.copy);
	close(fds[1]);
	if (err)
		close(fds[0]);
	else
		*ret_fd = fds[0];
	return err;
}

int passt_create(const struct passt_config *config, int fd, pid_t pid, const char *id,
	struct loop *loop, struct netdev **ret)
{
	struct passt *passt = calloc(1, sizeof(*passt));
	int err;

	if (!passt) {
		end(fd, pid);
		return -ENOMEM;
	}
	passt->netdev.ops = &passt_ops;
	passt->config = *config;
	passt->id = id;
	passt->loop = loop;
	passt->again = (struct loop_timer){ .fired = start_again, .name = id };
	err = take_on(passt, fd, pid);
	if (err) {
		free(passt);
		return err;
	}
	*ret = &passt->netdev;
	return 0;
}
